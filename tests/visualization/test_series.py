"""Fewer points that look the same; a smoothed line; places without a number."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitscope.visualization.series import Points, alone, smooth, thin

numbers = st.floats(-1e6, 1e6) | st.sampled_from([np.nan, np.inf, -np.inf])


@settings(deadline=None, max_examples=60)
@given(st.lists(numbers, min_size=1, max_size=400), st.integers(1, 20), st.integers(0, 2**32 - 1))
def test_thinning_keeps_what_each_pixel_column_shows(values: list[float], columns: int, seed: int) -> None:
    """In each column the lowest, highest, first and last number and whether there is a gap, counted by a plain loop."""
    y = np.array(values)
    x = np.sort(np.random.default_rng(seed).uniform(0, 10, len(y)))
    kept = thin(Points(x, y), columns)
    assert len(kept.x) <= 5 * columns
    assert (np.diff(kept.x) >= 0).all()
    pairs = list(zip(x.tolist(), y.tolist(), strict=True))
    assert {repr(p) for p in zip(kept.x.tolist(), kept.y.tolist(), strict=True)} <= {repr(p) for p in pairs}
    width = (x[-1] - x[0]) / columns or 1.0

    def shown(xs: np.ndarray, ys: np.ndarray) -> dict:
        found: dict[int, list] = {}
        for px, py in zip(xs, ys, strict=True):
            found.setdefault(min(int((px - x[0]) / width), columns - 1), []).append(py)
        summary = {}
        for column, ys_there in found.items():
            real = [v for v in ys_there if np.isfinite(v)]
            edges = (min(real), max(real), real[0], real[-1]) if real else ()
            summary[column] = (edges, len(real) < len(ys_there))
        return summary

    assert shown(kept.x, kept.y) == shown(x, y)


def test_a_spike_of_one_step_in_100_000_stays() -> None:
    y = np.ones(100_000)
    y[70_123] = 1e6
    started = time.perf_counter()
    kept = thin(Points(np.arange(1e5), y), 1000)
    assert time.perf_counter() - started < 1
    assert kept.y.max() == 1e6
    assert kept.x[kept.y.argmax()] == 70_123
    assert len(kept.x) <= 4_000


def test_few_points_stay_as_they_are() -> None:
    points = Points(np.arange(5.0), np.arange(5.0))
    assert thin(points, 100) is points
    same = Points(np.zeros(500), np.arange(500.0))  # all at one place: no column can be told from another
    assert thin(same, 10) is same


@pytest.mark.parametrize("count", [10, 100, 5_000, 100_000])
def test_smoothing_keeps_a_constant_and_the_middle_of_a_straight_line(count: int) -> None:
    x = np.arange(count, dtype=float)
    flat = smooth(Points(x, np.full(count, 3.5)))
    assert np.allclose(flat.y, 3.5)
    line = smooth(Points(x, 2 * x + 1))
    inside = slice(len(line.x) // 4, -len(line.x) // 4)
    assert np.allclose(line.y[inside], 2 * line.x[inside] + 1)  # nothing lags behind
    assert len(line.x) <= 2_000


def test_smoothing_takes_noise_away() -> None:
    noise = np.random.default_rng(0).normal(size=10_000)
    assert smooth(Points(np.arange(1e4), noise)).y.std() < 0.2


def test_smoothing_goes_around_what_is_no_number() -> None:
    y = np.ones(100)
    y[40:60] = np.nan
    y[80] = np.inf
    smoothed = smooth(Points(np.arange(100.0), y))
    assert np.isnan(smoothed.y[40:60]).all()
    assert np.isnan(smoothed.y[80])
    assert np.allclose(smoothed.y[np.isfinite(y)], 1)


def test_smoothing_a_huge_spike_harms_only_its_neighbourhood() -> None:
    y = np.ones(1_000)
    y[500] = 1e30
    smoothed = smooth(Points(np.arange(1_000.0), y)).y
    assert np.allclose(smoothed[:400], 1)
    assert np.allclose(smoothed[600:], 1)


def test_numbers_alone_between_gaps() -> None:
    nan = np.nan
    assert alone(np.array([1, nan, 1, 1, nan, 1])).tolist() == [True, False, False, False, False, True]
    assert alone(np.array([nan, np.inf])).tolist() == [False, False]
    assert alone(np.array([5.0])).tolist() == [True]
    assert alone(np.empty(0)).tolist() == []
