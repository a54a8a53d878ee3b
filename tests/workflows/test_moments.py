"""A model that is looked at while it is trained: checkpoints come and go between two looks."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.trained import save_run, tiny_bundle
from vitscope.errors import RequestError
from vitscope.inspection import snapshots
from vitscope.models.bundle import ModelBundle
from vitscope.storage.artifacts import point
from vitscope.storage.workspace import Workspace
from vitscope.workflows.load import Found, load, locate
from vitscope.workflows.moments import BEST, LAST, Moments, NoWeights
from vitscope.workflows.run import Run


@pytest.fixture
def run(tmp_path: Path, pictures: Path) -> Run:
    return save_run(Workspace(tmp_path / "workspace"), tiny_bundle(), pictures, steps=3)


def of(run: Run, workspace: Workspace) -> Moments:
    return Moments(locate(run.id, workspace))


def first_and_last(run: Run) -> tuple[Path, Path]:
    checkpoints = run.folder / "checkpoints"
    return checkpoints / "step-00000001", checkpoints / "step-00000003"


@pytest.mark.parametrize("at", [BEST, LAST])
def test_a_checkpoint_that_nothing_points_to_yet_is_no_weights_yet(run: Run, tmp_path: Path, at: str) -> None:
    """The trainer renames the first checkpoint to its name before it lets `last` point to it."""
    moments = of(run, Workspace(tmp_path / "workspace"))
    for name in (BEST, LAST):
        (run.folder / "checkpoints" / name).unlink()
    with pytest.raises(NoWeights, match="no checkpoint yet"):
        moments.open(at)


@pytest.fixture
def replaced(monkeypatch: pytest.MonkeyPatch, run: Run) -> Path:
    """The first checkpoint is the best, and is replaced by the last at the moment in which it is opened."""
    first, last = first_and_last(run)
    best = first.with_name(BEST)
    point(best, first)
    honest = ModelBundle.load

    def in_the_last_moment(folder: Path) -> ModelBundle:
        if folder == first and first.is_dir():
            point(best, last)
            shutil.rmtree(first)
        return honest(folder)

    monkeypatch.setattr(ModelBundle, "load", in_the_last_moment)
    return last


def test_a_checkpoint_replaced_while_it_is_read_gives_its_successor(run: Run, tmp_path: Path, replaced: Path) -> None:
    opened = of(run, Workspace(tmp_path / "workspace")).open(BEST)
    assert opened.key[0] == str((replaced / "model.safetensors").resolve())


def test_a_step_that_has_gone_is_told(run: Run, tmp_path: Path, replaced: Path) -> None:
    with pytest.raises(RequestError, match="may have been replaced"):
        of(run, Workspace(tmp_path / "workspace")).open(first_and_last(run)[0].name)


def test_a_run_is_loaded_while_its_best_is_replaced(run: Run, tmp_path: Path, replaced: Path) -> None:
    bundle = load(run.id, Workspace(tmp_path / "workspace"))
    expected = ModelBundle.load(replaced).module.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in bundle.module.state_dict().items())


def test_a_damaged_checkpoint_that_stays_is_told_not_tried_for_ever(run: Run, tmp_path: Path) -> None:
    (first_and_last(run)[1] / "model.safetensors").write_bytes(b"nothing of the kind")
    with pytest.raises(RequestError):
        of(run, Workspace(tmp_path / "workspace")).open(LAST)


def test_best_is_never_silently_the_last(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As while the link is replaced: it is there, and what it pointed to a moment ago is not."""
    first, last = first_and_last(run)
    best = first.with_name(BEST)
    shutil.copytree(first, first.with_name("step-00000002"), dirs_exist_ok=True)
    best.unlink()
    best.symlink_to("step-00000077")
    looks = iter(range(3))

    def replaced_meanwhile(_: float) -> None:
        if next(looks) == 1:
            point(best, first)

    monkeypatch.setattr("vitscope.workflows.moments.time.sleep", replaced_meanwhile)
    opened = Moments(Found(last, run.folder, is_run=True)).open(BEST)
    assert opened.key[0] == str((first / "model.safetensors").resolve())
    monkeypatch.setattr("vitscope.workflows.moments.time.sleep", lambda _: None)
    best.unlink()
    best.symlink_to("step-00000077")
    with pytest.raises(RequestError, match="best: points to a checkpoint that is not there"):
        Moments(Found(last, run.folder, is_run=True)).open(BEST)
    best.unlink()
    assert of(run, Workspace(tmp_path / "workspace")).open(BEST).key[0] == str((last / "model.safetensors").resolve())


def test_a_truncated_moment_costs_its_epoch_alone(run: Run, tmp_path: Path) -> None:
    folder = run.folder / "snapshots"
    folder.mkdir()
    whole = snapshots.write(folder, 3, 0.75, 0.1, [], {"x": np.zeros(1000)})
    whole.with_name("step-00000005.npz").write_bytes(whole.read_bytes()[:-30])
    whole.with_name("step-x.npz").write_bytes(b"")
    told = {moment.id: moment.epoch for moment in of(run, Workspace(tmp_path / "workspace")).all()}
    assert told["step-00000003"] == 0.75
    assert told["step-00000005"] is None


def test_two_models_are_kept(run: Run, tmp_path: Path) -> None:
    moments = of(run, Workspace(tmp_path / "workspace"))
    names = [f"step-{step:08d}" for step in (1, 2, 3)]
    first, second, third = (moments.open(name).bundle for name in names)
    assert moments.open(names[1]).bundle is second and moments.open(names[2]).bundle is third
    assert moments.open(names[0]).bundle is not first
