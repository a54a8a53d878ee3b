"""Overfitting is validation past its best in loss and accuracy while the training loss falls; nothing less."""

from __future__ import annotations

import numpy as np
import pytest
from tests.training.alerts.curves import SITUATION, epochs, falling

from vitscope.training.alerts import Onset, Overfitting

COUNT = 30
TRAIN = falling(COUNT, 2.3, 0.05, 0.0)
DOWN_AND_UP = np.concatenate([np.linspace(2.3, 0.8, 10), np.linspace(0.82, 1.6, COUNT - 10)])
UP_AND_DOWN = np.concatenate([np.linspace(0.1, 0.7, 11), np.linspace(0.69, 0.66, COUNT - 11)])


def overfitting(is_told: bool = False, validation: int = 500) -> Overfitting:
    return Overfitting(SITUATION._replace(validation=validation), Onset(is_told))


def test_it_is_told_once_some_epochs_after_the_best():
    (alert,) = epochs(overfitting(), TRAIN, DOWN_AND_UP, UP_AND_DOWN)
    assert alert.kind == "overfitting"
    assert 150 <= alert.step <= 200
    assert "at best 70.0% (epoch 11)" in alert.text
    assert "--policy randaugment" in alert.text
    after = slice(12, None)
    assert len(epochs(overfitting(), TRAIN[after], DOWN_AND_UP[after], UP_AND_DOWN[after])) == 1
    assert epochs(overfitting(is_told=True), TRAIN[after], DOWN_AND_UP[after], UP_AND_DOWN[after]) == []


def test_a_loss_that_rises_while_accuracy_does_is_not():
    assert epochs(overfitting(), TRAIN, DOWN_AND_UP, np.linspace(0.1, 0.9, COUNT)) == []


def test_nor_is_one_that_rises_with_the_training_loss():
    assert epochs(overfitting(), DOWN_AND_UP, DOWN_AND_UP, UP_AND_DOWN) == []


def test_nor_what_a_handful_of_pictures_says():
    assert epochs(overfitting(validation=7), TRAIN, DOWN_AND_UP, UP_AND_DOWN) == []


def test_without_validation_there_is_none():
    assert epochs(overfitting(), TRAIN) == []


@pytest.mark.parametrize("seed", range(20))
def test_noise_of_a_healthy_run_is_not(seed: int):
    loss = falling(60, 2.2, 0.3, 0.1, seed)
    top1 = np.clip(1 - loss / 2.4 + np.random.default_rng(seed).normal(0, 0.01, 60), 0, 1)
    assert epochs(overfitting(), falling(60, 2.3, 0.1, 0.02, seed), loss, top1) == []
