"""Out of memory in a step: smaller parts of the same batch, told, kept, and exact from there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.training.test_loop import assembled
from tests.workflows.test_resume import ALL_LEVERS, assert_equal, everything

import vitscope
from vitscope.config import merge
from vitscope.errors import WorkFailed
from vitscope.events import Event, Notice
from vitscope.training import loop
from vitscope.training.loop import train_step
from vitscope.training.out_of_memory import is_out_of_memory

SAID = "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to …"
RANDOM = {"model": {"drop_path": 0.3, "dropout": 0.2}, "train": {"accumulation": 2}}


@pytest.mark.parametrize("error", [RuntimeError(SAID), torch.OutOfMemoryError("CUDA out of memory."), MemoryError()])
def test_a_step_that_ran_out_of_memory_is_the_one_it_would_have_been(
    pictures: Path, tiny: dict, tmp_path: Path, error: Exception
):
    """It fails in the second part, when a part of the gradient is there and random numbers have been drawn."""
    told: list[Event] = []
    failing, calls = replace(assembled(pictures, tmp_path / "a", merge(tiny, RANDOM)), emit=told.append), []

    def forward(images: torch.Tensor) -> torch.Tensor:
        calls.append(len(images))
        logits = failing.trained.bundle.module(images)
        if len(calls) == 2:
            raise error
        return logits

    batch = next(failing.loader.epoch(0))
    measured = train_step(replace(failing, forward=forward), batch)
    assert calls == [4, 4, 2, 2, 2, 2]
    assert failing.trained.progress.micro_batch == 2
    (notice,) = told
    assert isinstance(notice, Notice)
    assert "Out of memory with 4 images at a time: from step 1 on it is 2, 4 parts a batch" in notice.text

    small = assembled(pictures, tmp_path / "b", merge(tiny, RANDOM, {"train": {"accumulation": 4}}))
    assert torch.equal(measured.loss, train_step(small, batch).loss)
    for (name, one), other in zip(
        failing.trained.bundle.module.named_parameters(), small.trained.bundle.module.parameters(), strict=True
    ):
        assert torch.equal(one, other), name


def test_running_statistics_are_put_back(pictures: Path, tiny: dict, tmp_path: Path):
    t = assembled(pictures, tmp_path, tiny)
    norm = torch.nn.BatchNorm2d(3)
    t.trained.bundle.module.add_module("statistics", norm)
    failed: list[int] = []

    def forward(images: torch.Tensor) -> torch.Tensor:
        logits = t.trained.bundle.module(norm(images))
        if not failed:
            failed.append(len(images))
            raise RuntimeError(SAID)
        return logits

    train_step(replace(t, forward=forward), next(t.loader.epoch(0)))
    assert norm.num_batches_tracked == 2  # the two parts, without the attempt before


def test_fault_40_a_single_image_that_does_not_fit_ends_the_run(pictures: Path, tiny: dict, tmp_path: Path):
    t = assembled(pictures, tmp_path, tiny)

    def forward(images: torch.Tensor) -> torch.Tensor:
        raise RuntimeError(SAID)

    with pytest.raises(WorkFailed, match=r"single image at a time \(.*can't allocate.*--checkpoint-activations"):
        train_step(replace(t, forward=forward), next(t.loader.epoch(0)))


def test_other_errors_are_not_taken_for_it(pictures: Path, tiny: dict, tmp_path: Path):
    t = assembled(pictures, tmp_path, tiny)
    wrong = RuntimeError("mat1 and mat2 shapes cannot be multiplied")
    assert not is_out_of_memory(wrong)

    def forward(images: torch.Tensor) -> torch.Tensor:
        raise wrong

    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        train_step(replace(t, forward=forward), next(t.loader.epoch(0)))


def test_a_resumed_run_keeps_the_smaller_parts_bit_for_bit(
    pictures: Path, tiny: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    real, steps = loop.soft_cross_entropy_sum, []

    def limited(logits: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        steps.append(len(logits))
        if len(logits) > 2 and len(steps) > 6:
            raise RuntimeError(SAID)
        return real(logits, wanted)

    with monkeypatch.context() as small:
        small.setattr(loop, "soft_cross_entropy_sum", limited)
        run = vitscope.train(pictures, workspace=tmp_path / "whole", **merge(tiny, ALL_LEVERS))
    whole: dict[str, Any] = everything(run)
    assert whole["state"]["progress"]["micro_batch"] == 2
    shutil.copytree(run.workspace.root, tmp_path / "again", symlinks=True)
    again = vitscope.resume(run.id, checkpoint="step-00000005", workspace=tmp_path / "again")
    assert_equal(everything(again), whole)


SCRIPT = """
import resource, sys
import psutil, torch, vitscope
from vitscope.events import Notice, RunStarted
told = []
def watch(event):
    if isinstance(event, RunStarted):
        (torch.randn(64, 64, requires_grad=True) @ torch.randn(64, 64)).sum().backward()  # what is taken once
        most = psutil.Process().memory_info().vms + {room}
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    if isinstance(event, Notice):
        told.append(event.text)
run = vitscope.train({source!r}, workspace={place!r}, observers=[watch], epochs=1, batch_size=24,
    model={{"image_size": 224, "kwargs": {{"embed_dim": 192, "depth": 12, "num_heads": 3}}}}, data={{"workers": 0}},
    train={{"threads": 1, "device": "cpu", "eval_batch_size": 1}},
    record={{"tensorboard": False, "charts": False, "snapshots": False}})
print(run.status, *told, sep="\\n")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS")
def test_fault_40_memory_that_really_runs_out(pictures: Path, tmp_path: Path):
    """About 30 MB an image: 24 do not fit in 500 MB beyond what was there at the start, 12 do."""
    script = SCRIPT.format(source=str(pictures), place=str(tmp_path / "ws"), room=500_000_000)
    # What is freed goes back at once, and a thread that begins later reserves no 128 MB: else it is a matter of luck.
    plain = {**os.environ, "MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "65536"}
    done = subprocess.run([sys.executable, "-c", script], env=plain, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    status, *told = done.stdout.splitlines()
    assert status == "finished"
    assert any("Out of memory with 24 images at a time" in text for text in told), told
