"""A jump of the loss is told once it is seen whether it came back; noise and hard batches are not."""

from __future__ import annotations

import numpy as np
import pytest
from tests.training.alerts.curves import SITUATION, falling, steps

from vitscope.training.alerts import LossSpike


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("noise", [0.02, 0.2, 0.5])
def test_noise_is_no_spike(noise: float, seed: int):
    assert steps(LossSpike(SITUATION), falling(3_000, 2.3, 0.05, noise, seed)) == []


def test_hard_batches_late_in_a_run_are_no_spikes():
    losses = falling(1_000, 2.3, 0.01, 0.1)
    losses[500::37] = 0.5  # one picture of eight, wrong with confidence
    losses[700] = 6.0  # and one broken batch
    assert steps(LossSpike(SITUATION), losses) == []


def test_a_spike_that_came_back():
    losses = falling(600, 2.3, 0.3, 0.05)
    losses[400:407] = 4.0
    (alert,) = steps(LossSpike(SITUATION), losses)
    assert (alert.step, alert.kind) == (401, "loss-spike")
    assert "to 4 at step 401" in alert.text
    assert "came back" in alert.text


def test_one_that_stayed_is_told_once_and_the_next_again():
    losses = falling(900, 2.3, 0.3, 0.05)
    losses[300:] += 2.0
    losses[700:705] += 9.0
    first, second = steps(LossSpike(SITUATION), losses)
    assert first.step == 301
    assert "stayed at" in first.text
    assert "--lr" in first.text
    assert second.step == 701


def test_a_run_that_bursts_at_once_is_seen_whatever_the_bulk():
    losses = np.concatenate([falling(200, 2.3, 1.0, 0.05), np.full(30, 5.0)])
    assert [a.step for a in steps(LossSpike(SITUATION), losses)] == [201]


def test_the_first_steps_of_an_attempt_are_not_judged():
    assert steps(LossSpike(SITUATION), [*falling(30, 2.3, 1.0, 0.05), *[9.0] * 30]) == []
