"""A time budget: how many steps fit into what is left of it, replanned now and then by what steps really cost.

Time counts from the start of the program to its end, evaluation, checkpoints and charts included. A plan is made
after a few steps, then whenever a mark of the budget is passed, and each plan is told and checkpointed: a run that is
stopped and resumed goes on with the very plan. What an interruption costs beyond the last checkpoint is not counted.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from vitscope.training.horizon import Horizon
from vitscope.training.resolution import Resolution

MARKS = (0.015, 0.04, 0.08, 0.15, 0.25, 0.4, 0.55, 0.7, 0.82, 0.9, 0.95, 0.98)  # shares of the budget
FIRST_STEPS = 2  # at a resolution, which are slower: a model is compiled, kernels are looked for
EVALUATION_SHARE = 0.04  # of the time that evaluations between the first and the last may take
LEAST_EVALUATIONS = 8  # of a run, as far as it has so many epochs, and they take no more than
MOST_EVALUATION_SHARE = 0.08  # of the time
CLOSING_S = 2.0  # charts, the database, the end of the process
FORWARD_SHARE = 0.4  # of a training step's time that a forward pass takes, until an evaluation was measured


@dataclass
class Costs:
    """Seconds of a step by its resolution, of an evaluation of all splits, and of a checkpoint, as measured last.

    `opening_s`: what the first steps at a resolution took, the most of those that were met.
    """

    step_s: dict[int, float] = field(default_factory=dict)
    opening_s: float = 0.0
    evaluation_s: float | None = None
    save_s: float = 0.0

    def step_at(self, side: int) -> float:
        """Seconds of a step at a side: measured, or scaled by the area from the nearest side that was."""
        nearest = min(self.step_s, key=lambda known: abs(known - side))
        return self.step_s[nearest] * (side / nearest) ** 2


@dataclass
class TimeBudget:
    """`seconds` from `since` (on `clock`) on, of which earlier attempts have used `progress.used_s`.

    `evaluated` images are seen in an evaluation; `images` in a step.
    """

    seconds: float
    since: float
    horizon: Horizon
    resolution: Resolution
    steps_per_epoch: int
    batch_size: int
    evaluated: int
    overhead: float = 0.02  # share of the time that checkpoints may take besides
    clock: Callable[[], float] = time.monotonic
    costs: Costs = field(default_factory=Costs)
    _window: dict[int, list[float]] = field(default_factory=dict)
    _is_news: bool = False  # the first evaluation was measured since the last plan
    _opening: dict[int, list[float]] = field(default_factory=dict)
    _last_at: float = 0.0
    _used_before: float = field(init=False)
    _marks: list[float] = field(init=False)

    def __post_init__(self) -> None:
        self._used_before = self.horizon.progress.used_s
        self._last_at = self.clock()
        self._marks = [mark for mark in MARKS if mark * self.seconds > self._used_before]

    def used_s(self) -> float:
        """Seconds used so far, by earlier attempts too."""
        return self._used_before + self.clock() - self.since

    def stepped(self, side: int) -> None:
        """Tell that a step at a resolution is done."""
        now = self.clock()
        opening = self._opening.setdefault(side, [])
        (self._window.setdefault(side, []) if len(opening) == FIRST_STEPS else opening).append(now - self._last_at)
        self.costs.opening_s = max(self.costs.opening_s, sum(opening))
        self._last_at = now

    def evaluated_in(self, seconds: float) -> None:
        """Tell what an evaluation took; it is no part of a step."""
        self._is_news = self.costs.evaluation_s is None
        self.costs.evaluation_s = seconds
        self._last_at = self.clock()

    def saved_in(self, seconds: float) -> None:
        """Tell what a checkpoint took; it is no part of a step."""
        self.costs.save_s = seconds
        self._last_at = self.clock()

    def is_due(self) -> bool:
        """Whether to plan anew: a mark is passed, an evaluation was measured, or what is left is needed for the end."""
        if not self._window and not self.costs.step_s:
            return False
        used = self.used_s()
        is_passed = bool(self._marks) and used >= self._marks[0] * self.seconds
        return is_passed or self._is_news or used >= self.seconds - self.closing_s()

    def replan(self) -> None:
        """Move the horizon to where the budget ends; see `plan`."""
        used, self._is_news = self.used_s(), False
        self._marks = [mark for mark in self._marks if mark * self.seconds > used]
        for side, times in self._window.items():
            self.costs.step_s[side] = sum(times) / len(times)
        self._window.clear()
        p = self.horizon.progress
        steps, p.evaluate_every = self.plan(self.seconds - used)
        self.horizon.move(p.step + steps)

    def plan(self, left_s: float) -> tuple[int, int]:
        """How many more steps fit into `left_s` seconds, and after how many epochs to evaluate each time."""
        step_s = self.mean_step_s()
        evaluation_s, epoch_s = self.evaluation_s(), self.steps_per_epoch * step_s
        now = self.resolution.at(self.horizon.share(self.horizon.progress.step))
        to_open = sum(side >= now and side not in self._opening for side in self.resolution.sides)
        training_s = left_s - self.closing_s() - len(self._marks) * self.costs.save_s - to_open * self.costs.opening_s
        seldom, often = (
            math.ceil(evaluation_s / (share * epoch_s)) for share in (EVALUATION_SHARE, MOST_EVALUATION_SHARE)
        )
        epochs = self.horizon.progress.step / self.steps_per_epoch + training_s / epoch_s
        every = max(1, min(seldom, max(often, math.floor(epochs / LEAST_EVALUATIONS))))
        steps, evaluations = training_s / (step_s * (1 + self.overhead)), 0
        while steps > 0 and self.evaluations_within(math.floor(steps), every) > evaluations:
            steps -= evaluation_s / (step_s * (1 + self.overhead))
            evaluations += 1
        return max(0, math.floor(steps)), every

    def evaluations_within(self, steps: int, every: int) -> int:
        """How many evaluations come in `steps` more steps before the last one, which belongs to the end."""
        p = self.horizon.progress
        last = math.ceil((p.step + steps) / self.steps_per_epoch)
        is_first = p.epoch == 0 and every > 1 and last > 1
        return max(0, (last - 1) // every - p.epoch // every) + is_first

    def mean_step_s(self) -> float:
        """Seconds of a step on average over what is left of the run, whose resolution may grow."""
        done = self.horizon.share(self.horizon.progress.step)
        shares = [done + (1 - done) * (i + 0.5) / 64 for i in range(64)]
        return sum(self.costs.step_at(self.resolution.at(share)) for share in shares) / len(shares)

    def evaluation_s(self) -> float:
        """Seconds of an evaluation, as measured or, before the first, by the pictures that it sees."""
        if self.costs.evaluation_s is not None:
            return self.costs.evaluation_s
        if not self.costs.step_s:
            return 0.0
        return FORWARD_SHARE * self.costs.step_at(self.resolution.side) * self.evaluated / self.batch_size

    def closing_s(self) -> float:
        """Seconds that the end takes: the last evaluation, the last checkpoint, what follows them."""
        return self.evaluation_s() + 2 * self.costs.save_s + CLOSING_S
