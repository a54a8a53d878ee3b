"""The loss against a growing learning rate, and the rate that is suggested."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from vitscope.visualization import style


def figure(
    lrs: Sequence[float], losses: Sequence[float], smoothed: Sequence[float], *, suggested: float | None, told: str
) -> Figure:
    """Dots are the steps' losses, the line is smoothed; a vertical line marks what is suggested."""
    made = style.figure(6.4, 4.4)
    grid = made.add_gridspec(2, 1, height_ratios=[0.6, 3.6])
    style.heading(made.add_subplot(grid[0]), "Learning rate range test", told, height_in=0.6)
    axes = made.add_subplot(grid[1])
    style.dress(axes, x="learning rate", y="training loss")
    axes.set_xscale("log")
    axes.plot(lrs, losses, "o", color=style.PALETTE[5], markersize=3, label="step")
    axes.plot(lrs, smoothed, color=style.PALETTE[0], linewidth=1.8, label="smoothed")
    if suggested is not None:
        axes.axvline(suggested, color=style.PALETTE[1], linewidth=1.4, label=f"suggested: {suggested:.2g}")
    axes.legend(fontsize=style.SMALL_PT, labelcolor=style.INK, frameon=False)
    return made
