"""Probabilities against SciPy."""

from __future__ import annotations

import numpy as np
import scipy.special

from vitscope.inspection.prediction import best, probabilities


def test_probabilities_are_scipys() -> None:
    logits = np.random.default_rng(0).normal(size=(3, 7)).astype(np.float32) * 40
    np.testing.assert_allclose(
        probabilities(logits), scipy.special.softmax(logits.astype(np.float64), axis=-1), rtol=1e-12
    )
    np.testing.assert_allclose(probabilities(np.array([1e4, -1e4, 1e4])), [0.5, 0, 0.5])


def test_the_best_come_first_and_of_equal_ones_the_first() -> None:
    shares = np.array([[0.1, 0.3, 0.3, 0.2, 0.05, 0.05], [0.5, 0.0, 0.1, 0.1, 0.2, 0.1]])
    assert best(shares).tolist() == [[1, 2, 3, 0, 4], [0, 4, 2, 3, 5]]
    assert best(shares[0], 2).tolist() == [1, 2]
    assert best(shares[0, :2]).tolist() == [1, 0]
