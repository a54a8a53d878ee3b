from __future__ import annotations

from typing import Any

import pytest

from vitscope.training.budget import TimeBudget
from vitscope.training.horizon import Horizon
from vitscope.training.progress import Progress
from vitscope.training.resolution import Resolution


class World:
    """A machine made up: what a step, an evaluation and a checkpoint take, and a clock that they move."""

    def __init__(self, seconds: float, resolution: Resolution | None = None, **costs: Any):
        self.now = 100.0
        self.costs: dict[str, Any] = {
            "start": 5.0,
            "step": 0.5,
            "evaluation": 3.0,
            "save": 0.2,
            "close": 1.0,
            "open": 0.0,
        }
        self.costs |= costs
        self.progress, self.plans, self.evaluations = Progress(), [], 0
        self.horizon = Horizon(self.progress, 500)
        self.resolution = resolution or Resolution(64, 8)
        self.opened: set[int] = set()
        self.begin(seconds)

    def begin(self, seconds: float) -> None:
        began = self.now
        self.now += self.costs["start"]
        self.budget = TimeBudget(
            seconds,
            began,
            self.horizon,
            self.resolution,
            20,
            32,
            200,
            clock=lambda: self.now,  # 20 steps an epoch
        )

    def run(self, until: int = 10**9) -> float:
        """Seconds that the whole run took, or None's worth when stopped before step `until`."""
        p = self.progress
        began = self.now - self.costs["start"]
        while not self.horizon.is_finished and p.step < until:
            side = self.resolution.at(self.horizon.share(p.step))
            cost = self.costs["step"]
            self.now += self.costs["open"] * (side not in self.opened)
            self.opened.add(side)
            self.now += cost(p.step) if callable(cost) else cost * (side / self.resolution.side) ** 2.2
            p.step, p.step_in_epoch, p.images = p.step + 1, p.step_in_epoch + 1, 1
            self.budget.stepped(side)
            if self.budget.is_due():
                self.budget.replan()
                self.plans.append((p.step, p.total_steps))
                self.save()
            if self.horizon.is_reached or p.step_in_epoch == 20:
                every = p.evaluate_every or 1
                if self.horizon.is_reached or p.epoch == 0 or (p.epoch + 1) % every == 0:
                    self.now += self.costs["evaluation"]
                    self.evaluations += 1
                    self.budget.evaluated_in(self.costs["evaluation"])
                    self.save()
                p.close_epoch()
        self.now += self.costs["close"]
        return self.now - began

    def save(self) -> None:
        self.now += self.costs["save"]
        self.progress.used_s = self.budget.used_s()
        self.budget.saved_in(self.costs["save"])


SLOWING = {"step": lambda step: 0.3 if step < 200 else 0.6}
QUICKENING = {"step": lambda step: 0.6 if step < 200 else 0.3}
UNEVEN = {"step": lambda step: 0.2 + 0.8 * (step % 3 == 0)}


@pytest.mark.parametrize(
    ("seconds", "costs"),
    [
        (600, {}),
        (60, {}),
        (3600, {"step": 2.0, "evaluation": 40.0, "save": 4.0}),
        (600, {"step": 0.02, "evaluation": 0.3, "save": 0.05}),
        (600, {"evaluation": 0.0}),
        (600, SLOWING),
        (600, QUICKENING),
        (300, UNEVEN),
    ],
)
@pytest.mark.parametrize("start", [1.0, 0.5])
def test_a_run_lands_within_a_tenth_of_its_budget(seconds: float, costs: dict, start: float):
    world = World(seconds, Resolution(64, 8, start), **costs)
    assert world.run() == pytest.approx(seconds, rel=0.1)
    assert world.horizon.share(world.progress.step) == pytest.approx(1.0, abs=0.03)  # the rate has come down


def test_a_steady_machine_is_planned_once_and_hits_the_end():
    world = World(600)
    assert world.run() == pytest.approx(600, rel=0.02)
    totals = [total for _, total in world.plans]
    assert max(totals[3:]) <= 1.05 * min(totals[3:])


def test_costly_evaluations_are_few_and_cheap_ones_after_each_epoch():
    costly, cheap = World(600, evaluation=20.0), World(600, evaluation=0.1)
    costly.run(), cheap.run()
    assert cheap.progress.evaluate_every == 1
    assert 3 <= costly.evaluations <= 6  # a third of the time would have gone into 10
    assert costly.progress.step < cheap.progress.step


def test_a_run_of_few_epochs_does_not_evaluate_after_each_where_that_is_costly():
    """Five epochs of 100 s, and an evaluation of 20 s: after each they would take a sixth of the time."""
    world = World(600, step=5.0, evaluation=20.0)
    assert world.run() == pytest.approx(600, rel=0.1)
    assert world.progress.evaluate_every == 3
    assert world.evaluations == 3  # the first epoch, the third, the last


def test_a_resumed_run_goes_on_with_the_plan_and_the_time_that_is_left():
    world = World(600)
    world.run(until=300)
    world.save()
    before, share = world.progress.total_steps, world.horizon.share(300)
    world.now += 10_000  # switched off
    world.begin(600)
    used = world.progress.used_s
    assert world.horizon.total_steps == before
    assert world.horizon.share(300) == share
    assert used + world.run() == pytest.approx(600, rel=0.1)


def test_growing_pictures_are_foreseen():
    """At the start a step is cheap; the plan must not take it for the price of the whole."""
    world = World(600, Resolution(64, 8, 0.5))
    world.run()
    first, last = world.plans[0][1], world.plans[-1][1]
    assert first == pytest.approx(last, rel=0.25)


def test_being_compiled_for_each_size_is_foreseen_and_no_part_of_a_step():
    """A size opens with 30 s before its first step; the plan after the first has the two that come in it."""
    world = World(600, Resolution(64, 8, 0.5), open=30.0)
    assert world.run() == pytest.approx(600, rel=0.03)
    costs = world.budget.costs
    assert costs.opening_s == pytest.approx(31, abs=1)
    assert costs.step_s == pytest.approx({side: 0.5 * (side / 64) ** 2.2 for side in (32, 48, 64)})
    assert world.plans[1][1] == pytest.approx(world.plans[-1][1], rel=0.07)
