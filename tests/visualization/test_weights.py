"""Histograms and matrices, block by block."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from matplotlib.text import Text

from vitscope.visualization import weights
from vitscope.visualization.weights import Matrix


def matrices(blocks: int, shape: tuple[int, int] = (24, 12)) -> list[Matrix]:
    rng = np.random.default_rng(blocks)
    found = []
    edges = np.linspace(-1, 1, 21)
    for block in range(blocks):
        cells = rng.normal(0, 0.2, shape)
        found.append(Matrix(str(block), (2 * shape[0], shape[1]), edges, np.histogram(cells, edges)[0], cells, (2, 1)))
    return found


def texts(made: Any) -> list[str]:
    made.draw_without_rendering()
    return [text.get_text() for text in made.findobj(Text)]


def test_a_column_a_kind_with_blocks_from_above() -> None:
    made = weights.figure({"query, key, value": matrices(4), "projection": matrices(4)}, title="t", told="u")
    found = texts(made)
    assert {"query, key, value", "projection", "t", "u", "block"} <= set(found)
    ridges = next(axes for axes in made.axes if axes.get_title(loc="left") == "projection")
    assert [t.get_text() for t in ridges.get_yticklabels()] == ["0", "1", "2", "3"]
    assert (np.diff([t.get_position()[1] for t in ridges.get_yticklabels()]) < 0).all()
    assert any("48 × 12, means of 2 × 1; ±" in text for text in found)


def test_a_curve_is_its_histogram() -> None:
    (matrix,) = matrices(1)
    made = weights.figure({"only": [matrix]})
    ridges = next(axes for axes in made.axes if axes.get_title(loc="left") == "only")
    heights = ridges.lines[0].get_ydata()[1:-1:2]
    assert heights / heights.max() == pytest.approx(matrix.counts / matrix.counts.max())


def test_matrices_are_centred_at_zero_and_stand_row_by_row() -> None:
    made = weights.figure({"only": matrices(3, (10, 10))})
    made.draw_without_rendering()
    (image,) = [image for axes in made.axes for image in axes.images]
    assert image.norm.vmin == -image.norm.vmax
    canvas = np.ma.filled(image.get_array().astype(float), np.nan)
    assert canvas[:10, :10] == pytest.approx(matrices(3, (10, 10))[0].cells)
    assert canvas[:10, 11:] == pytest.approx(matrices(3, (10, 10))[1].cells)
    assert np.isnan(canvas[11:, 11:]).all()


def test_layers_of_zeros_and_many_blocks_are_drawn() -> None:
    zeros = [m._replace(cells=np.zeros_like(m.cells), counts=np.zeros_like(m.counts)) for m in matrices(2)]
    made = weights.figure({"zeros": zeros, "many": matrices(48)})
    assert any("zeros" in text for text in texts(made))
    assert any(image.get_array().size for axes in made.axes for image in axes.images)
