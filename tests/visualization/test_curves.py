"""What the curves show, read back from the figure's own lines and texts."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from PIL import Image

from vitscope.metrics.query import Best
from vitscope.visualization import curves, style
from vitscope.visualization.curves import Curve

Row = tuple[int, float, str, str, float, float]
START = 1_700_000_000.0


def frame(rows: Sequence[Row]) -> pd.DataFrame:
    made = pd.DataFrame(rows, columns=["step", "epoch", "split", "name", "value", "time"])
    return made.astype({"step": int, "epoch": float, "value": float, "time": float})


def recorded(epochs: int = 3, per_epoch: int = 4, scale: float = 1.0) -> pd.DataFrame:
    """A run with a step every 2 s; validation of epoch e is 0.5 + e/10 (times `scale`), test 0.01 lower."""
    rows: list[Row] = []
    for step in range(1, epochs * per_epoch + 1):
        at = (step, step / per_epoch)
        for split, name, value in (
            ("train", "loss", 2 / step),
            ("", "lr", 1e-3 / step),
            ("", "grad_norm", 1.0),
            ("", "images_per_s", 500.0),
        ):
            rows.append((*at, split, name, value, START + 2 * step))
        if step % per_epoch == 0:
            top1 = scale * (0.5 + at[1] / 10)
            for split, name, value in (("val", "loss", 1.5), ("val", "top1", top1), ("test", "top1", top1 - 0.01)):
                rows.append((*at, split, name, value, START + 2 * step))
    return frame(rows)


def panel(figure: Figure, title: str) -> Axes:
    (axes,) = (a for a in figure.axes if a.get_title("left") == title)
    return axes


def texts(figure: Figure) -> str:
    return "\n".join(t.get_text() for t in figure.findobj(Text) if isinstance(t, Text))


def drawn(axes: Axes, colour: str, marker: str | None = None) -> list[Line2D]:
    return [
        line
        for line in axes.lines
        if to_hex(line.get_color()) == to_hex(colour) and (marker is None or line.get_marker() == marker)
    ]


def test_every_panel_says_what_it_shows_with_units() -> None:
    figure = curves.draw([Curve("a run", recorded())])
    told = {a.get_title("left"): (a.get_xlabel(), a.get_ylabel()) for a in figure.axes if a.get_title("left")}
    assert set(told) == {"Loss", "Accuracy", "Learning rate", "Gradient norm", "Throughput"}
    assert {x for x, _ in told.values()} == {"optimizer step"}
    assert "nats" in told["Loss"][1]
    assert "%" in told["Accuracy"][1]
    assert told["Throughput"][1] == "images/s"


def test_accuracy_is_in_percent_at_its_steps() -> None:
    axes = panel(curves.draw([Curve("a run", recorded())]), "Accuracy")
    (validation,) = drawn(axes, curves.SPLIT_COLOURS["val"], "o")[:1]
    assert validation.get_xdata().tolist() == [4, 8, 12]
    assert validation.get_ydata() == pytest.approx([60, 70, 80])
    (test,) = drawn(axes, curves.SPLIT_COLOURS["test"])
    assert test.get_ydata() == pytest.approx([59, 69, 79])
    assert test.get_linestyle() != validation.get_linestyle()


def test_the_best_epoch_is_marked_and_told() -> None:
    figure = curves.draw([Curve("a run", recorded(), Best(step=8, top1=0.7, test_top1=0.69))])
    for title, y in (("Accuracy", 70), ("Loss", 1.5)):
        rings = [line for line in panel(figure, title).lines if line.get_markerfacecolor() == "none"]
        assert [(line.get_xdata().tolist(), line.get_ydata().tolist()) for line in rings] == [([8], [pytest.approx(y)])]
    said = texts(figure)
    assert "70.00 % after epoch 2" in said
    assert "69.00 %" in said


@pytest.mark.parametrize(
    ("x", "label", "steps", "expected"),
    [
        ("epoch", "epoch", 12, [1, 2, 3]),
        ("time", "time since the start (s)", 12, [6, 14, 22]),  # the first step ended at 2 s, which is the origin
        ("step", "optimizer step", 12, [4, 8, 12]),
    ],
)
def test_the_horizontal_axis(x: curves.XAxis, label: str, steps: int, expected: list[float]) -> None:
    axes = panel(curves.draw([Curve("a run", recorded())], x=x), "Accuracy")
    assert axes.get_xlabel() == label
    assert drawn(axes, curves.SPLIT_COLOURS["val"], "o")[0].get_xdata() == pytest.approx(expected)


@pytest.mark.parametrize(("seconds", "unit"), [(100, "(s)"), (1_000, "(min)"), (90_000, "(h)")])
def test_time_has_a_readable_unit(seconds: float, unit: str) -> None:
    rows: list[Row] = [(i, i, "train", "loss", 1.0, START + i * seconds / 20) for i in range(21)]
    axes = panel(curves.draw([Curve("a run", frame(rows))], ["loss"], x="time"), "Loss")
    assert axes.get_xlabel().endswith(unit)
    assert axes.lines[0].get_xdata()[-1] == pytest.approx(seconds / {"(s)": 1, "(min)": 60, "(h)": 3600}[unit])


def test_fault_47_a_clock_set_back_does_not_draw_backwards() -> None:
    rows: list[Row] = [(i, i, "train", "loss", 1.0, START + (i if i < 10 else i - 100)) for i in range(20)]
    axes = panel(curves.draw([Curve("a run", frame(rows))], ["loss"], x="time"), "Loss")
    for line in axes.lines:
        assert (np.diff(line.get_xdata()) >= 0).all()


def test_fault_57_nan_and_inf_are_gaps_marked_at_the_edge_and_counted(tmp_path: Path) -> None:
    rows: list[Row] = [(i, i / 10, "train", "loss", 1.0, START + i) for i in range(1, 31)]
    for step, value in ((10, np.nan), (11, np.nan), (15, np.inf), (20, -np.inf)):
        rows[step - 1] = (step, step / 10, "train", "loss", value, START + step)
    figure = curves.draw([Curve("a run", frame(rows))])
    axes = panel(figure, "Loss")
    marks = {
        line.get_marker(): (line.get_xdata().tolist(), set(line.get_ydata().tolist()))
        for line in axes.lines
        if line.get_transform() == axes.get_xaxis_transform()
    }
    assert marks == {"x": ([10, 11], {0.0}), "^": ([15], {1.0}), "v": ([20], {0.0})}
    assert "2 NaN, 1 Inf, 1 −Inf" in texts(figure)
    raw = next(line for line in axes.lines if len(line.get_xdata()) == 30)
    assert np.flatnonzero(~np.isfinite(raw.get_ydata())).tolist() == [9, 10, 14, 19]
    assert style.save(figure, tmp_path / "a.png") == []


def test_fault_57_nothing_but_nan_and_inf_is_drawn_all_the_same(tmp_path: Path) -> None:
    rows: list[Row] = [(i, i, "train", "loss", v, START) for i, v in enumerate([np.nan, np.inf, -np.inf, np.nan])]
    for log in (False, True):
        assert style.save(curves.draw([Curve("a run", frame(rows))], log=log), tmp_path / "a.png") == []


def test_no_points_are_an_empty_state_that_says_so(tmp_path: Path) -> None:
    figure = curves.draw([Curve("just begun", recorded()[:0])])
    assert "No metrics yet" in texts(figure)
    assert texts(figure).count("nothing recorded yet") == 5
    assert style.save(figure, tmp_path / "a.png") == []


def test_one_point_is_seen(tmp_path: Path) -> None:
    one = recorded()[:4]  # all of step 1
    figure = curves.draw([Curve("one step", one)])
    for title in ("Loss", "Learning rate", "Gradient norm", "Throughput"):
        assert any(line.get_marker() in style.MARKERS for line in panel(figure, title).lines)
    style.save(figure, tmp_path / "a.png")
    pixels = np.asarray(Image.open(tmp_path / "a.png").convert("RGB")).reshape(-1, 3)
    blue = np.array([0, 0x72, 0xB2])
    assert (np.abs(pixels.astype(int) - blue).sum(1) < 30).sum() > 4 * 20  # each mark is about 7 pixels wide


def test_100_000_points_are_quick_and_keep_their_spikes() -> None:
    n = 100_000
    steps = np.arange(1, n + 1)
    loss = np.ones(n)
    loss[[12_345, 77_777]] = 50, -3
    many = pd.DataFrame(
        {"step": steps, "epoch": steps / 1e3, "split": "train", "name": "loss", "value": loss, "time": steps * 0.1}
    )
    started = time.perf_counter()
    axes = panel(curves.draw([Curve("long", many)], ["loss"]), "Loss")
    assert time.perf_counter() - started < 5
    raw = max(axes.lines, key=lambda line: line.get_ydata().max())
    assert (raw.get_ydata().max(), raw.get_ydata().min()) == (50, -3)
    assert raw.get_xdata()[raw.get_ydata().argmax()] == 12_346
    assert len(raw.get_xdata()) < 6_000


def test_a_noisy_line_is_thin_under_a_smoothed_one() -> None:
    axes = panel(curves.draw([Curve("a run", recorded(epochs=10))], ["loss"]), "Loss")
    raw, smoothed = drawn(axes, curves.SPLIT_COLOURS["train"])[:2]
    assert raw.get_linewidth() < smoothed.get_linewidth()
    assert (raw.get_alpha() or 1) < 0.5
    assert raw.get_ydata() == pytest.approx([2 / s for s in range(1, 41)])


def test_several_runs_have_one_colour_each_everywhere() -> None:
    runs = [Curve(f"run {i}", recorded(scale=1 - i / 10), Best(12, 0.8 * (1 - i / 10), None)) for i in range(3)]
    figure = curves.draw(runs)
    for title in ("Loss", "Accuracy", "Learning rate", "Gradient norm", "Throughput"):
        assert {to_hex(line.get_color()) for line in panel(figure, title).lines} == {
            to_hex(style.colour(i)) for i in range(3)
        }
    accuracy = panel(figure, "Accuracy")
    for i in range(3):
        lines = [line for line in drawn(accuracy, style.colour(i)) if len(line.get_xdata()) > 1]
        assert lines[0].get_ydata()[-1] == pytest.approx(80 * (1 - i / 10))
        assert lines[0].get_linestyle() != lines[1].get_linestyle()  # validation, test
    legend = [handle.get_label() for handle in figure.axes[0].get_legend().legend_handles]
    assert legend[:3] == ["run 0  80.00 %", "run 1  72.00 %", "run 2  64.00 %"]
    assert {"training", "validation", "test"} <= set(legend)


def test_many_runs_are_named_up_to_a_limit() -> None:
    figure = curves.draw([Curve(f"run {i}", recorded(epochs=1)) for i in range(30)], ["accuracy"])
    legend = [str(handle.get_label()) for handle in figure.axes[0].get_legend().legend_handles]
    assert sum(label.startswith("run ") for label in legend) == curves.MOST_NAMES
    assert f"and {30 - curves.MOST_NAMES} more" in legend
    looks = {
        (line.get_color(), line.get_marker()) for line in panel(figure, "Accuracy").lines if line.get_linestyle() == "-"
    }
    assert len(looks) == 30


def test_logarithmic_where_it_means_something() -> None:
    rows: list[Row] = [(i, i, "", "lr", i * 1e-4, START) for i in range(20)]
    figure = curves.draw([Curve("a run", pd.concat([recorded(), frame(rows)]))], log=True)
    scales = {a.get_title("left"): a.get_yscale() for a in figure.axes}
    assert [scales[t] for t in ("Loss", "Learning rate", "Gradient norm")] == ["log"] * 3
    assert [scales[t] for t in ("Accuracy", "Throughput")] == ["linear"] * 2
    assert "1 not above 0 left out" in texts(figure)
    assert {a.get_yscale() for a in curves.draw([Curve("a run", recorded())]).axes} == {"linear"}


def test_no_text_is_a_formula(tmp_path: Path) -> None:
    figure = curves.draw([Curve("$x^{ and \\frac", recorded()), Curve("a_b$c$", recorded())], log=True)
    style.save(figure, tmp_path / "a.png")
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        assert not text.get_parse_math()
    assert "mathdefault" not in texts(figure)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.002, "0.002"), (1e-5, "1e−5"), (-0.5, "−0.5"), (12_000, "12,000"), (2.5e6, "2.5e+06")],
)
def test_ticks_are_short(value: float, text: str) -> None:
    assert curves._short(value) == text
