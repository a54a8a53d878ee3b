"""Static charts of recorded runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from matplotlib.figure import Figure
from PIL import Image

from vitscope.errors import RequestError
from vitscope.events import Metric, MetricsLogged
from vitscope.metrics.recorder import Recorder
from vitscope.storage.runs import begin_attempt, create_run
from vitscope.storage.workspace import Workspace
from vitscope.visualization import curves
from vitscope.workflows.plot import default_name, plot


def record(workspace: Workspace, name: str, top1: float = 0.5) -> str:
    run = create_run(workspace.database, name=name, source="digits", model="vit")
    recorder = Recorder(workspace.database, run.id, begin_attempt(workspace.database, run.id, 0))
    for epoch in (1, 2):
        metrics = (Metric("train", "loss", 1 / epoch), Metric("val", "top1", top1 * epoch / 2))
        recorder(MetricsLogged(10 * epoch, epoch, metrics))
    recorder.close()
    return run.id


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.chdir(tmp_path)
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[list[curves.Curve]]:
    """The runs that were handed to be drawn."""
    calls: list[list[curves.Curve]] = []
    draw = curves.draw

    def spy(runs: list[curves.Curve], **options: object) -> Figure:
        calls.append(runs)
        return draw(runs, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(curves, "draw", spy)
    return calls


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_a_run_as_a_file(workspace: Workspace, tmp_path: Path, ending: str) -> None:
    record(workspace, "mine")
    plotted = plot(["mine"], workspace, output=tmp_path / f"out.{ending}", x="epoch", log=True)
    assert plotted == (tmp_path / f"out.{ending}", [])
    assert plotted.file.stat().st_size > 5_000


def test_the_default_name_is_of_the_run_and_in_this_folder(workspace: Workspace, tmp_path: Path) -> None:
    run_id = record(workspace, "mine")
    plotted = plot(["latest"], workspace)
    assert plotted.file == Path(f"curves-{run_id}.png")
    with Image.open(tmp_path / plotted.file) as picture:
        assert picture.format == "PNG"
    assert default_name("curves", ["a", "b", "c"]) == "curves-a-b-c.png"
    assert default_name("curves", list("abcd")) == "curves-a-and-3-more.png"


def test_several_runs_each_once_and_told_apart(workspace: Workspace, seen: list[list[curves.Curve]]) -> None:
    first, second, third = record(workspace, "same", 0.4), record(workspace, "same"), record(workspace, "other")
    plot([first, second, "other", first], workspace)
    (drawn,) = seen
    assert [c.label for c in drawn] == [f"same ({first})", f"same ({second})", "other"]
    assert [c.best and c.best.top1 for c in drawn] == [0.4, 0.5, 0.5]
    assert Path(f"curves-{first}-{second}-{third}.png").is_file()


def test_a_run_without_metrics_is_drawn_empty(workspace: Workspace) -> None:
    create_run(workspace.database, name="new", source="digits", model="vit")
    assert plot(["new"], workspace).file.is_file()


@pytest.mark.parametrize(
    ("wrong", "parts"),
    [
        ({"figure": "curve"}, ["Unknown figure 'curve'", "curves"]),
        ({"figure": "attention"}, ["Unknown figure 'attention'", "curves"]),
        ({"x": "epochs"}, ["epochs", "Did you mean 'epoch'"]),
        ({"output": "a.gif"}, ["a.gif", ".png, .svg, .pdf"]),
    ],
)
def test_a_wrong_request_is_told_before_anything_is_done(
    workspace: Workspace, tmp_path: Path, wrong: dict, parts: list[str]
) -> None:
    with pytest.raises(RequestError) as told:
        plot(["latest"], workspace, **wrong)
    assert all(part in str(told.value) for part in parts)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_run_is_told_with_the_closest(workspace: Workspace) -> None:
    record(workspace, "digits-small")
    with pytest.raises(RequestError, match="digits-small"):
        plot(["digits-smal"], workspace)
    with pytest.raises(RequestError, match="No run"):
        plot([], workspace)
