"""Ctrl-C once, twice, SIGTERM: through the command line, in a process of its own (faults 42, 43, 46)."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from vitscope.storage import runs
from vitscope.storage.workspace import Workspace

context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(["vitscope.workflows.resolve", "vitscope.workflows.observe", "vitscope.training.loop"])

FLAGS = ["--image-size", "32", "--batch-size", "8", "--workers", "0", "--device", "cpu"] + [
    part
    for option in (
        "model.kwargs={patch_size: 8, embed_dim: 32, depth: 2, num_heads: 2}",
        "train.threads=1",
        "train.attention=fused",  # else long runs measure first
        "train.compile=off",
        "record.charts=false",
        "record.tensorboard=false",
    )
    for part in ("--set", option)
]


def command_line(arguments: list[str], output: str) -> None:
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    sys.stdout, sys.stderr = (
        os.fdopen(1, "w", buffering=1, closefd=False),
        os.fdopen(2, "w", buffering=1, closefd=False),
    )
    os.setpgrp()
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whatever started the tests
    from vitscope.cli.app import main

    main(arguments)


class Command:
    """`vitscope …` in its own process group, as in a terminal of its own."""

    def __init__(self, place: Path, *arguments: str):
        self.place, self.output = place, place.with_suffix(".txt")
        self.process = context.Process(
            target=command_line, args=(["--workspace", str(place), *arguments], str(self.output))
        )
        self.process.start()

    def wait_for_step(self) -> str:
        """Id of the run once it has recorded a step."""
        for _ in range(1200):
            if self.place.exists():
                rows = runs.list_runs(Workspace(self.place).database)
                if rows and rows[0].status == "running" and "epoch 1" in self.text:
                    return rows[0].id
            time.sleep(0.05)
        raise AssertionError(f"no step was recorded: {self.text}")

    def interrupt(self, number: int) -> None:
        assert self.process.pid is not None
        os.killpg(self.process.pid, number)

    def exit_code(self) -> int | None:
        self.process.join(60)
        if self.process.is_alive():
            self.process.kill()
        return self.process.exitcode

    @property
    def text(self) -> str:
        return self.output.read_text() if self.output.exists() else ""


@pytest.mark.parametrize(
    ("number", "code", "workers"),
    [(signal.SIGINT, 130, "0"), (signal.SIGTERM, 143, "0"), (signal.SIGHUP, 129, "0"), (signal.SIGINT, 130, "2")],
)
def test_fault_42_43_one_signal_saves_and_tells_how_to_go_on(
    pictures: Path, tmp_path: Path, number: int, code: int, workers: str
):
    place = tmp_path / "ws"
    first = Command(place, "train", str(pictures), "--epochs", "4000", *FLAGS, "--workers", workers)
    run_id = first.wait_for_step()
    first.interrupt(number)
    assert first.exit_code() == code, first.text
    assert f"vitscope --workspace {place} resume {run_id}" in first.text
    assert "Traceback" not in first.text
    row = Workspace(place).find_run(run_id)
    assert row.status == "interrupted"
    saved = (place / "runs" / run_id / "checkpoints" / "last").resolve().name
    assert saved == f"step-{row.step:08d}"  # the step in which it was told to stop, not an earlier one


def test_fault_43_ctrl_c_twice_stops_at_once_and_stays_resumable(pictures: Path, tmp_path: Path):
    place = tmp_path / "ws"
    first = Command(place, "train", str(pictures), "--epochs", "4000", *FLAGS, "--set", "checkpoint.every_steps=1")
    run_id = first.wait_for_step()
    first.interrupt(signal.SIGINT)
    first.interrupt(signal.SIGINT)
    assert first.exit_code() == 130, first.text
    assert f"resume {run_id}" in first.text
    second = Command(place, "resume", run_id)
    second.wait_for_step()
    second.interrupt(signal.SIGTERM)
    assert second.exit_code() == 143, second.text


def test_a_second_ctrl_c_stops_now_and_the_first_too_while_there_is_nothing_to_save():
    from vitscope.workflows.stop import StopSignals

    with StopSignals() as stop:
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        assert stop.exit_code == 143
    with StopSignals() as stop:
        stop.is_graceful = True
        signal.raise_signal(signal.SIGINT)
        assert stop.requested()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert stop.exit_code == 130


def test_what_was_started_with_nohup_outlives_its_terminal():
    from vitscope.workflows.stop import StopSignals

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopSignals() as stop:
            stop.is_graceful = True
            signal.raise_signal(signal.SIGHUP)
            assert not stop.requested()
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_fault_46_a_second_process_is_refused(pictures: Path, tmp_path: Path):
    place = tmp_path / "ws"
    first = Command(place, "train", str(pictures), "--epochs", "4000", *FLAGS)
    run_id = first.wait_for_step()
    second = Command(place, "resume", run_id)
    assert second.exit_code() == 2
    assert "being trained by another process" in second.text
    first.interrupt(signal.SIGTERM)
    assert first.exit_code() == 143


def test_a_wrong_request_leaves_nothing_behind(pictures: Path, tmp_path: Path, capfd: Any):
    from vitscope.cli.app import main

    for arguments, told in {
        ("--model", "vit_tiny_patch16_22"): "Did you mean 'vit_tiny_patch16_224'",
        ("--epochs", "0"): "train.epochs",
        ("--set", "optim.name=adamm"): "adamw",
        ("--image-size", "50", "--set", "model.kwargs={patch_size: 8}"): "not a multiple of the patch size 8",
        ("--set", "model.kwargs={dept: 2}"): "Did you mean 'depth'",
        ("--device", "cuda:7"): "--device auto",
        ("--pretrained", "--init", "latest"): "choose one",
        ("--init", "no_such_run"): "no_such_run",
        ("--set", "model.kwargs={checkpoint_path: x}"): "no argument of the architecture",
        ("--set", "model.kwargs={num_classes: 5}"): "no argument of the architecture",
        ("--early-stop", "3", "--set", "data.val_fraction=0"): "no validation split",
    }.items():
        with pytest.raises(SystemExit) as exit_:
            main(["--workspace", str(tmp_path / "ws"), "train", str(pictures), *arguments])
        assert exit_.value.code == 2, arguments
        assert told in capfd.readouterr().err
    assert runs.list_runs(Workspace(tmp_path / "ws").database) == []
    assert list((tmp_path / "ws" / "runs").glob("*")) == []


def test_training_goes_on_when_its_reader_leaves(pictures: Path, tmp_path: Path):
    """`vitscope train … 2>&1 | head -1`, in processes of their own."""
    import shlex
    import subprocess

    words = [sys.executable, "-m", "vitscope", "--workspace", str(tmp_path / "ws"), "train", str(pictures)]
    line = f"{shlex.join([*words, '--epochs', '3', *FLAGS])} 2>&1 | head -1"
    subprocess.run(["bash", "-c", line], check=True, capture_output=True, timeout=120)
    row = Workspace(tmp_path / "ws").find_run("latest")
    assert (row.status, row.step) == ("finished", 9)
