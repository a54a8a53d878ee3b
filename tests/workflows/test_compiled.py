"""Compiled training resumes exactly too; without a C++ compiler everything works uncompiled, and is told."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

import vitscope
from tests.workflows.test_resume import assert_equal, everything, resumed_elsewhere
from vitscope.config import merge
from vitscope.training.checkpoint import Checkpoints

LEVERS = {
    "model": {"drop_path": 0.2, "kwargs": {"depth": 1}},
    "augment": {"mixup": 0.4},
    "train": {"epochs": 2, "batch_size": 12, "accumulation": 2, "ema_decay": 0.9, "compile": "on"},
    "checkpoint": {"every_steps": 1, "keep": 1000},
}


@pytest.mark.skipif(shutil.which("g++") is None, reason="compiled training needs a C++ compiler: apt-get install g++")
def test_compiled_and_restored_from_every_step_the_rest_is_the_same(pictures: Path, tiny: dict, tmp_path: Path):
    torch._dynamo.reset()
    run = vitscope.train(pictures, workspace=tmp_path / "whole", **merge(tiny, LEVERS))
    assert "compile: 'on'" in (run.folder / "config.yaml").read_text()
    whole = everything(run)
    names = [p.name for p in Checkpoints(run.folder / "checkpoints").all()]
    assert len(names) == 4
    for name in names[:-1]:
        torch._dynamo.reset()  # as in a new process: compiled anew
        assert_equal(everything(resumed_elsewhere(run, name, tmp_path / name, workers=0)), whole, name)


def test_fault_49_without_a_compiler_training_is_uncompiled_and_told(
    pictures: Path, tiny: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv("CXX", raising=False)
    told: list[str] = []
    run = vitscope.train(
        pictures,
        workspace=tmp_path / "ws",
        observers=[lambda event: told.append(getattr(event, "text", ""))],
        **merge(tiny, {"train": {"compile": "on"}}),
    )
    assert run.status == "finished"
    assert any("compile" in text and "g++" in text for text in told), told
    assert "compile: 'off'" in (run.folder / "config.yaml").read_text()
