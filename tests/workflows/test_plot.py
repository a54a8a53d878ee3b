"""Static charts of recorded runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from tests.trained import FRUITS, answer, save_run, tiny_bundle
from vitscope.data.manifest import Manifest
from vitscope.errors import RequestError
from vitscope.events import Metric, MetricsLogged
from vitscope.inspection.probe import capture
from vitscope.metrics.recorder import Recorder
from vitscope.storage.runs import begin_attempt, create_run
from vitscope.storage.workspace import Workspace
from vitscope.visualization import attention as drawing
from vitscope.visualization import curves, distances
from vitscope.workflows import inside_figures
from vitscope.workflows.plot import default_name, plot
from vitscope.workflows.run import Run


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
        ({"figure": "attentoin"}, ["Unknown figure 'attentoin'", "Did you mean 'attention'"]),
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


# ------------------------------------------------------------------------------------------------ inside a model


INSIDE = ("attention", "filters", "weights", "distances")


@pytest.fixture
def run(workspace: Workspace, pictures: Path) -> Run:
    return save_run(workspace, tiny_bundle(), pictures)


def told(figure: Figure) -> str:
    figure.draw_without_rendering()
    return "\n".join(text.get_text() for text in figure.findobj(Text))  # type: ignore[attr-defined]


@pytest.mark.parametrize("figure", INSIDE)
def test_the_inside_of_a_run_as_a_file(workspace: Workspace, tmp_path: Path, run: Run, figure: str) -> None:
    plotted = plot(["fruits"], workspace, figure=figure)
    assert plotted == (Path(f"{figure}-{run.id}.png"), [])
    with Image.open(tmp_path / plotted.file) as picture:
        assert picture.format == "PNG" and min(picture.size) > 500
    again = plot([run.id, run.id], workspace, figure=figure, output=tmp_path / "again.svg")
    assert again.file.stat().st_size > 5_000


def test_attention_is_on_a_picture_of_validation_or_the_one_given(
    workspace: Workspace, run: Run, pictures: Path
) -> None:
    image = pictures / "plum" / "003.png"
    shares = answer(tiny_bundle(), image)
    best = int(shares.argmax())
    text = told(inside_figures.draw("attention", "fruits", workspace, image=image))
    assert f"predicted {FRUITS[best]} ({100 * float(shares[best]):.1f} %)" in text
    own = told(inside_figures.draw("attention", "fruits", workspace))
    assert any(f"; it is {name}" in own for name in FRUITS)


def test_attention_of_one_layer_and_head(workspace: Workspace, run: Run) -> None:
    assert "layer 1, heads 0 to 2, row by row" in told(inside_figures.draw("attention", "fruits", workspace, layer=1))
    assert "layer 0, head 2" in told(inside_figures.draw("attention", "fruits", workspace, layer=0, head=2))


def test_the_maps_drawn_are_those_that_the_probe_captures(
    workspace: Workspace, run: Run, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = pictures / "apple" / "001.png"
    given: list[tuple] = []
    draw = drawing.figure
    monkeypatch.setattr(drawing, "figure", lambda *a, **k: (given.append(a), draw(*a, **k))[1])
    inside_figures.draw("attention", "fruits", workspace, image=image)
    bundle = tiny_bundle()
    weights = capture(bundle.module, bundle.preprocess(image)[None]).attention
    _, maps, rollout = given[0]
    for layer, heads in enumerate(weights):
        expected = heads[0, :, 0, 1:].reshape(3, 4, 4)
        assert maps[layer] == pytest.approx(expected, abs=float(expected.max()) / 255)
    assert rollout.shape == (4, 4)


def test_distances_are_means_over_validation(workspace: Workspace, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list = []
    draw = distances.figure
    monkeypatch.setattr(distances, "figure", lambda panels, **k: (given.extend(panels), draw(panels, **k))[1])
    text = told(inside_figures.draw("distances", "fruits", workspace))
    bundle, manifest = tiny_bundle(), Manifest.load(run.folder / "manifest.parquet").of_split("val")
    pixels = torch.stack([bundle.preprocess(manifest.sample(i).path) for i in range(len(manifest))])
    weights = capture(bundle.module, pixels).attention
    places = np.stack(np.divmod(np.arange(16), 4), axis=1) * 8.0
    apart = np.linalg.norm(places[:, None] - places[None], axis=-1)
    for layer, heads in enumerate(weights):
        patches = heads[:, :, 1:, 1:].astype(float)
        patches /= patches.sum(axis=-1, keepdims=True)
        assert given[0].values[layer] == pytest.approx((patches * apart).sum(axis=-1).mean(axis=(0, 2)), rel=1e-5)
        assert given[2].values[layer] == pytest.approx(heads[:, :, 1:, 0].mean(axis=(0, 2)), rel=1e-5)
    assert given[0].reference.value == pytest.approx(apart.mean())
    assert given[1].reference.value == pytest.approx(np.log(17))
    assert f"mean over {len(manifest)} pictures of 'val'" in text


def test_a_model_by_its_path(workspace: Workspace, run: Run, tmp_path: Path) -> None:
    bundle = tmp_path / "my model"
    bundle.mkdir()
    tiny_bundle().save(bundle)
    assert plot([str(bundle)], workspace, figure="weights").file == Path("weights-my model.png")
    with pytest.raises(RequestError, match="no run"):
        plot([str(bundle)], workspace, figure="distances")


@pytest.mark.parametrize(
    ("wrong", "part"),
    [
        ({"figure": "attention", "layer": 2}, "--layer 2: there are 2, counted from 0"),
        ({"figure": "attention", "head": -1}, "--head -1: there are 3"),
        ({"figure": "attention", "image": "nowhere.png"}, "nowhere.png"),
        ({"figure": "weights", "head": 0}, "--head is for --figure attention"),
        ({"figure": "curves", "image": "a.png"}, "--image is for --figure attention"),
    ],
)
def test_what_there_is_not_is_told_before_anything_is_written(
    workspace: Workspace, run: Run, tmp_path: Path, wrong: dict, part: str
) -> None:
    with pytest.raises(RequestError, match=part):
        plot(["fruits"], workspace, **wrong)
    assert not list(tmp_path.glob("*.png"))


@pytest.mark.parametrize("figure", INSIDE)
def test_only_one_run_at_a_time(workspace: Workspace, run: Run, figure: str) -> None:
    other = record(workspace, "other")
    with pytest.raises(RequestError, match="one model"):
        plot([run.id, other], workspace, figure=figure)
    with pytest.raises(RequestError, match="no checkpoint yet"):
        plot([other], workspace, figure=figure)


def test_where_there_is_no_map_the_figure_says_why(workspace: Workspace, pictures: Path) -> None:
    kwargs = {"img_size": 32, "embed_dim": 40, "num_heads": 5, "class_token": False, "reg_tokens": 1}
    bundle = tiny_bundle("vit_dlittle_patch16_reg1_gap_256", **kwargs)
    save_run(workspace, bundle, pictures, name="difference")
    for figure in ("attention", "distances"):
        with pytest.raises(RequestError, match=r"to draw\. Its layers work with the difference of two attentions"):
            inside_figures.draw(figure, "difference", workspace)


def test_the_figure_says_whose_attention_it_is(workspace: Workspace, pictures: Path) -> None:
    save_run(workspace, tiny_bundle(), pictures, name="token")
    save_run(workspace, tiny_bundle(global_pool="avg"), pictures, name="mean")
    assert "attention of the class token" in told(inside_figures.draw("attention", "token", workspace))
    assert "attention of the mean patch" in told(inside_figures.draw("attention", "mean", workspace))
