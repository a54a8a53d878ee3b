"""Where a model looks on one picture: rollout over it, and the map of every head of every layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image, ImageFilter

from vitscope.visualization import style

COLOURS = "viridis"  # perceptually uniform, and told apart with any colour vision
GAP = 0.06  # between small maps, of their side
PANEL_IN = 2.7  # side of the large pictures
LARGEST_IN, SMALLEST_IN, WIDEST_IN, TALLEST_IN = 2.7, 0.34, 11.0, 6.0


def figure(
    picture: np.ndarray,
    maps: np.ndarray,
    rollout: np.ndarray | None = None,
    *,
    layers: Sequence[int],
    heads: Sequence[int],
    title: str = "",
    told: str = "",
    mask: np.ndarray | None = None,
    whose: str = "the class token",
) -> Figure:
    """(S, S, 3) uint8, maps (L, H, gh, gw) and rollout (gh, gw), not below 0; each is shown up to its own largest.

    `layers` and `heads` name the maps' first two axes. A `mask` (S, S) is outlined on the large pictures. NaN maps (of
    heads that a layer does not have) stay empty.
    """
    places = _Places.of(maps, layers, heads)
    cell_in = max(SMALLEST_IN, min(WIDEST_IN / places.across, TALLEST_IN / places.down, LARGEST_IN))
    stacked_in = PANEL_IN if rollout is None else 2 * PANEL_IN + 0.4
    grid_in = (max(places.across * cell_in, 4.0), max(places.down * cell_in, stacked_in - 0.6))
    body_in = grid_in[1] + 1.1
    made = style.figure(PANEL_IN + grid_in[0] + 0.9, body_in + 0.75)
    outer = made.add_gridspec(2, 2, height_ratios=[0.55, body_in], width_ratios=[PANEL_IN, grid_in[0] + 0.5])
    header = made.add_subplot(outer[0, :])
    style.heading(header, title, told, height_in=0.55)
    _legend(header, made.get_figwidth(), 0.55)

    large = [("picture", picture)]
    if rollout is not None:
        large.append(("rollout, all layers", over(picture, rollout)))
    left = outer[1, 0].subgridspec(len(large), 1)
    for row, (name, pixels) in enumerate(large):
        axes = made.add_subplot(left[row])
        _bare(axes, name)
        axes.imshow(pixels, interpolation="nearest")
        axes.set_anchor("NW")
        if mask is not None:
            _outline(axes, mask)
    axes = made.add_subplot(outer[1, 1])
    _mosaic(axes, picture, maps, places, round(cell_in * style.DPI))
    _bare(axes, f"attention of {whose}")
    places.name(axes)
    return made


def _legend(header: Axes, width_in: float, height_in: float) -> None:
    """What the colours mean, at the right end of the header's first line."""
    x, y, length, height = 1 - 3.0 / width_in, 1 - 0.2 / height_in, 1.2 / width_in, 0.12 / height_in
    bar = header.inset_axes((x, y, length, height))
    bar.imshow(np.linspace(0, 1, 256)[None], cmap=COLOURS, aspect="auto")
    bar.axis("off")
    look = {"va": "center", "fontsize": style.SMALL_PT, "color": style.MUTED, "transform": header.transAxes}
    header.text(x - 0.08 / width_in, y + height / 2, "0", ha="right", **look)
    header.text(x + length + 0.08 / width_in, y + height / 2, "largest of each map", ha="left", **look)


class _Places(NamedTuple):
    """Where the map of each (layer, head) stands: a column a layer and a row a head; the heads of one layer wrapped."""

    layers: Sequence[int]
    heads: Sequence[int]
    across: int
    down: int
    shown: list[tuple[int, int]]  # indices into the maps, row by row

    @classmethod
    def of(cls, maps: np.ndarray, layers: Sequence[int], heads: Sequence[int]) -> _Places:
        if len(layers) == 1:
            across = math.ceil(math.sqrt(len(heads)))
            shown = [(0, head) for head in range(len(heads))]
            return cls(layers, heads, across, -(-len(heads) // across), shown)
        shown = [(layer, head) for head in range(len(heads)) for layer in range(len(layers))]
        return cls(layers, heads, len(layers), len(heads), shown)

    def name(self, axes: Axes) -> None:
        """Say at the edges, or in words, which is which. The picture reaches from 0 to 1 a map."""
        axes.tick_params(labelsize=style.SMALL_PT, labelcolor=style.INK, length=0)
        look = {"fontsize": style.LABEL_PT, "color": style.MUTED}
        if len(self.layers) == 1:
            order = "" if len(self.heads) == 1 else ", row by row"
            first, last = self.heads[0], self.heads[-1]
            which = f"head {first}" if first == last else f"heads {first} to {last}"
            axes.set_xlabel(f"layer {self.layers[0]}, {which}{order}", **look)
            return
        every = 1 if self.across <= 24 else 2
        width = 1 - GAP / (1 + GAP)  # of a map, without the gap after it
        axes.set_xticks(np.arange(0, self.across, every) + width / 2, [str(n) for n in self.layers[::every]])
        axes.set_yticks(np.arange(self.down) + width / 2, [str(n) for n in self.heads])
        axes.set_xlabel("layer", **look)
        axes.set_ylabel("head", **look)


def over(picture: np.ndarray, values: np.ndarray, side: int | None = None) -> np.ndarray:
    """A map (gh, gw) in colour over the picture in grey, (side, side, 3) uint8; patches stay squares."""
    image = Image.fromarray(picture)
    size = (side, side) if side is not None else image.size
    grey = np.asarray(image.convert("L").resize(size, Image.Resampling.BOX), np.float64)[..., None]
    largest = values.max()
    share = np.asarray(values / largest if largest > 0 else values, np.float32)
    fine = np.asarray(Image.fromarray(share).resize(size, Image.Resampling.NEAREST), np.float64)
    colour = mpl.colormaps[COLOURS](fine)[..., :3] * 255
    alpha = (0.35 + 0.45 * fine)[..., None]
    return np.rint(colour * alpha + grey * (1 - alpha)).clip(0, 255).astype(np.uint8)


def _outline(axes: Axes, mask: np.ndarray) -> None:
    """A white line around what is 255, smoother than its pixels."""
    height, width = mask.shape
    fine = Image.fromarray(mask).resize((width * 4, height * 4)).filter(ImageFilter.GaussianBlur(3))
    x, y = (np.arange(4 * length) / 4 - 0.375 for length in (width, height))
    axes.contour(x, y, np.asarray(fine), [127], colors=style.SURFACE, linewidths=1.4)


def _mosaic(axes: Axes, picture: np.ndarray, maps: np.ndarray, places: _Places, side: int) -> None:
    """All small maps as one picture."""
    side = min(side, len(picture) * max(1, side // len(picture)))  # whole pixels of the picture, or fewer
    step = side + max(1, round(GAP * side))
    canvas = np.full((places.down * step, places.across * step, 3), 255, np.uint8)
    for number, where in enumerate(places.shown):
        row, column = divmod(number, places.across)
        if np.isfinite(maps[where]).all():
            canvas[row * step : row * step + side, column * step : column * step + side] = over(
                picture, maps[where], side
            )
    axes.imshow(canvas, interpolation="antialiased", aspect="equal", extent=(0, places.across, places.down, 0))
    axes.set_anchor("NW")


def _bare(axes: Axes, name: str) -> None:
    style.dress(axes, title=name)
    axes.grid(False)
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_visible(False)
