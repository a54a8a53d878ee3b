"""A learning rate and a batch size by trying; nothing of it stays."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from vitscope.cli.app import app
from vitscope.config import merge
from vitscope.errors import RequestError, WorkFailed
from vitscope.storage import runs
from vitscope.storage.workspace import Workspace
from vitscope.training.loop import Training
from vitscope.workflows import find
from vitscope.workflows.find import find_batch_size, find_lr, search


@pytest.fixture
def asked(pictures: Path, tiny: dict) -> dict[str, Any]:
    return merge(tiny, {"data": {"source": str(pictures)}})


def test_a_rate_with_its_chart(asked: dict[str, Any], tmp_path: Path):
    workspace, chart = Workspace(tmp_path / "ws"), tmp_path / "lr.png"
    told: list[Any] = []
    found = find_lr(asked, workspace, low=1e-5, high=10.0, steps=40, figure=chart, tell=told.append)
    assert told == found.points
    assert 10 < len(found.points) <= 40
    assert found.points[0].lr == pytest.approx(1e-5)
    assert found.suggestion is not None
    assert 1e-5 <= found.suggestion.lr < found.points[-1].lr
    assert json.loads(json.dumps(found.to_dict()))["points"][0]["loss"] == found.points[0].loss
    assert Image.open(chart).size[0] > 500
    assert runs.list_runs(workspace.database) == []


@pytest.mark.parametrize(
    ("wrong", "told"),
    [({"low": 0.0}, "grows from a small one"), ({"low": 1.0, "high": 0.1}, "grows"), ({"steps": 5}, "at least 10")],
)
def test_a_sweep_that_cannot_be(asked: dict[str, Any], tmp_path: Path, wrong: dict[str, Any], told: str):
    with pytest.raises(RequestError, match=told):
        find_lr(asked, Workspace(tmp_path / "ws"), **wrong)


@pytest.mark.parametrize("least", [1, 2])
@pytest.mark.parametrize("limit", [1, 2, 3, 5, 16, 37, 100])
def test_doubling_and_bisection_end_at_the_limit(limit: int, least: int):
    tried: list[int] = []

    def fits(images: int) -> bool:
        tried.append(images)
        return images <= limit

    largest, too_many, why = search(fits, {64: "the estimate", 80: "the images"}, lambda: False, least)
    assert largest == (min(limit, 64) if limit >= least else 0)
    assert least <= min(tried) <= max(tried) <= 64
    assert (too_many, why) == ((limit + 1, "") if limit < 64 else (None, "the estimate"))
    assert search(fits, {1: "the memory"}, lambda: False, 2) == (0, None, "the memory")
    assert len(tried) <= 13


def test_time_ends_a_search():
    assert search(lambda images: True, {1000: "the images"}, lambda: True) == (
        1,
        None,
        "the time given; larger ones may fit",
    )


def test_a_batch_size_on_real_steps(asked: dict[str, Any], tmp_path: Path):
    workspace = Workspace(tmp_path / "ws")
    found = find_batch_size(asked, workspace)
    assert found.limit == "the number of training images"
    assert found.largest == found.trials[-1].images == 29
    assert found.fastest in {trial.images for trial in found.trials}
    assert all(trial.fits and trial.images_per_s for trial in found.trials)
    assert json.loads(json.dumps(found.to_dict()))["largest"] == 29
    assert runs.list_runs(workspace.database) == []


def test_memory_that_runs_out_is_found(asked: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    real = find.train_step

    def scarce(t: Training, batch: Any) -> Any:
        if len(batch.labels) > 11:
            t.trained.progress.micro_batch = 5
        return real(t, batch)

    monkeypatch.setattr(find, "train_step", scarce)
    found = find_batch_size(asked, Workspace(tmp_path / "ws"))
    assert (found.largest, found.limit) == (11, "12 images at a time did not fit")

    def none(t: Training, batch: Any) -> Any:
        raise WorkFailed("Out of memory with a single image at a time.")

    monkeypatch.setattr(find, "train_step", none)
    with pytest.raises(WorkFailed, match="one image at a time"):
        find_batch_size(asked, Workspace(tmp_path / "ws2"))
    with pytest.raises(RequestError, match="Not even one image"):
        find_batch_size(merge(asked, {"train": {"memory": "100MB"}}), Workspace(tmp_path / "ws3"))


def test_from_the_command_line(pictures: Path, tmp_path: Path):
    options = ["--set", "model.kwargs={patch_size: 16, embed_dim: 32, depth: 1, num_heads: 2}", "--image-size", "32"]
    words = ["--workspace", str(tmp_path / "ws"), "find"]
    run = CliRunner().invoke(app, [*words, "lr", str(pictures), "--steps", "12", "--json", *options])
    assert run.exit_code == 0, run.output
    assert len(json.loads(run.stdout)["points"]) <= 12
    run = CliRunner().invoke(app, [*words, "batch-size", str(pictures), "--seconds", "0", *options])
    assert run.exit_code == 0, run.output
    assert "images at a time (limited by: the time given" in run.stdout


def test_a_batch_size_for_the_head_alone_is_not_looked_for(asked: dict[str, Any], tmp_path: Path):
    from safetensors.torch import save_file

    from vitscope.workflows.resolve import resolve

    workspace = Workspace(tmp_path / "ws")
    plan = resolve(asked, workspace)
    weights = plan.architecture.on_meta(3).to_empty(device="cpu").state_dict()
    save_file(weights, tmp_path / "w.safetensors")
    probe = {"recipe": "linear-probe", "model": {"init": str(tmp_path / "w.safetensors")}}
    options = {"model": {"drop_path": 0.0, "frozen": 1.0}, "augment": {"crop_scale": [1.0, 1.0], "crop_ratio": [1, 1]}}
    with pytest.raises(RequestError, match="Only the head learns here"):
        find_batch_size(merge(asked, options, probe), workspace)
