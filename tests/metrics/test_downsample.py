from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitscope.metrics.downsample import Axis, Rows, downsample

numbers = st.floats(allow_nan=True, allow_infinity=True)


def rows(values: list[float], steps: list[int] | None = None) -> Rows:
    step = np.array(sorted(steps) if steps else range(len(values)), np.int64)
    return Rows(step, step / 10, 1000.0 + step, np.array(values, np.float64))


@settings(max_examples=200, deadline=None)
@given(values=st.lists(numbers, max_size=300), points=st.integers(1, 40))
def test_every_bucket_is_what_it_says(values: list[float], points: int):
    made = downsample(rows(values), points)
    assert len(made.step) <= points or not values
    assert made.rows == len(values)
    assert made.is_exact == (len(values) <= points)
    size = 1
    while math.ceil(len(values) / size) > points:
        size *= 2
    for i in range(len(made.step)):
        bucket = values[i * size : (i + 1) * size]
        known = [v for v in bucket if not math.isnan(v)]
        low, high = (min(known), max(known)) if known else (math.nan, math.nan)
        assert np.array_equal([made.low[i], made.high[i]], [low, high], equal_nan=True)
        if any(math.isnan(v) for v in bucket) or (math.inf in bucket and -math.inf in bucket):
            assert math.isnan(made.value[i])
        elif any(map(math.isinf, bucket)):
            assert math.isinf(made.value[i])
        else:
            exact = math.fsum(v / len(bucket) for v in bucket)
            scale = max(map(abs, bucket))
            assert abs(made.value[i] - exact) <= 1e-12 * scale + 1e-300
        assert i * size <= made.step[i] < (i + 1) * size
        assert made.epoch[i] == made.step[i] / 10
        assert made.time[i] == 1000.0 + made.step[i]


@settings(max_examples=100, deadline=None)
@given(count=st.integers(0, 400), points=st.integers(1, 30), ends=st.tuples(st.integers(-5, 405), st.integers(-5, 405)))
def test_a_range_holds_its_rows_and_no_others(count: int, points: int, ends: tuple[int, int]):
    first, last = ends
    values = list(np.sin(np.arange(count)))
    inside = [i for i in range(count) if first <= i <= last]
    for axis, scale, shift in (("step", 1, 0), ("epoch", 0.1, 0), ("time", 1, 1000)):
        made = downsample(rows(values), points, axis, first * scale + shift - 1e-9, last * scale + shift + 1e-9)  # type: ignore[arg-type]
        assert made.rows == len(inside)
        assert len(made.step) <= points
        assert set(made.step) <= set(inside)
        if inside:
            assert made.low.min() == min(values[i] for i in inside)
            assert made.high.max() == max(values[i] for i in inside)


def test_buckets_stay_where_they_are_when_rows_are_added_or_the_range_moves():
    values = list(np.random.default_rng(0).normal(size=1000))
    before, after = downsample(rows(values[:900]), 100), downsample(rows(values), 100)
    assert after.value[: len(before.value) - 1].tolist() == before.value[:-1].tolist()
    left, right = (downsample(rows(values), 60, "step", first, first + 399) for first in (0, 17))
    whole = [v for s, v in zip(left.step, left.value, strict=True) if s >= 24]
    assert len(whole) == 47
    assert right.value[1 : 1 + len(whole)].tolist() == whole  # the first bucket is cut by the range


@pytest.mark.parametrize("axis", ["epoch", "time"])
def test_another_axis_puts_the_rows_in_its_own_order(axis: Axis):
    """The clock has jumped back; a number was logged without an epoch."""
    position = np.array([5.0, 1.0, math.nan, 3.0])
    step, value = np.arange(4), np.array([0.0, 1.0, 2.0, 3.0])
    known = position if axis == "time" else np.zeros(4)
    made = downsample(Rows(step, position if axis == "epoch" else step / 1.0, known, value), 10, axis)
    assert made.value.tolist() == [1.0, 3.0, 0.0, 2.0]
    within = downsample(Rows(step, position if axis == "epoch" else step / 1.0, known, value), 10, axis, 0, 4)
    assert within.value.tolist() == [1.0, 3.0]


def test_infinities_of_both_signs_warn_of_nothing():
    with np.errstate(all="raise"):
        made = downsample(rows([math.inf, -math.inf, 1.0, 2.0]), 2)
    assert math.isnan(made.value[0])
    assert (made.low[0], made.high[0], made.value[1]) == (-math.inf, math.inf, 1.5)
