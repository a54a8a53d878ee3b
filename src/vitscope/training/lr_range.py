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

SMOOTHING = 0.9  # of the loss by which divergence is judged, with the bias of its start taken out
DIVERGED = 1.5  # times the least of it so far
FIRST_STEPS = 8  # in which nothing is judged
CLEAR = 8.0  # standard errors by which a fall or a rise stands out: of noise alone, one sweep in 700 spans as much
SAFE = 0.1  # of the rate at which the loss begins to rise


class Point(NamedTuple):
    """A step: its rate, and the loss before it."""

    lr: float
    loss: float


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
        lately = average / (1.0 - SMOOTHING ** (i + 1))
        points.append(Point(lr, loss))
        tell(points[-1])
        least = min(least, lately)
        if i >= FIRST_STEPS and lately > DIVERGED * least:
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


def smoothed(losses: np.ndarray) -> np.ndarray:
    """(N,) → (N,): the mean of the steps around each, a tenth of all of them; fewer at the ends."""
    half = _half_window(losses)
    return np.array([losses[max(0, i - half) : i + half + 1].mean() for i in range(len(losses))])


def suggest(points: list[Point]) -> Suggestion | None:
    """The rate where the smoothed loss falls fastest; where it never clearly falls, a tenth of where it rises.

    None where it does neither.
    """
    if len(points) <= FIRST_STEPS:
        return None
    losses = np.array([point.loss for point in points])
    smooth = smoothed(losses)
    lowest = int(smooth.argmin())
    # Neighbouring steps differ by noise alone, about: from their differences, so that a trend does not count as noise.
    noise = float(np.median(np.abs(np.diff(losses)))) / 0.954  # √2 · 0.6745, of a normal one
    clear = CLEAR * noise / math.sqrt(2 * _half_window(losses) + 1)
    if smooth[0] - smooth[lowest] > clear:
        slopes = np.gradient(smooth, np.log([point.lr for point in points]))
        return Suggestion(points[int(slopes[: lowest + 1].argmin())].lr, "where the loss falls fastest")
    rising = np.flatnonzero(smooth[lowest:] > smooth[lowest] + clear)
    if len(rising) == 0:
        return None
    rise = points[lowest + int(rising[0])].lr
    return Suggestion(
        SAFE * rise, f"a tenth of {rise:.2g}, where the loss begins to rise; before, it does not fall clearly"
    )


def _half_window(losses: np.ndarray) -> int:
    return max(1, len(losses) // 20)
