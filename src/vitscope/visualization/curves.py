"""Curves of one or several runs: loss, accuracy, learning rate, gradient norm, throughput.

A run's numbers come as a frame with a row a number and the columns `step epoch split name value time`. With one run a
colour is a split, with several a colour is a run and the line's style is the split.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from vitscope.metrics.query import Best
from vitscope.visualization import style
from vitscope.visualization.series import FEWEST_TO_SMOOTH, Points, alone, smooth, thin

XAxis = Literal["step", "epoch", "time"]
X_AXES: tuple[XAxis, ...] = ("step", "epoch", "time")

COLUMNS = 1200  # pixel columns of the widest panel, about
MOST_MARKERS = 40  # on a line
MOST_MARKERS_OF_MANY = 8
MOST_NAMES = 24
PANEL_IN = 3.1  # height


class Curve(NamedTuple):
    """A run to draw: the name shown for it, its frame, and its best epoch, which is marked."""

    label: str
    frame: pd.DataFrame
    best: Best | None = None


class Panel(NamedTuple):
    """One pair of axes: what it shows, of which splits, and how."""

    title: str
    unit: str
    metric: str
    splits: tuple[str, ...] = ("",)
    scale: float = 1.0
    may_be_log: bool = False
    smoothed: bool = False


PANELS = {
    "loss": Panel("Loss", "cross-entropy (nats)", "loss", ("train", "val", "test"), may_be_log=True, smoothed=True),
    "accuracy": Panel("Accuracy", "top-1 accuracy (%)", "top1", ("val", "test"), scale=100),
    "lr": Panel("Learning rate", "learning rate", "lr", may_be_log=True),
    "grad_norm": Panel("Gradient norm", "L2 norm before clipping", "grad_norm", may_be_log=True, smoothed=True),
    "throughput": Panel("Throughput", "images/s", "images_per_s", smoothed=True),
}
SPLIT_NAMES = {"train": "training", "val": "validation", "test": "test"}
SPLIT_COLOURS = {"train": style.PALETTE[0], "val": style.PALETTE[1], "test": style.PALETTE[2], "": style.PALETTE[0]}


def draw(
    curves: Sequence[Curve], panels: Sequence[str] = tuple(PANELS), x: XAxis = "step", log: bool = False
) -> Figure:
    """One figure with the named `PANELS`. `log`: logarithmic loss, learning rate and gradient norm."""
    runs = [_Run.of(curve) for curve in curves]
    scale = _scale(runs, x)
    rows = [list(panels)] if len(panels) <= 3 else [list(panels[:2]), list(panels[2:])]
    header = _Header(runs, [PANELS[name] for name in panels], width_in=max(7.2, 3.9 * max(map(len, rows))))
    made = style.figure(header.width_in, header.height_in + PANEL_IN * len(rows))
    grid = made.add_gridspec(1 + len(rows), 6, height_ratios=[header.height_in, *[PANEL_IN] * len(rows)])
    header.draw(made.add_subplot(grid[0, :]))
    for i, row in enumerate(rows):
        span = 6 // len(row)
        for j, name in enumerate(row):
            _draw_panel(made.add_subplot(grid[1 + i, j * span : (j + 1) * span]), PANELS[name], runs, scale, log)
    return made


# --------------------------------------------------------------------------------------- a run's numbers


@dataclass(frozen=True)
class _Run:
    label: str
    series: dict[Hashable, pd.DataFrame]  # by (split, name)
    started: float
    best: Best | None

    @classmethod
    def of(cls, curve: Curve) -> _Run:
        series = dict(iter(curve.frame.groupby(["split", "name"], sort=False)))
        started = float(curve.frame["time"].to_numpy()[0]) if len(curve.frame) else 0.0
        return cls(style.one_line(curve.label), series, started, curve.best)

    def positions(self, rows: pd.DataFrame, scale: _Scale) -> np.ndarray:
        values = rows[scale.axis].to_numpy(np.float64)
        if scale.axis == "time":
            values = (values - self.started) / scale.unit
        return np.fmax.accumulate(values)  # a clock that was set back must not draw the line backwards

    def points(self, split: str, panel: Panel, scale: _Scale) -> Points:
        rows = self.series.get((split, panel.metric))
        if rows is None:
            return Points(np.empty(0), np.empty(0))
        return Points(self.positions(rows, scale), rows["value"].to_numpy(np.float64) * panel.scale)

    def best_epoch(self) -> float | None:
        """Epochs that were done when the best model was met."""
        if self.best is None or (rows := self.series.get(("val", "top1"))) is None:
            return None
        epochs = rows["epoch"].to_numpy()[rows["step"].to_numpy() == self.best.step]
        return float(epochs[-1]) if len(epochs) else None


class _Scale(NamedTuple):
    """The x axis: its label, for time the seconds that a unit has, and the last position of any line."""

    axis: XAxis
    label: str
    unit: float = 1.0
    last: float = 1.0


def _scale(runs: Sequence[_Run], x: XAxis) -> _Scale:
    ends = [
        rows[x].to_numpy().max() - (run.started if x == "time" else 0) for run in runs for rows in run.series.values()
    ]
    last = max(map(float, ends), default=0.0) or 1.0
    if x == "epoch":
        return _Scale(x, "epoch", last=last)
    if x == "step":
        return _Scale(x, "optimizer step", last=last)
    name, unit = ("s", 1.0) if last < 180 else ("min", 60.0) if last < 3 * 3600 else ("h", 3600.0)
    return _Scale(x, f"time since the start ({name})", unit, last / unit)


# ------------------------------------------------------------------------------------------------- a panel


def _draw_panel(axes: Axes, panel: Panel, runs: Sequence[_Run], scale: _Scale, log: bool) -> None:
    is_log = log and panel.may_be_log
    style.dress(axes, title=panel.title, x=scale.label, y=panel.unit)
    left_out: Counter[str] = Counter()
    for number, run in enumerate(runs):
        for split in panel.splits:
            points = run.points(split, panel, scale)
            look = _look(split, number, len(runs))
            left_out += _mark_missing(axes, points, look.colour)
            if is_log:
                left_out["not above 0 left out"] += int((points.y <= 0).sum())
                points = Points(points.x, np.where(points.y > 0, points.y, np.nan))
            _draw_line(axes, points, look, is_noisy=panel.smoothed and split in ("train", ""))
        if len(runs) <= len(style.PALETTE) and panel.metric in ("top1", "loss"):
            _mark_best(axes, panel, run, scale, _look("val", number, len(runs)).colour)
    if not axes.lines:
        axes.set(xticks=[], yticks=[])
        _note(axes, 0.5, 0.5, "nothing recorded yet", style.MUTED, ha="center", va="center")
        return
    if text := ", ".join(f"{count:,} {what}" for what, count in left_out.items() if count):  # such as "3 NaN, 1 Inf"
        _note(axes, 1.0, 1.02, text, SPLIT_COLOURS["val"], ha="right", va="bottom")
    _scale_axes(axes, panel, is_log, scale)


class _Look(NamedTuple):
    """How one line is drawn. `faint`: opacity of the thin line of single steps under a smoothed one."""

    colour: str
    line: style.Line
    faint: float
    most_markers: int = MOST_MARKERS


def _look(split: str, number: int, count: int) -> _Look:
    """The look of a split of the `number`-th of `count` runs: one run has a colour a split, several a colour a run."""
    if count == 1:
        return _Look(SPLIT_COLOURS[split], style.SPLITS[split], 0.3)
    line = style.SPLITS_OF_SEVERAL.get(split, style.SPLITS[split])
    if number >= len(style.PALETTE) and line.marker:  # the colours repeat
        line = line._replace(marker=style.marker(number))
    most = MOST_MARKERS if count <= len(style.PALETTE) else MOST_MARKERS_OF_MANY
    return _Look(style.colour(number), line, max(0.04, 0.3 / count), most)


def _draw_line(axes: Axes, points: Points, look: _Look, is_noisy: bool) -> None:
    """The line; a noisy one thin and faint under a smoothed one. Numbers alone between gaps get a mark."""
    if not len(points.x):
        return
    colour, line, faint, most_markers = look
    seen = thin(points, COLUMNS)
    is_smoothed = is_noisy and len(points.x) >= FEWEST_TO_SMOOTH
    if is_smoothed:
        axes.plot(*seen, color=colour, linewidth=0.7, alpha=faint, zorder=2)
    every = -(-len(seen.x) // most_markers)
    axes.plot(
        *(smooth(points) if is_smoothed else seen),
        color=colour,
        linewidth=line.width,
        linestyle=line.dashes,
        marker=line.marker,
        markevery=every,
        markersize=3.5,
        zorder=3,
    )
    lonely = alone(seen.y)
    if lonely.any() and not (line.marker and every == 1):
        mark = line.marker or "o"
        axes.plot(seen.x[lonely], seen.y[lonely], color=colour, linestyle="", marker=mark, markersize=3.5, zorder=3)


def _mark_missing(axes: Axes, points: Points, colour: str) -> Counter[str]:
    """A mark at the edge for each value that has no place (NaN, −Inf: bottom; Inf: top). How many there are."""
    kinds = {
        "NaN": (np.isnan(points.y), 0.0, "x"),
        "Inf": (np.isposinf(points.y), 1.0, "^"),
        "−Inf": (np.isneginf(points.y), 0.0, "v"),
    }
    for where, edge, shape in kinds.values():
        if where.any():
            x = thin(Points(points.x[where], np.zeros(where.sum())), COLUMNS // 4).x
            at_edge = axes.get_xaxis_transform()  # x in the data's numbers, y from 0 at the bottom to 1 at the top
            axes.plot(
                x, np.full(len(x), edge), shape, transform=at_edge, color=colour, markersize=4, clip_on=False, zorder=4
            )
    return Counter({name: int(where.sum()) for name, (where, _, _) in kinds.items()})


def _mark_best(axes: Axes, panel: Panel, run: _Run, scale: _Scale, colour: str) -> None:
    """A ring around the validation of the best epoch."""
    rows = run.series.get(("val", panel.metric))
    if rows is None or run.best is None:
        return
    at = (rows["step"] == run.best.step).to_numpy()
    x, y = run.positions(rows, scale)[at], rows["value"].to_numpy(np.float64)[at] * panel.scale
    axes.plot(x, y, "o", color=colour, markersize=9, markerfacecolor="none", markeredgewidth=1.4, zorder=5)


def _scale_axes(axes: Axes, panel: Panel, is_log: bool, scale: _Scale) -> None:
    axes.set_xlim(-0.02 * scale.last, 1.03 * scale.last)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=scale.axis != "time", steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(_short))
    if is_log and np.isfinite(axes.dataLim.minposy):  # something is above 0
        axes.set_yscale("log")
        low, high = axes.get_ylim()
        if panel.metric == "lr":  # a schedule's way to 0 would take all the room
            axes.set_ylim(max(low, high * 1e-4), high)
        subs = (1.0, 2.0, 5.0) if high < 100 * low else (1.0,)
        axes.yaxis.set_major_locator(LogLocator(subs=subs, numticks=8))
        axes.yaxis.set_minor_locator(NullLocator())
    elif panel.metric == "top1":
        low, high = axes.get_ylim()
        middle, half = (low + high) / 2, max(1.0, (high - low) / 2)
        axes.set_ylim(max(middle - half, -3.0), min(middle + half, 103.0))
    axes.yaxis.set_major_formatter(FuncFormatter(_short))


def _short(value: float, _: int | None = None) -> str:
    """A tick's number in a few characters, never as a formula: 0.002, 5e−05, 12,000."""
    plain = f"{value:,.10g}" if value == 0 or 1e-4 <= abs(value) < 1e6 else f"{value:.4g}"
    return plain.replace("e-0", "e-").replace("-", "−")


def _note(axes: Axes, x: float, y: float, text: str, colour: str, *, ha: str, va: str) -> None:
    """A small text at a place given from 0 to 1 in the axes."""
    place = {"horizontalalignment": ha, "verticalalignment": va, "transform": axes.transAxes}
    axes.text(x, y, text, color=colour, fontsize=style.SMALL_PT, **place)


# ------------------------------------------------------------------------------------- title and legend


class _Header:
    """The strip above the panels: whose curves these are, the best epoch, and what each line means."""

    def __init__(self, runs: Sequence[_Run], panels: Sequence[Panel], width_in: float):
        self.runs, self.width_in = runs, width_in
        self.handles = self._runs() + self._splits(panels)
        longest = max((len(str(h.get_label())) for h in self.handles), default=1)
        self.columns = max(1, min(len(self.handles), int(width_in / (0.75 + 0.075 * longest))))
        self.height_in = 0.6 + 0.22 * -(-len(self.handles) // self.columns)

    def draw(self, axes: Axes) -> None:
        title = self.runs[0].label if len(self.runs) == 1 else f"{len(self.runs)} runs"
        style.heading(axes, title, self._told(), self.height_in)
        if self.handles:
            axes.legend(
                handles=self.handles,
                loc="lower left",
                bbox_to_anchor=(0, 0),
                ncols=self.columns,
                fontsize=style.SMALL_PT,
                labelcolor=style.INK,
                frameon=False,
                borderpad=0,
                borderaxespad=0,
                handlelength=2.6,
            )

    def _told(self) -> str:
        if not any(run.series for run in self.runs):
            return "No metrics yet: they appear once the first step is done."
        found = self.runs[0].best
        if len(self.runs) > 1:
            return "Beside each name: best validation accuracy" if any(run.best for run in self.runs) else ""
        epoch = self.runs[0].best_epoch()
        if found is None or epoch is None:
            return "No validation result: no epoch is marked as the best"
        test = "" if found.test_top1 is None else f"; test accuracy there {100 * found.test_top1:.2f} %"
        return f"Best validation accuracy {100 * found.top1:.2f} % after epoch {epoch:g}{test}"

    def _runs(self) -> list[Line2D]:
        if len(self.runs) < 2:
            return []
        handles = []
        for number, run in enumerate(self.runs[:MOST_NAMES]):
            accuracy = "" if run.best is None else f"  {100 * run.best.top1:.2f} %"
            look = {"color": style.colour(number), "marker": style.marker(number), "markersize": 4}
            handles.append(Line2D([], [], linewidth=2, label=run.label + accuracy, **look))
        if len(self.runs) > MOST_NAMES:
            handles.append(Line2D([], [], linestyle="", label=f"and {len(self.runs) - MOST_NAMES} more"))
        return handles

    def _splits(self, panels: Sequence[Panel]) -> list[Line2D]:
        keys = {(split, p.metric) for p in panels for split in p.splits if split}
        shown = {split for split, metric in keys if any((split, metric) in run.series for run in self.runs)}
        handles = []
        for split in (s for s in SPLIT_NAMES if s in shown):
            colour, line, *_ = _look(split, 0, len(self.runs))
            look = {"linestyle": line.dashes, "marker": line.marker, "markersize": 4, "linewidth": line.width}
            handles.append(
                Line2D([], [], color=colour if len(self.runs) == 1 else style.MUTED, label=SPLIT_NAMES[split], **look)
            )
        if "val" in shown and len(self.runs) <= len(style.PALETTE) and any(run.best for run in self.runs):
            colour = SPLIT_COLOURS["val"] if len(self.runs) == 1 else style.MUTED
            ring = {"marker": "o", "markersize": 8, "markerfacecolor": "none", "markeredgecolor": colour}
            handles.append(Line2D([], [], linestyle="", label="best epoch", **ring))
        return handles
