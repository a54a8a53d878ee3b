"""The filters with which a model first looks at a picture, and how alike its position embeddings are."""

from __future__ import annotations

import math

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from vitscope.visualization import style

MOST_FILTERS = 144
MOST_COMPONENTS = 36
MOST_POSITIONS = 14  # a side of the mosaic of position maps
SIDE_IN = 4.2
COLOURS = "viridis"
FINE = 24  # pixels of a small picture's side, at least, so that the gaps between them can be narrow


def figure(
    filters: np.ndarray | None,
    similarity: np.ndarray | None,
    *,
    title: str = "",
    told: str = "",
    reasons: tuple[str, str] = ("", ""),
) -> Figure:
    """Filters (C, h, w, 3) as weights around 0, and cosine similarities (gh·gw, gh, gw), of each position with all.

    Of many filters those of the largest norm are drawn, each scaled to its own largest weight, grey being 0, and beside
    them their principal components. `reasons` say why filters or similarity are None.
    """
    made = style.figure(3 * SIDE_IN + 0.9, SIDE_IN + 1.2)
    grid = made.add_gridspec(2, 3, height_ratios=[0.55, SIDE_IN + 0.5], width_ratios=[1, 1, 1.12])
    style.heading(made.add_subplot(grid[0, :]), title, told, height_in=0.55)
    left, middle, right = (made.add_subplot(grid[1, column]) for column in range(3))
    if filters is None:
        _nothing(left, "Filters of the first convolution", reasons[0])
        _nothing(middle, "Their principal components", "")
    else:
        _filters(left, filters)
        _components(middle, filters)
    if similarity is None:
        _nothing(right, "Position embeddings", reasons[1])
    else:
        _positions(made, right, similarity)
    return made


def _filters(axes: Axes, filters: np.ndarray) -> None:
    count = len(filters)
    by_norm = np.argsort(-np.linalg.norm(filters.reshape(count, -1), axis=1), kind="stable")[:MOST_FILTERS]
    title = f"{count:,} filters of {filters.shape[1]} × {filters.shape[2]} pixels"
    if count > MOST_FILTERS:
        title = f"{title}, the {MOST_FILTERS} largest"
    _show(axes, title, _mosaic(_around_grey(filters[by_norm])))
    axes.set_xlabel("each scaled to its largest weight; grey is 0", fontsize=style.SMALL_PT, color=style.MUTED)


def _components(axes: Axes, filters: np.ndarray) -> None:
    """As figure 7 of Dosovitskiy et al. (arXiv:2010.11929): directions in which the filters differ most, in order."""
    flat = filters.reshape(len(filters), -1).astype(np.float64)
    _, values, directions = np.linalg.svd(flat - flat.mean(axis=0), full_matrices=False)
    shown = min(MOST_COMPONENTS, len(values))
    total = float((values**2).sum())
    share = float((values[:shown] ** 2).sum()) / total if total else 0.0
    _show(axes, "Their principal components", _mosaic(_around_grey(directions[:shown].reshape(-1, *filters.shape[1:]))))
    text = f"the first {shown}: {100 * share:.0f} % of the filters' variance"
    axes.set_xlabel(text, fontsize=style.SMALL_PT, color=style.MUTED)


def _around_grey(filters: np.ndarray) -> np.ndarray:
    """Weights (C, h, w, 3) as colours in 0 … 1: 0 is grey, and each filter uses the whole range."""
    largest = np.abs(filters).max(axis=(1, 2, 3), keepdims=True)
    return 0.5 + filters / (2 * np.where(largest > 0, largest, 1.0))


def _positions(made: Figure, axes: Axes, similarity: np.ndarray) -> None:
    gh, gw = similarity.shape[1:]
    rows, columns = _some(gh), _some(gw)
    chosen = similarity.reshape(gh, gw, gh, gw)[np.ix_(rows, columns)].reshape(-1, gh, gw).astype(np.float64)
    low, high = float(similarity.min()), 1.0
    scale = Normalize(low, high)
    colours = ScalarMappable(scale, COLOURS)
    shown = mpl.colormaps[COLOURS](scale(chosen))[..., :3]
    _show(axes, f"Similarity of the {gh} × {gw} position embeddings", _mosaic(np.asarray(shown), len(columns)))
    some = "" if len(chosen) == gh * gw else f", {len(rows)} × {len(columns)} of them shown"
    text = f"each small map: one position with all others{some}"
    axes.set_xlabel(text, fontsize=style.SMALL_PT, color=style.MUTED)
    bar = made.colorbar(colours, ax=axes, aspect=36, pad=0.02, shrink=0.9)
    bar.set_label("cosine similarity", fontsize=style.LABEL_PT, color=style.MUTED)
    bar.ax.tick_params(labelsize=style.SMALL_PT, labelcolor=style.INK, color=style.GRID)
    bar.outline.set_visible(False)  # type: ignore[operator]  # matplotlib's stub takes the artist for a spine group


def _some(length: int) -> np.ndarray:
    """Up to `MOST_POSITIONS` places, evenly from the first to the last."""
    return np.unique(np.linspace(0, length - 1, min(length, MOST_POSITIONS)).round().astype(int))


def _mosaic(pictures: np.ndarray, across: int | None = None) -> np.ndarray:
    """(C, h, w, 3) in 0 … 1 → one white-framed picture, `across` of them in a row; None: as in a square."""
    finer = max(1, FINE // min(pictures.shape[1:3]))
    pictures = pictures.repeat(finer, axis=1).repeat(finer, axis=2)
    count, height, width, _ = pictures.shape
    across = math.ceil(math.sqrt(count)) if across is None else across
    gap = round(min(height, width) / 10)
    down = -(-count // across)
    canvas = np.ones((down * (height + gap) - gap, across * (width + gap) - gap, 3))
    for number, pixels in enumerate(pictures):
        row, column = divmod(number, across)
        y, x = row * (height + gap), column * (width + gap)
        canvas[y : y + height, x : x + width] = pixels
    return canvas


def _show(axes: Axes, title: str, pixels: np.ndarray) -> None:
    _bare(axes, title)
    axes.imshow(pixels, interpolation="nearest")


def _nothing(axes: Axes, title: str, reason: str) -> None:
    _bare(axes, title)
    axes.text(0.5, 0.5, reason, ha="center", va="center", fontsize=style.LABEL_PT, color=style.MUTED, wrap=True)


def _bare(axes: Axes, title: str) -> None:
    style.dress(axes, title=title)
    axes.set_anchor("N")
    axes.grid(False)
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_visible(False)
