"""Loader processes in trouble: one is killed, or /dev/shm has no room for a batch (faults 45, 50)."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch

import vitscope
from tests.conftest import draw_folder
from tests.namespaces import in_namespace, tmpfs
from tests.workflows.test_resume import assert_equal, everything
from vitscope.config import merge
from vitscope.data.workers import SHORT_OF_SHARED_MEMORY
from vitscope.errors import WorkFailed
from vitscope.events import Event, StepsDone

HELPED = {"data": {"workers": 2}, "train": {"epochs": 3}, "checkpoint": {"every_steps": 1, "keep": 1000}}


@pytest.mark.parametrize("moment", ["training", "evaluation"])
def test_fault_45_a_loader_process_that_is_killed_is_told_and_the_run_goes_on_exactly(
    pictures: Path, tiny: dict, tmp_path: Path, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = set(psutil.Process().children())

    def kill_one() -> None:
        one = next(p for p in psutil.Process().children() if p not in before and p.status() != psutil.STATUS_ZOMBIE)
        os.kill(one.pid, signal.SIGKILL)

    def watch(event: Event) -> None:
        if moment == "training" and isinstance(event, StepsDone) and event.records[-1].step == 4:
            kill_one()

    if moment == "evaluation":
        from vitscope.training import validation

        real, calls = validation.logits, []

        def killing(*given: object) -> torch.Tensor:
            calls.append(1)
            if len(calls) == 3:  # val, test, val: in the second epoch's
                kill_one()
            return real(*given)

        monkeypatch.setattr(validation, "logits", killing)
    options = merge(tiny, HELPED)
    begun = time.monotonic()
    with pytest.raises(WorkFailed) as told:
        vitscope.train(pictures, workspace=tmp_path / "ws", observers=[watch], **options)
    assert time.monotonic() - begun < 60
    run = vitscope.Run("latest", tmp_path / "ws")
    assert "A loader process ended (DataLoader worker (pid" in str(told.value)
    assert f"Go on with: vitscope --workspace {tmp_path / 'ws'} resume {run.id}" in str(told.value)
    assert told.value.exit_code == 1
    assert run.status == "failed"
    whole = vitscope.train(pictures, workspace=tmp_path / "whole", **options)
    assert_equal(everything(vitscope.resume(run.id, workspace=tmp_path / "ws")), everything(whole))


SMALL = """
import json, os, sys
import vitscope
from vitscope.events import Notice
source, place, options = json.loads(sys.argv[1])
free = os.statvfs("/dev/shm")
print(free.f_bavail * free.f_frsize)
told = []
run = vitscope.train(source, workspace=place, observers=[lambda e: told.append(e)], **options)
print(run.status)
for event in told:
    if isinstance(event, Notice) and "Shared memory" in event.text:
        print(event.text)
"""


def test_fault_50_a_small_dev_shm_is_told_once_and_training_works_the_same(tiny: dict, tmp_path: Path) -> None:
    """1 MB for batches of 1.2 MB in training and 4.8 MB in evaluation, from two processes."""
    pictures = draw_folder(tmp_path / "pictures", {"apple": 14, "pear": 12}, size=224)
    large = {"model": {"image_size": 224, "kwargs": {"patch_size": 56, "embed_dim": 32, "depth": 1}}}
    options = merge(tiny, large, {"data": {"workers": 2}})
    place = tmp_path / "ws"
    given = json.dumps([str(pictures), str(place), options])
    done = in_namespace(tmpfs("1m", "/dev/shm"), [sys.executable, "-c", SMALL, given])
    assert done.returncode == 0, done.stdout + done.stderr
    free, status, *told = done.stdout.splitlines()
    assert int(free) <= 1_048_576
    assert status == "finished"
    assert told == [SHORT_OF_SHARED_MEMORY]
    assert "unable to allocate" not in done.stderr
    roomy = vitscope.train(pictures, workspace=tmp_path / "roomy", **options)
    assert_equal(everything(vitscope.Run("latest", place)), everything(roomy))
