"""Filters, their principal components, and similarities of positions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from matplotlib.text import Text
from sklearn.decomposition import PCA

from vitscope.visualization import filters


def shown(made: Any) -> list[np.ndarray]:
    made.draw_without_rendering()
    return [np.asarray(axes.images[0].get_array(), float) for axes in made.axes if axes.images]


def texts(made: Any) -> str:
    return "\n".join(text.get_text() for text in made.findobj(Text))


def test_filters_by_norm_each_in_its_own_range() -> None:
    weights = np.zeros((4, 24, 24, 3))
    for number, scale in enumerate((0.1, 0.4, 0.3, 0.2)):
        weights[number, :, :12] = scale
        weights[number, :, 12:] = -scale / 2
    left, *_ = shown(filters.figure(weights, None))
    second = left[0:24, 24 + 2 : 50]  # gaps are 2 of 24 wide
    assert left.shape == (50, 50, 3)
    assert left[0, 0] == pytest.approx([1, 1, 1]) and left[0, 20] == pytest.approx([0.25] * 3)  # the largest, scale 0.4
    assert second[0, 0] == pytest.approx([1, 1, 1])
    assert left[25, 25] == pytest.approx([1, 1, 1])  # the gap


def test_small_filters_are_enlarged_and_many_are_left_out() -> None:
    weights = np.random.default_rng(0).normal(size=(200, 3, 3, 3))
    made = filters.figure(weights, None, reasons=("", "It has no position embedding."))
    assert shown(made)[0].shape == (12 * 26 - 2, 12 * 26 - 2, 3)
    assert "200 filters of 3 × 3 pixels, the 144 largest" in texts(made)
    assert "It has no position embedding." in texts(made)


def test_components_are_those_of_scikit_learn() -> None:
    weights = np.random.default_rng(1).normal(size=(60, 24, 24, 3)) * np.linspace(0.2, 3, 24)[None, :, None, None]
    made = filters.figure(weights, None)
    middle = shown(made)[1]
    pca = PCA(36, svd_solver="full").fit(weights.reshape(60, -1))
    first = pca.components_[0].reshape(24, 24, 3)
    expected = 0.5 + first / (2 * np.abs(first).max())
    drawn = middle[:24, :24]
    assert min(np.abs(drawn - expected).max(), np.abs(drawn - (1 - expected)).max()) < 1e-6  # its sign is free
    assert f"the first 36: {100 * pca.explained_variance_ratio_.sum():.0f} %" in texts(made)


def test_positions_stand_in_their_places() -> None:
    rng = np.random.default_rng(2)
    rows = rng.normal(size=(6, 8))
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    similarity = (unit @ unit.T).reshape(6, 2, 3)
    made = filters.figure(None, similarity, reasons=("Its first convolution sees no colours.", ""))
    (mosaic,) = shown(made)[-1:]
    lightest = mosaic.sum(axis=-1)
    for row, column in np.ndindex(2, 3):  # each position is most like itself: yellow in its own map
        finer = 12
        y, x = row * (24 + 2) + row * finer, column * (36 + 2) + column * finer
        assert mosaic[y + 2, x + 2] == pytest.approx([0.993, 0.906, 0.144], abs=0.01)
    assert lightest.max() == pytest.approx(3)  # the gaps
    assert "Its first convolution sees no colours." in texts(made)
    assert "Similarity of the 2 × 3 position embeddings" in texts(made)


def test_of_many_positions_some_are_shown() -> None:
    made = filters.figure(None, np.ones((37 * 37, 37, 37)))
    assert "14 × 14 of them shown" in texts(made)
