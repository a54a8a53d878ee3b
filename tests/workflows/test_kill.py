"""A process is killed with SIGKILL at chosen and random moments; the end is an uninterrupted run's (fault 41)."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.workflows.test_resume import assert_equal, everything
from vitscope.config import merge
from vitscope.events import CheckpointSaved, CheckpointStarting, EpochDone, Event, StepsDone
from vitscope.storage import runs
from vitscope.storage.workspace import Workspace

OPTIONS = {
    "model": {"drop_path": 0.2},
    "augment": {"mixup": 0.4},
    "train": {"epochs": 4, "batch_size": 4, "accumulation": 2, "ema_decay": 0.9},
    "checkpoint": {"every_steps": 3},
}

context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(["vitscope.workflows.resolve", "vitscope.workflows.observe", "vitscope.training.loop"])


def never(event: Event) -> bool:
    return False


def kill_when(moment: Callable[[Event], bool], pause_s: float) -> Callable[[Event], None]:
    """An observer that ends its own process the hard way."""

    def observer(event: Event) -> None:
        if isinstance(event, StepsDone):
            time.sleep(pause_s)
        if moment(event):
            os.kill(os.getpid(), signal.SIGKILL)

    return observer


def work(
    source: str,
    place: str,
    options: dict[str, Any],
    run_id: str | None,
    moment: Callable[[Event], bool],
    pause_s: float,
):
    import vitscope

    observers = [kill_when(moment, pause_s)]
    if run_id is None:
        vitscope.train(source, workspace=place, observers=observers, **options)
    else:
        vitscope.resume(run_id, workspace=place, observers=observers)


class Step:
    """True when step `number` is told."""

    def __init__(self, number: int):
        self.number = number

    def __call__(self, event: Event) -> bool:
        return isinstance(event, StepsDone) and event.records[-1].step == self.number


class Moment:
    """True at the first event of a kind whose attributes are these."""

    def __init__(self, kind: type, **attributes: object):
        self.kind, self.attributes = kind, attributes

    def __call__(self, event: Event) -> bool:
        return isinstance(event, self.kind) and all(getattr(event, k) == v for k, v in self.attributes.items())


def run_process(*arguments: Any, kill_after_s: float | None = None) -> int | None:
    process = context.Process(target=work, args=arguments)
    process.start()
    process.join(kill_after_s if kill_after_s is not None else 120)
    if process.is_alive():
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    return process.exitcode


@pytest.fixture
def whole(pictures: Path, tiny: dict, tmp_path: Path) -> dict[str, Any]:
    import vitscope

    run = vitscope.train(pictures, workspace=tmp_path / "whole", **merge(tiny, OPTIONS))
    return everything(run)


def list_helpers_and_die(source: str, place: str, options: dict[str, Any], file: str) -> None:
    """Train with worker processes; in step 3 write down every process below this one, then die."""
    import vitscope

    def observer(event: Event) -> None:
        if isinstance(event, StepsDone) and event.records[-1].step == 3:
            Path(file).write_text(" ".join(str(p.pid) for p in psutil.Process().children(recursive=True)))
            os.kill(os.getpid(), signal.SIGKILL)

    vitscope.train(source, workspace=place, observers=[observer], **options)


def test_no_process_outlives_a_killed_run(pictures: Path, tiny: dict, tmp_path: Path):
    file = tmp_path / "pids"
    options = merge(tiny, OPTIONS, {"data": {"workers": 2}})
    process = context.Process(
        target=list_helpers_and_die, args=(str(pictures), str(tmp_path / "ws"), options, str(file))
    )
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    helpers = [int(pid) for pid in file.read_text().split()]
    assert len(helpers) >= 2
    deadline = time.monotonic() + 30
    while (alive := [pid for pid in helpers if is_running(pid)]) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert alive == []


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def only_run(place: Path) -> str:
    (row,) = runs.list_runs(Workspace(place).database)
    return row.id


def finished(place: Path, run_id: str) -> dict[str, Any]:
    from vitscope.workflows.run import Run

    run = Run(run_id, place)
    assert run.status == "finished"
    return everything(run)


def test_fault_41_killed_at_chosen_moments(pictures: Path, tiny: dict, tmp_path: Path, whole: dict[str, Any]):
    """Before the first checkpoint; twice in one epoch; while saving; at an epoch's end, before and after saving."""
    place, options = tmp_path / "killed", merge(tiny, OPTIONS)
    per_epoch = 7  # 29 training pictures in batches of 4
    moments: list[Callable[[Event], bool]] = [
        Step(1),
        Step(per_epoch + 2),
        Step(per_epoch + 4),
        Moment(CheckpointStarting, step=per_epoch + 5),
        Moment(EpochDone, epoch=2),
        Moment(CheckpointSaved, step=2 * per_epoch),
        Moment(EpochDone, epoch=4),
    ]
    run_id = None
    for moment in moments:
        code = run_process(str(pictures), str(place), options, run_id, moment, 0.0)
        assert code == -signal.SIGKILL, moment
        run_id = only_run(place)
        assert Workspace(place).live_status(Workspace(place).find_run(run_id)) == "interrupted"
    assert run_process(str(pictures), str(place), options, run_id, never, 0.0) == 0
    assert run_id is not None
    assert_equal(finished(place, run_id), whole)


@pytest.mark.parametrize("seed", [1, 2])
def test_fault_41_killed_at_random_moments(
    pictures: Path, tiny: dict, tmp_path: Path, whole: dict[str, Any], seed: int
):
    draw, place, options = (
        random.Random(seed),
        tmp_path / "killed",
        merge(tiny, OPTIONS, {"data": {"workers": 2 * (seed % 2)}}),
    )
    run_id, kills = None, 0
    for _ in range(12):
        code = run_process(str(pictures), str(place), options, run_id, never, 0.06, kill_after_s=draw.uniform(0.4, 1.3))
        if code == 0:
            break
        kills += 1
        if Workspace(place).root.exists():
            rows = runs.list_runs(Workspace(place).database)
            run_id = rows[0].id if rows else None
    if code != 0:
        assert run_process(str(pictures), str(place), options, run_id, never, 0.0) == 0
    assert kills >= 2
    assert_equal(finished(place, only_run(place)), whole)
