"""A long series as few points that hide nothing: the mean of each bucket, and its lowest and highest value.

Buckets are 2^k rows that lie at multiples of 2^k from the beginning of the series. So they stay where they are when
rows are added or the range is moved, and a picture of them does not flicker.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

Axis = Literal["step", "epoch", "time"]


class Rows(NamedTuple):
    """Recorded values of one series, in order: arrays of one length (step int64, the others float64)."""

    step: np.ndarray
    epoch: np.ndarray
    time: np.ndarray
    value: np.ndarray

    def take(self, which: slice | np.ndarray) -> Rows:
        return Rows(*(column[which] for column in self))


class Points(NamedTuple):
    """What is drawn: `value` is a bucket's mean, NaN where the bucket holds one; `low` and `high` are the extremes of
    its numbers; step, epoch and time are those of its middle row. `rows` recorded values are behind them all."""

    step: np.ndarray
    epoch: np.ndarray
    time: np.ndarray
    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    rows: int
    is_exact: bool  # each point is one recorded value


def downsample(
    rows: Rows, points: int, axis: Axis = "step", first: float | None = None, last: float | None = None
) -> Points:
    """At most `points` points of the rows whose `axis` is in [first, last], ends included.

    `rows` are in the order of their steps, as recorded; along another axis they are put in its order first.
    """
    position = getattr(rows, axis)
    if not is_sorted(position):
        order = np.argsort(position, kind="stable")  # what has no epoch comes last
        rows, position = rows.take(order), position[order]
    start = 0 if first is None else int(np.searchsorted(position, first, "left"))
    end = len(position) if last is None else int(np.searchsorted(position, last, "right"))
    return _reduce(rows, start, max(start, end), points)


def is_sorted(values: np.ndarray) -> bool:
    return bool(np.all(values[:-1] <= values[1:]))  # a NaN says no


def _reduce(rows: Rows, start: int, end: int, points: int) -> Points:
    size, count = 1, end - start
    while count and (end - 1) // size - start // size + 1 > points:
        size *= 2
    if size == 1:
        kept = rows.take(slice(start, end))
        return Points(*kept, kept.value, kept.value, count, True)
    begins = np.maximum(np.arange(start // size * size, end, size), start)
    counts = np.diff(begins, append=end)
    values, at = rows.value[start:end], begins - start
    with np.errstate(invalid="ignore"):  # infinities of both signs: their mean is NaN, and no warning
        mean = np.add.reduceat(values / size, at) * (size / counts)  # dividing first: a sum could overflow
    middle = rows.take(begins + (counts - 1) // 2)
    low, high = np.fmin.reduceat(values, at), np.fmax.reduceat(values, at)
    return Points(middle.step, middle.epoch, middle.time, mean, low, high, count, False)
