"""The confusion matrix: which classes are taken for which."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from vitscope.visualization import style

MOST_NUMBERS = 20  # classes up to which each cell tells its count
MOST_NAMES = 60  # classes up to which every class is named
# One hue, lightness falling evenly from white; by the square root of the share, so that rare mistakes can be seen.
COLOURS = "Blues"


def figure(confusion: np.ndarray, classes: Sequence[str], title: str = "") -> Figure:
    """(C, C) counts, rows the true classes and columns the predicted ones, coloured by their share of the row."""
    classes = [style.one_line(name, 24) for name in classes]
    total = confusion.sum(axis=1, keepdims=True)
    share = np.ma.masked_array(confusion / np.maximum(total, 1), mask=np.broadcast_to(total == 0, confusion.shape))
    roomy = min(len(classes), MOST_NUMBERS)
    side_in = min(11.0, max(3.6, 1.2 + 0.42 * roomy + 0.13 * (len(classes) - roomy)))
    made = style.figure(side_in + 1.6, side_in + 0.8)
    axes = made.add_subplot()
    style.dress(axes, title=title, x="predicted class", y="true class")
    axes.grid(False)
    axes.set_facecolor(style.GRID)  # shows where a class has no image
    image = axes.imshow(share, cmap=COLOURS, norm=PowerNorm(0.5, 0, 1), interpolation="nearest")
    bar = made.colorbar(image, ax=axes, aspect=36, pad=0.02, ticks=[0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 1])
    bar.ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    bar.set_label("share of the true class", fontsize=style.LABEL_PT, color=style.MUTED)
    bar.ax.tick_params(labelsize=style.SMALL_PT, labelcolor=style.INK, color=style.GRID)
    bar.outline.set_visible(False)  # type: ignore[operator]  # matplotlib's stub takes the artist for a spine group
    _name(axes, classes)
    if len(classes) <= MOST_NUMBERS:
        _number(axes, confusion, share, cell_pt=72 * (side_in - 1.2) / len(classes))
    return made


def _name(axes: Axes, classes: Sequence[str]) -> None:
    if len(classes) > MOST_NAMES:
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(10, integer=True))
        return
    small = style.SMALL_PT if len(classes) <= MOST_NUMBERS else style.SMALL_PT - 2
    short = all(len(name) <= 3 for name in classes) and len(classes) <= MOST_NUMBERS
    axes.set_xticks(range(len(classes)), classes, rotation=0 if short else 90, fontsize=small)
    axes.set_yticks(range(len(classes)), classes, fontsize=small)


def _number(axes: Axes, confusion: np.ndarray, share: np.ma.MaskedArray, cell_pt: float) -> None:
    digit = 0.68  # width of a character as a share of its size
    for row, column in zip(*np.nonzero(confusion), strict=True):
        text = f"{confusion[row, column]:,}"
        size = min(style.SMALL_PT, 0.9 * cell_pt / (digit * len(text)))
        colour = style.SURFACE if share[row, column] > 0.3 else style.INK
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=size)
