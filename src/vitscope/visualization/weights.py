"""The weights of the fully connected layers, block by block: how they are spread, and the matrices as pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from vitscope.visualization import style

COLUMN_IN, RIDGES_IN = 2.9, 3.4
OVERLAP = 1.7  # height of a curve, in distances of two
COLOURS = "RdBu_r"  # diverging, white at 0
MOST_LABELS = 14


class Matrix(NamedTuple):
    """A layer: its name within its column, its shape, a histogram, and its weights in cells of `cell` each."""

    name: str
    shape: tuple[int, int]
    edges: np.ndarray  # (B + 1,)
    counts: np.ndarray  # (B,)
    cells: np.ndarray  # (r, c), their means
    cell: tuple[int, int]


def figure(columns: Mapping[str, Sequence[Matrix]], *, title: str = "", told: str = "") -> Figure:
    """A column a kind of layer: above, the histograms one under the other, first block first; below, the matrices."""
    tallest = max(_pictures_in(matrices) for matrices in columns.values())
    made = style.figure(COLUMN_IN * len(columns) + 0.3, RIDGES_IN + tallest + 1.5)
    heights = [0.55, RIDGES_IN, tallest]
    grid = made.add_gridspec(3, len(columns), height_ratios=heights)
    style.heading(made.add_subplot(grid[0, :]), title, told, height_in=0.55)
    for column, (name, matrices) in enumerate(columns.items()):
        ridges = made.add_subplot(grid[1, column])
        _ridges(ridges, name, matrices)
        if column == 0:
            ridges.set_ylabel("block", fontsize=style.LABEL_PT, color=style.MUTED)
        _pictures(made.add_subplot(grid[2, column]), matrices)
    return made


def _ridges(axes: Axes, name: str, matrices: Sequence[Matrix]) -> None:
    style.dress(axes, title=name, x="weight")
    axes.grid(False, axis="y")
    count = len(matrices)
    for number, matrix in enumerate(matrices):
        base = -float(number)
        density = matrix.counts / max(1, matrix.counts.max())
        x = np.repeat(matrix.edges, 2)
        y = base + OVERLAP * 0.92 * np.concatenate([[0], np.repeat(density, 2), [0]])
        colour = _colour(number, count)
        axes.fill_between(x, base, y, color=colour, alpha=0.85, linewidth=0, zorder=2 * number + 2)
        axes.plot(x, y, color=style.SURFACE, linewidth=0.7, zorder=2 * number + 3)
    widest = max(float(np.abs(matrix.edges).max()) for matrix in matrices)
    axes.set_xlim(-widest, widest)
    axes.set_ylim(-count + 0.85, OVERLAP)
    every = max(1, -(-count // MOST_LABELS))
    axes.set_yticks([-float(n) for n in range(0, count, every)], [m.name for m in matrices[::every]])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(5, symmetric=True))


def _colour(number: int, count: int) -> tuple[float, ...]:
    """From light to dark with the depth."""
    share = 0.35 + 0.65 * (number / max(1, count - 1))
    base = np.array(to_rgb(style.PALETTE[0]))
    return tuple(1 - share * (1 - base))


def _across(matrices: Sequence[Matrix]) -> int:
    """How many pictures stand in a row, so that they fill about a square."""
    height, width = matrices[0].cells.shape
    return max(1, min(len(matrices), round(math.sqrt(len(matrices) * height / width))))


def _pictures_in(matrices: Sequence[Matrix]) -> float:
    """Height of a column's pictures at the column's width."""
    height, width = matrices[0].cells.shape
    across = _across(matrices)
    down = -(-len(matrices) // across)
    return min(5.5, max(1.2, COLUMN_IN * 0.85 * down * height / (across * width)))


def _pictures(axes: Axes, matrices: Sequence[Matrix]) -> None:
    """The matrices as one picture, in the order of the blocks, row by row; red above 0, blue below."""
    across = _across(matrices)
    height, width = (max(m.cells.shape[axis] for m in matrices) for axis in (0, 1))
    gap = max(1, round(max(height, width) / 16))
    down = -(-len(matrices) // across)
    canvas = np.full((down * (height + gap) - gap, across * (width + gap) - gap), np.nan)
    for number, matrix in enumerate(matrices):
        row, column = divmod(number, across)
        y, x = row * (height + gap), column * (width + gap)
        canvas[y : y + matrix.cells.shape[0], x : x + matrix.cells.shape[1]] = matrix.cells
    limit = float(np.nanpercentile(np.abs(canvas), 99)) or 1.0
    style.dress(axes)
    axes.grid(False)
    axes.set(xticks=[], yticks=[])
    axes.set_anchor("N")
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.imshow(canvas, cmap=COLOURS, vmin=-limit, vmax=limit, interpolation="nearest")
    outputs, inputs = matrices[0].shape
    cell = matrices[0].cell
    each = "" if cell == (1, 1) else f", means of {cell[0]} × {cell[1]}"
    text = f"{outputs:,} × {inputs:,}{each}; ± {limit:.2g}"
    axes.set_xlabel(text, fontsize=style.SMALL_PT, color=style.MUTED)
