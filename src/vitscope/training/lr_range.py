"""Learning rate range test: the rate grows from step to step until the loss diverges (arXiv:1506.01186)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from typing import NamedTuple

import numpy as np

from vitscope.data.loader import Batch
from vitscope.errors import WorkFailed
from vitscope.training.loop import Training, train_step

SMOOTHING = 0.9  # of the loss, with the bias of its start taken out
DIVERGED = 1.5  # times the least smoothed loss so far
SAFE = 0.1  # of the rate at which it diverges
EDGE = 3  # points at each end whose slope is not trusted


class Point(NamedTuple):
    """A step: its rate, the loss before it, and the loss smoothed."""

    lr: float
    loss: float
    smoothed: float


class Suggestion(NamedTuple):
    """A learning rate and the rule that it follows from."""

    lr: float
    rule: str


def sweep(
    t: Training, low: float, high: float, steps: int, tell: Callable[[Point], None] = lambda point: None
) -> list[Point]:
    """Train with rates from `low` to `high`, evenly spread by their logarithm, at most until the loss diverges.

    The weights are useless afterwards. Raises `WorkFailed` when the first losses are no numbers.
    """
    points: list[Point] = []
    average, least = 0.0, math.inf
    rates = np.geomspace(low, high, steps)
    for i, (lr, batch) in enumerate(zip(rates.tolist(), batches(t), strict=False)):
        loss = train_step(at_rate(t, lr), batch).loss.item()
        if not math.isfinite(loss):
            break
        average = SMOOTHING * average + (1.0 - SMOOTHING) * loss
        smoothed = average / (1.0 - SMOOTHING ** (i + 1))
        points.append(Point(lr, loss, smoothed))
        tell(points[-1])
        least = min(least, smoothed)
        if i > 2 * EDGE and smoothed > DIVERGED * least:
            break
    if not points:
        raise WorkFailed(f"The loss is no number at the first rate, {low:g}, already: begin lower with --from.")
    return points


def at_rate(t: Training, lr: float) -> Training:
    """The same training at a constant rate."""
    optim = t.config.optim.model_copy(update={"lr": lr})
    schedule = t.config.schedule.model_copy(update={"name": "constant", "warmup_ratio": 0.0})
    return replace(t, config=t.config.model_copy(update={"optim": optim, "schedule": schedule}))


def batches(t: Training) -> Iterator[Batch]:
    """Training batches without end, epoch after epoch."""
    for _ in count():
        p = t.trained.progress
        yield from t.loader.epoch(p.epoch)
        p.epoch, p.step_in_epoch = p.epoch + 1, 0


def suggest(points: list[Point], is_diverged: bool) -> Suggestion | None:
    """The rate where the smoothed loss falls fastest, or a tenth of where it diverges, if that is less.

    None where it never falls.
    """
    if len(points) < 2 * EDGE + 2:
        return None
    logs, losses = np.log([p.lr for p in points]), np.array([p.smoothed for p in points])
    slopes = np.gradient(losses, logs)[EDGE : len(points) - EDGE]
    if slopes.min() >= 0:
        return None
    steepest = points[EDGE + int(slopes.argmin())].lr
    safe = SAFE * points[-1].lr
    if is_diverged and safe < steepest:
        return Suggestion(safe, "a tenth of the rate at which the loss diverged")
    return Suggestion(steepest, "where the loss falls fastest")
