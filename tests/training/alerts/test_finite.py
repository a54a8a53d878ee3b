"""The step in which the loss or its gradient stops being a number, and how it came to that."""

from __future__ import annotations

import math

from tests.training.alerts.curves import SITUATION, steps

from vitscope.events import StepRecord, StepsDone
from vitscope.training.alerts import NotFinite


def test_numbers_are_no_alert():
    assert steps(NotFinite(SITUATION), [2.3, 1e30, 0.0]) == []


def test_a_loss_that_diverged():
    (alert,) = steps(NotFinite(SITUATION), [*[1.0] * 10, *[20.0] * 10, math.nan])
    assert (alert.step, alert.kind) == (21, "not-finite")
    assert "had risen from 1 to 20" in alert.text
    assert "--lr" in alert.text


def test_one_that_broke_suddenly_in_bf16():
    (alert,) = steps(NotFinite(SITUATION._replace(precision="bf16")), [*[1.0] * 30, math.inf])
    assert "suddenly, after a loss of 1" in alert.text
    assert "--precision fp32" in alert.text


def test_a_gradient_of_a_finite_loss():
    alert = NotFinite(SITUATION)(StepsDone((StepRecord(1, 0, 2.0, 1e-3, math.inf, 1.0),)))
    assert alert is not None
    assert "gradient's norm became inf in step 1; it came at the very start" in alert.text
