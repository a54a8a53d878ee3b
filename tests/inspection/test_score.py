"""A map against a mask: against scikit-learn, and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from vitscope.inspection.score import area_under_roc, patch_shares, score


@pytest.mark.parametrize("levels", [3, 1000])  # few levels: many ties
def test_the_area_is_that_of_scikit_learn(levels: int) -> None:
    random = np.random.default_rng(levels)
    for _ in range(20):
        values = random.integers(0, levels, 60) / levels
        truth = random.random(60) < 0.3
        assert area_under_roc(values[truth], values[~truth]) == pytest.approx(roc_auc_score(truth, values), abs=1e-12)


def test_by_hand() -> None:
    mask = np.zeros((4, 4), np.uint8)
    mask[:2, :2] = 255  # the first patch wholly
    mask[0, 2] = 255  # a quarter of the second
    found = score(np.array([[0.5, 0.3], [0.1, 0.1]]), mask)
    assert found.auc == 1.0
    assert found.mass == pytest.approx(0.5 + 0.3 / 4)
    assert found.object_share == pytest.approx(5 / 16)
    assert score(np.array([[0.2, 0.2], [0.1, 0.5]]), mask).auc == pytest.approx((0.5 + 1 + 0) / 3)


def test_a_map_that_is_the_same_everywhere_knows_nothing() -> None:
    mask = (np.random.default_rng(0).random((12, 12)) < 0.4).astype(float)
    found = score(np.full((3, 3), 0.7), mask)
    assert found.auc in (0.5,) or math.isnan(found.auc)
    assert found.mass == pytest.approx(mask.mean()) == pytest.approx(found.object_share)


def test_a_mask_of_zeros_and_ones_is_the_same_as_one_of_bytes() -> None:
    mask = np.random.default_rng(1).random((8, 8)) < 0.5
    values = np.random.default_rng(2).random((4, 4))
    assert score(values, mask) == pytest.approx(score(values, mask.astype(np.uint8) * 255), nan_ok=True)


def test_a_grid_that_does_not_divide_the_picture_splits_its_pixels() -> None:
    mask = np.random.default_rng(3).random((7, 5))
    fine = np.kron(mask, np.ones((3, 2)))  # each pixel as 3 × 2: then 3 × 2 patches fit
    expected = fine.reshape(3, 7, 2, 5).mean(axis=(1, 3))
    assert patch_shares(mask, (3, 2)) == pytest.approx(expected)


def test_what_cannot_be_said_is_no_number() -> None:
    assert math.isnan(score(np.ones((2, 2)), np.zeros((4, 4))).auc)
    assert math.isnan(score(np.ones((2, 2)), np.ones((4, 4))).auc)
    assert math.isnan(score(np.zeros((2, 2)), np.eye(4)).mass)
