"""A run that stands still with much to go is told; one that is merely slow, noisy or done is not."""

from __future__ import annotations

import numpy as np
import pytest
from tests.training.alerts.curves import SITUATION, epochs, falling

from vitscope.training.alerts import Onset, Plateau


def plateau(is_told: bool = False) -> Plateau:
    return Plateau(SITUATION, Onset(is_told))


@pytest.mark.parametrize("seed", range(10))
def test_a_run_that_gets_better_is_quiet(seed: int):
    train, loss = falling(60, 2.3, 0.4, 0.02, seed), falling(60, 2.3, 0.6, 0.08, seed + 100)
    assert epochs(plateau(), train, loss, np.clip(1 - loss / 2.4, 0, 1)) == []


def test_guessing_is_told_as_such_once():
    (alert,) = epochs(plateau(), [2.31] * 20, [2.32] * 20, [0.1] * 20)
    assert (alert.step, alert.kind) == (60, "plateau")  # five epochs after the first
    assert "guessing" in alert.text
    assert "14 of 20 epochs are left" in alert.text


@pytest.mark.parametrize("planned", [6, 500])
def test_what_is_left_is_what_a_time_budget_says(planned: int):
    (alert,) = epochs(plateau(), [2.31] * 20, [2.32] * 20, [0.1] * 20, planned)
    assert "14 of 20 epochs are left" in alert.text


def test_standing_still_half_way_up():
    curve = [*np.linspace(2.3, 1.0, 15), *[1.0] * 25]
    (alert,) = epochs(plateau(), curve, curve, [1 - v / 2.4 for v in curve])
    assert 150 < alert.step <= 210
    assert "guessing" not in alert.text
    assert epochs(plateau(is_told=True), curve[15:], curve[15:], [0.5] * 25) == []


def test_without_validation_the_training_loss_decides():
    assert [a.kind for a in epochs(plateau(), [1.5] * 20)] == ["plateau"]
    assert epochs(plateau(), np.linspace(1.5, 1.0, 20)) == []


@pytest.mark.parametrize("what", ["training loss", "validation loss", "accuracy"])
def test_one_that_still_gets_better_is_enough(what: str):
    still, better = [1.0] * 30, list(np.linspace(1.0, 0.7, 30))
    train, loss = (better if what == name else still for name in ("training loss", "validation loss"))
    top1 = [1 - v / 2 for v in (better if what == "accuracy" else still)]
    assert epochs(plateau(), train, loss, top1) == []


def test_what_is_done_or_near_its_end_is_no_plateau():
    assert epochs(plateau(), [0.5] * 30, [0.1] * 30, [0.995] * 30) == []
    curve = [*np.linspace(2.3, 1.0, 18), *[1.0] * 6]
    assert epochs(plateau(), curve, curve, [1 - v / 2.4 for v in curve]) == []
