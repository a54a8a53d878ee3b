from __future__ import annotations

import math

import pytest

from vitscope.config import ScheduleConfig
from vitscope.training.schedule import SCHEDULES, lr_factor


def test_warms_up_linearly_to_the_peak():
    c = ScheduleConfig(warmup_ratio=0.1)
    assert [lr_factor(s, 100, c) for s in range(10)] == pytest.approx([(s + 1) / 10 for s in range(10)])
    assert lr_factor(10, 100, c) == 1.0


def test_cosine_is_half_in_the_middle_and_the_minimum_at_the_end():
    c = ScheduleConfig(name="cosine", warmup_ratio=0.0, min_lr_ratio=0.2)
    assert lr_factor(50, 100, c) == pytest.approx(0.2 + 0.8 * 0.5)
    assert lr_factor(100, 100, c) == pytest.approx(0.2)
    assert lr_factor(25, 100, c) == pytest.approx(0.2 + 0.8 * (1 + math.cos(math.pi / 4)) / 2)


@pytest.mark.parametrize(("name", "middle", "end"), [("linear", 0.5, 0.0), ("constant", 1.0, 1.0)])
def test_other_shapes(name: str, middle: float, end: float):
    c = ScheduleConfig(name=name, warmup_ratio=0.0)
    assert lr_factor(50, 100, c) == pytest.approx(middle)
    assert lr_factor(100, 100, c) == pytest.approx(end)


@pytest.mark.parametrize("name", SCHEDULES)
def test_never_rises_after_the_warmup_and_stays_in_bounds(name: str):
    c = ScheduleConfig(name=name, warmup_ratio=0.3)
    factors = [lr_factor(s, 37, c) for s in range(37)]
    peak = factors.index(max(factors))
    assert all(a >= b for a, b in zip(factors[peak:], factors[peak + 1 :], strict=False))
    assert all(0 <= f <= 1 for f in factors)
