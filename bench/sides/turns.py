"""Two sides in turns of some seconds, each a process that is stopped while the other computes.

A shared machine may be twice as fast a minute later. Sides that are timed for a minute each, one after another, differ
by that; turns of a few steps do not, and no side pays for its start.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from peers.work import MARK, Work

from sides import SideFailed, command_of

STEPS = 3  # of a turn
ENDLESS = 1_000_000  # steps


def in_turns(sides: Mapping[str, tuple[Path, Work]], turns: int) -> dict[str, list[float]]:
    """Images a second of each turn of each side. Raises `SideFailed`."""
    found: dict[str, list[float]] = {name: [] for name in sides}
    with ExitStack() as closing:
        started = {name: closing.enter_context(_side(*side)) for name, side in sides.items()}
        for number in range(turns):
            names = list(sides)
            for name in names if number % 2 == 0 else names[::-1]:
                found[name].append(started[name].turn())
    return found


class _Side:
    """A process that has warmed up and is stopped."""

    def __init__(self, process: subprocess.Popen[str], errors: Path):
        self.process, self.errors = process, errors

    def turn(self) -> float:
        """Images a second of the next turn."""
        os.killpg(self.process.pid, signal.SIGCONT)
        return self.stopped()

    def stopped(self) -> float:
        """What it prints when it stops itself."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(MARK) and "turn" in (told := json.loads(line.removeprefix(MARK))):
                # What it prints comes before it stops; continued in between, it would stop for good.
                os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
                return float(told["turn"])
        raise SideFailed(f"A side ended before its turn did:\n{self.errors.read_text(errors='replace')[-3000:]}")


@contextmanager
def _side(script: Path, work: Work) -> Iterator[_Side]:
    with tempfile.TemporaryDirectory() as scratch:
        command, surroundings = command_of(script, replace(work, turn=STEPS, steps=ENDLESS, scratch=scratch))
        errors = Path(scratch) / "errors.txt"
        with errors.open("w") as stderr:
            process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=stderr, text=True, cwd=scratch, env=surroundings,
                start_new_session=True,
            )  # fmt: skip
        try:
            side = _Side(process, errors)
            side.stopped()
            yield side
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
