"""A thousand live streams of a real server process, opened and dropped: nothing of them stays (fault 71)."""

from __future__ import annotations

import json
import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest

from tests.dashboard.conftest import TOKEN, Stream, make_run, record, wait_until
from tests.dashboard.test_server import Command
from vitscope.dashboard.live import MOST_LISTENERS
from vitscope.dashboard.token import FILE
from vitscope.storage.workspace import Workspace

FIGURES = "VITSCOPE_STORM_FIGURES"  # the folder for what was measured
CUT = b"\1\0\0\0\0\0\0\0"  # SO_LINGER: reset, not closed


class Held(NamedTuple):
    """What the server's process holds."""

    descriptors: int
    threads: int
    connections: int
    memory_mb: float


def held(process: psutil.Process) -> Held:
    open_ = [c for c in process.net_connections() if c.status != psutil.CONN_LISTEN]
    return Held(process.num_fds(), process.num_threads(), len(open_), round(process.memory_info().rss / 2**20, 1))


def allow_open_files(wanted: int) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))


@pytest.mark.long
@pytest.mark.skipif(os.name == "nt", reason="counts descriptors")
@pytest.mark.timeout(1800)
def test_fault_71_a_thousand_streams_leave_nothing(tmp_path: Path):
    workspace, count = Workspace(tmp_path / "ws"), MOST_LISTENERS
    run = make_run(workspace, status="running")
    (workspace.root / FILE).touch(0o600)
    (workspace.root / FILE).write_text(TOKEN)
    allow_open_files(count + 500)
    command = Command(workspace.root, "--port", "0", "--no-browser")
    process = psutil.Process(command.child.pid)
    server: Any = command  # knows its port, as a stream wants it
    step = 100

    def open_and_drop(number: int) -> int:
        """Opened all at once; every third reads what is told, some are cut off without a word. Gives the most held."""
        nonlocal step
        streams = [Stream(server, f"/api/live?run={run.id}") for _ in range(number)]
        most = held(process).connections
        assert [stream.status for stream in streams] == [200] * number
        if number == count:
            with Stream(server) as late:
                assert late.status == 429
        step += 10
        record(workspace, run.id, 1, range(step, step + 5))
        for i, stream in enumerate(streams):
            if i % 3 == 0:
                stream.until("points", 60)
            if i % 4 == 0:
                stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, CUT)
            stream.close()
        wait_until(lambda: held(process).connections == 0, 120)
        return most

    figures: dict[str, Any] = {"streams": count}
    try:
        with Stream(server, f"/api/live?run={run.id}") as stream:
            stream.next()
        open_and_drop(100)  # the pools grow to their size
        before = held(process)
        assert open_and_drop(count) >= count
        first = held(process)
        assert open_and_drop(count) >= count
        second = held(process)
        figures |= {"before": before._asdict(), "once": first._asdict(), "twice": second._asdict()}
        print(json.dumps(figures))
        with suppress(KeyError):
            folder = Path(os.environ[FIGURES])
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "streams.json").write_text(json.dumps(figures, indent=1) + "\n")
        for after in (first, second):
            assert after.descriptors <= before.descriptors + 2
            assert after.threads <= before.threads + 8
            assert after.connections == 0
        assert second.memory_mb <= first.memory_mb + 20  # what the allocator keeps is used again
        assert first.memory_mb <= before.memory_mb + 150
    finally:
        code, _, told = command.end()
    assert code == 130
    assert "Traceback" not in told
