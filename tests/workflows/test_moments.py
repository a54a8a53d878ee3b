"""A model that is looked at while it is trained: checkpoints come and go between two looks."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from tests.trained import save_run, tiny_bundle
from vitscope.errors import RequestError
from vitscope.models.bundle import ModelBundle
from vitscope.storage.artifacts import point
from vitscope.storage.workspace import Workspace
from vitscope.workflows.load import load, locate
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
