"""A run in a process of its own that is followed while it trains, and killed from outside at a chosen moment."""

from __future__ import annotations

import os
import signal
import time
from collections import defaultdict
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from tests.workflows.test_kill import context, is_running, work
from vitscope.events import CheckpointSaved, CheckpointStarting, EpochDone, Event, RunEnded, RunStarted, StepsDone

PAUSE_S = 0.01  # after each step


class Telling:
    """An observer's moment that never comes: it tells through a pipe what the run does now, for others to strike."""

    def __init__(self, pipe: Connection):
        self.pipe, self.steps_per_epoch = pipe, 1

    def __call__(self, event: Event) -> bool:
        match event:
            case RunStarted(steps_per_epoch=number):
                self.steps_per_epoch = number
                self.pipe.send(("epoch", None))
            case StepsDone(records=records):
                is_last = records[-1].step % self.steps_per_epoch == 0
                self.pipe.send(("evaluation" if is_last else "epoch", None))
            case CheckpointStarting():
                self.pipe.send(("checkpoint", None))
            case CheckpointSaved(step=step):
                self.pipe.send(("epoch", step))
            case EpochDone():
                self.pipe.send(("epoch", None))
            case RunEnded():
                self.pipe.send(("ending", None))
        return False


class Moment(NamedTuple):
    """So many seconds after something has begun for the n-th time."""

    doing: str
    number: int
    delay_s: float


class Struck(NamedTuple):
    """What a process did when it died (its exit code 0: it was done), and the last step that it called saved."""

    code: int | None
    doing: str
    saved: int
    spans: dict[str, list[float]]  # seconds that each thing took


class Attempt:
    """A process that trains or resumes, followed until a moment at which it is killed, from outside, with SIGKILL."""

    def __init__(self, source: Path, place: Path, options: dict[str, Any], run_id: str | None):
        self.pipe, sending = context.Pipe(duplex=False)
        arguments = (str(source), str(place), options, run_id, Telling(sending), PAUSE_S)
        self.process = context.Process(target=work, args=arguments)
        self.process.start()
        sending.close()
        self.doing, self.saved, self.since = "starting", 0, time.monotonic()
        self.spans: dict[str, list[float]] = defaultdict(list)

    def until(self, moment: Moment | None) -> Struck:
        """Follow it to the moment, or to its end."""
        left = moment.number if moment is not None else 0
        is_there = moment is not None and moment.doing == self.doing
        while not is_there and self.hear(120):
            left -= moment is not None and self.doing == moment.doing
            is_there = moment is not None and left <= 0 and self.doing == moment.doing
        if is_there and moment is not None:
            deadline = time.monotonic() + moment.delay_s
            while (rest := deadline - time.monotonic()) > 0 and self.hear(rest):
                pass
            self.kill()
        self.process.join(120)
        with suppress(EOFError, OSError):
            while self.hear(0):
                pass
        self.pipe.close()
        return Struck(self.process.exitcode, self.doing, self.saved, self.spans)

    def hear(self, patience_s: float) -> bool:
        """Take in what it says next; False when it says nothing any more."""
        try:
            if not self.pipe.poll(patience_s):
                return False
            doing, saved = self.pipe.recv()
        except (EOFError, OSError):
            return False
        now = time.monotonic()
        self.spans[self.doing].append(now - self.since)
        self.doing, self.saved, self.since = doing, saved or self.saved, now
        return True

    def kill(self) -> None:
        """And see that nothing that it started outlives it. Held first, it starts nothing more meanwhile."""
        assert self.process.pid is not None
        with suppress(psutil.NoSuchProcess, ProcessLookupError):
            os.kill(self.process.pid, signal.SIGSTOP)
            below = psutil.Process(self.process.pid).children(recursive=True)
            os.kill(self.process.pid, signal.SIGKILL)
            assert_gone(below)


def assert_gone(processes: list[psutil.Process], patience_s: float = 30.0) -> None:
    """Whatever was below a process that was killed ends by itself."""
    deadline = time.monotonic() + patience_s
    while alive := [one.pid for one in processes if is_running(one.pid)]:
        assert time.monotonic() < deadline, f"processes {alive} outlive the one that started them"
        time.sleep(0.05)
