"""How far and how widely each head looks, layer by layer (after figure 11 of Dosovitskiy et al., arXiv:2010.11929)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from vitscope.visualization import style

PANEL_IN = (4.1, 3.6)


class Reference(NamedTuple):
    """A horizontal line, or one a layer: what a value would be in a case that everybody can picture."""

    name: str
    value: float | np.ndarray  # (L,) where layers differ


class Panel(NamedTuple):
    """Values (L, H), NaN where a layer has no such head, and their spread over the pictures, if known."""

    title: str
    unit: str
    values: np.ndarray
    spread: np.ndarray | None = None
    reference: Reference | None = None
    scale: float = 1.0


def figure(panels: list[Panel], *, title: str = "", told: str = "") -> Figure:
    """A panel a measure: a dot a head, with the spread over pictures as a thin line, and the mean of the heads."""
    made = style.figure(PANEL_IN[0] * len(panels), PANEL_IN[1] + 1.0)
    grid = made.add_gridspec(2, len(panels), height_ratios=[0.85, PANEL_IN[1]])
    header = made.add_subplot(grid[0, :])
    style.heading(header, title, told, height_in=0.85)
    _legend(header, panels)
    for column, panel in enumerate(panels):
        _draw(made.add_subplot(grid[1, column]), panel)
    return made


def _draw(axes: Axes, panel: Panel) -> None:
    style.dress(axes, title=panel.title, x="layer", y=panel.unit)
    values = panel.values * panel.scale
    layers, heads = values.shape
    # Heads stand a little apart from each other in the order of their numbers, so that no dot hides another.
    apart = np.linspace(-0.28, 0.28, heads) if heads > 1 else np.zeros(1)
    x = np.arange(layers)[:, None] + apart[None]
    if panel.spread is not None:
        spread = panel.spread * panel.scale
        axes.vlines(x.ravel(), (values - spread).ravel(), (values + spread).ravel(), color=style.PALETTE[5], lw=0.8)
    axes.plot(x.ravel(), values.ravel(), "o", color=style.PALETTE[0], markersize=4, alpha=0.85, zorder=3)
    axes.plot(np.arange(layers), np.nanmean(values, axis=1), color=style.PALETTE[1], linewidth=1.8, zorder=4)
    if panel.reference is not None:
        levels = np.broadcast_to(panel.reference.value, layers) * panel.scale
        look = {"color": style.MUTED, "linewidth": 1, "linestyle": (0, (4, 2))}
        if np.ptp(levels) > 0:
            axes.hlines(levels, np.arange(layers) - 0.45, np.arange(layers) + 0.45, **look)
        else:
            axes.axhline(levels[0], **look)
        level = levels[-1]  # where its name stands
        axes.annotate(
            panel.reference.name,
            (1, level),
            xycoords=axes.get_yaxis_transform(),  # type: ignore[arg-type]  # x from 0 to 1, y in the data's numbers
            xytext=(0, 5),
            textcoords="offset points",
            ha="right",
            fontsize=style.SMALL_PT,
            color=style.MUTED,
            bbox={"facecolor": style.SURFACE, "edgecolor": "none", "alpha": 0.8, "pad": 0.5},
            zorder=5,
        )
    axes.set_xlim(-0.6, layers - 0.4)
    axes.set_ylim(bottom=0)
    axes.set_ylim(top=axes.get_ylim()[1] * 1.04)
    axes.xaxis.set_major_locator(MaxNLocator(12, integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))


def _legend(axes: Axes, panels: list[Panel]) -> None:
    handles = [
        Line2D([], [], marker="o", linestyle="", color=style.PALETTE[0], markersize=4, label="head"),
        Line2D([], [], color=style.PALETTE[1], linewidth=1.8, label="mean of the heads"),
    ]
    if any(panel.spread is not None for panel in panels):
        label = "standard deviation over the pictures"
        handles.insert(1, Line2D([], [], color=style.PALETTE[5], linewidth=1, label=label))
    axes.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(0, 0),
        ncols=len(handles),
        fontsize=style.SMALL_PT,
        labelcolor=style.INK,
        frameon=False,
        borderpad=0,
        borderaxespad=0,
    )
