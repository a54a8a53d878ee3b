"""Numbers made ready for a line: fewer points that look the same, a smoothed line, and where there is no number."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

FEWEST_TO_SMOOTH = 10
SMOOTHED_POINTS = 2000
WINDOW = 0.05  # share of the line that a smoothed point is a weighted mean of


class Points(NamedTuple):
    """A line: `x` never falls, `y` may hold NaN and Inf, at which the line breaks."""

    x: Floats
    y: Floats


def thin(points: Points, columns: int) -> Points:
    """At most 5 points a pixel column that draw the same picture: the first, lowest, highest and last, and a gap.

    M4 of Jugel et al., "M4: A Visualization-Oriented Time Series Data Aggregation", VLDB 2014, with gaps kept.
    """
    x, y = points
    if len(x) <= 4 * columns or x[-1] <= x[0]:
        return points
    column = np.minimum((x - x[0]) / (x[-1] - x[0]) * columns, columns - 1).astype(np.int64)
    finite = np.flatnonzero(np.isfinite(y))
    gaps = np.flatnonzero(~np.isfinite(y))
    first, last = _ends(column[finite])
    by_value = finite[np.lexsort((y[finite], column[finite]))]
    kept = [finite[first], finite[last], by_value[first], by_value[last], gaps[_ends(column[gaps])[0]]]
    chosen = np.unique(np.concatenate(kept))
    return Points(x[chosen], y[chosen])


def _ends(groups: NDArray[np.int64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Where each run of equal values in a sorted array begins and ends."""
    changes = np.flatnonzero(np.diff(groups)) + 1
    if not len(groups):
        return changes, changes
    return np.concatenate(([0], changes)), np.concatenate((changes, [len(groups)])) - 1


def smooth(points: Points) -> Points:
    """The centred weighted mean (a Hann window), which lags behind nothing; no number where all of the window has none.

    Fewer than ten points are left as they are; many are first averaged to two thousand.
    """
    x, y = points
    if len(x) < FEWEST_TO_SMOOTH:
        return points
    starts = np.arange(0, len(x), -(-len(x) // SMOOTHED_POINTS))
    known = np.isfinite(y)
    counts = np.add.reduceat(known.astype(np.float64), starts)
    sums = np.add.reduceat(np.where(known, y, 0.0), starts)
    middles = np.add.reduceat(x, starts) / np.diff(np.append(starts, len(x)))
    weights = np.hanning(2 * max(2, round(len(starts) * WINDOW / 2)) + 3)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        means = np.convolve(sums, weights, "same") / np.convolve(counts, weights, "same")
    means[counts == 0] = np.nan
    return Points(middles, means)


def alone(y: Floats) -> NDArray[np.bool_]:
    """Which numbers have none on either side: a line through them shows nothing, so they need a mark."""
    known = np.isfinite(y)
    beside = np.zeros_like(known)
    beside[1:] |= known[:-1]
    beside[:-1] |= known[1:]
    return known & ~beside
