"""Live streams over real connections: faults 71 and 74, and that what is told adds up to what was recorded."""

from __future__ import annotations

import asyncio
import gc
import math
import socket
import sqlite3
import subprocess
import threading
import time
from typing import Any

import psutil
import pytest

from tests.dashboard.conftest import Event, Stream, make_run, record, serve, tell, wait_until
from vitscope.dashboard import live as live_module
from vitscope.dashboard import stream as stream_module
from vitscope.dashboard.server import Server
from vitscope.metrics import query
from vitscope.storage import jobs, runs
from vitscope.storage.workspace import Workspace
from vitscope.workflows.processes import began_at


class Page:
    """What a page keeps of one run, by the rules of the stream."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, int, float]] = []
        self.cursor = ""

    def take(self, event: Event) -> None:
        if event.name == "attempt":
            self.rows = [row for row in self.rows if row[1] <= event.data["from_step"]]
        if event.name == "points":
            for name, points in event.data["series"].items():
                if replaced := points.get("replaces"):
                    self.rows = [row for row in self.rows if row[0] != name or row[1] not in replaced]
                self.rows += [(name, s, float(v)) for s, v in zip(points["step"], points["value"], strict=True)]
        self.cursor = event.id or self.cursor

    def load(self, client: Any, run_id: str) -> None:
        told = client.get(f"/api/runs/{run_id}/series?points=20000").json()
        self.rows = [
            (n, s, float(v)) for n, p in told["series"].items() for s, v in zip(p["step"], p["value"], strict=True)
        ]
        self.cursor = told["cursor"]

    def listen(self, stream: Stream, until_rows: int, timeout_s: float = 20.0) -> None:
        deadline = time.monotonic() + timeout_s
        while len(self.rows) < until_rows:
            self.take(stream.next(max(0.1, deadline - time.monotonic())))


def recorded(workspace: Workspace, run_id: str) -> list[tuple[str, int, float]]:
    frame = query.frame(workspace.database, run_id)
    names = frame["split"] + "/" + frame["name"]
    return sorted(zip(names, frame["step"].tolist(), frame["value"].tolist(), strict=True))


def hub_of(server: Server) -> live_module.Hub:
    return server.app.state.parts.hub


# ---------------------------------------------------------------------------------------------- what is told


def test_what_runs_now_is_told_first(server: Server, workspace: Workspace):
    make_run(workspace, "done")
    run = make_run(workspace, "running", status="running")
    with workspace.lock_run(run.id), Stream(server) as stream:
        assert stream.status == 200
        assert stream.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert stream.headers["cache-control"] == "no-store"
        assert "content-encoding" not in stream.headers
        first = stream.next()
        assert first.name == "runs"
        assert [row["id"] for row in first.data["runs"]] == [run.id]
        assert first.data["gone"] == []
        assert first.id


def test_an_empty_workspace_may_be_listened_to(server: Server, workspace: Workspace):
    with Stream(server) as stream:
        assert stream.next().data == {"runs": [], "gone": []}
        run = make_run(workspace)
        assert [row["id"] for row in stream.until("runs").data["runs"]] == [run.id]


def test_changed_new_and_gone_runs_are_told(server: Server, workspace: Workspace):
    run = make_run(workspace, "first")
    with Stream(server) as stream:
        stream.next()
        runs.update_run(workspace.database, run.id, name="renamed")
        assert [row["name"] for row in stream.until("runs").data["runs"]] == ["renamed"]
        new = make_run(workspace, "second", status="running")
        told = stream.until("runs")
        assert new.id in [row["id"] for row in told.data["runs"]]
        runs.update_run(workspace.database, run.id, deleted_at=1.0)
        while run.id not in stream.until("runs").data["gone"]:
            pass
        runs.update_run(workspace.database, run.id, deleted_at=None)
        while run.id not in [row["id"] for row in stream.until("runs").data["runs"]]:
            pass


def test_a_run_whose_process_died_is_told_though_nobody_wrote_anything(server: Server, workspace: Workspace):
    run = make_run(workspace, status="running")
    with Stream(server) as stream:
        with workspace.lock_run(run.id):
            while not any(r["status"] == "running" for r in stream.until("runs").data["runs"]):
                pass
        assert stream.until("runs").data["runs"][0]["status"] == "interrupted"


def test_points_add_up_to_what_was_recorded(server: Server, workspace: Workspace):
    run = make_run(workspace, status="running", steps=15)
    page = Page()
    with Client(server) as client:
        page.load(client, run.id)
    with Stream(server, f"/api/live?run={run.id}&since={page.cursor}") as stream:
        record(workspace, run.id, 1, range(16, 30))
        page.listen(stream, len(recorded(workspace, run.id)))
        attempt = runs.begin_attempt(workspace.database, run.id, 20)
        record(workspace, run.id, attempt, range(20, 26), value=lambda s: math.inf if s == 22 else -s)
        told = stream.until("attempt")
        assert told.data == {"attempt": 2, "from_step": 20}
        page.take(told)
        page.listen(stream, len(recorded(workspace, run.id)))
        assert sorted(page.rows) == recorded(workspace, run.id)
        tell(workspace, run.id, 2, "notice", "mind <this>", step=22)
        (notice,) = stream.until("notices").data["notices"]
        assert notice == {"time": 1e9, "step": 22, "level": "warning", "text": "mind <this>", "alert": None}
        tell(workspace, run.id, 2, "checkpoint", step=25)
        assert stream.until("moment").data == {"step": 25}


def test_a_new_snapshot_is_a_moment(server: Server, workspace: Workspace):
    run = make_run(workspace, status="running")
    folder = workspace.run_folder(run.id) / "snapshots"
    with Stream(server, f"/api/live?run={run.id}") as stream:
        stream.next()
        folder.mkdir()
        (folder / "pinned.json").write_text("{}")
        (folder / ".step-00000099.npz.tmp").write_bytes(b"")
        (folder / "step-00000040.npz").write_bytes(b"")
        assert stream.until("moment").data == {"step": 40}
        (folder / "step-00000050.npz").write_bytes(b"")
        assert stream.until("moment").data == {"step": 50}


def test_without_a_cursor_a_stream_begins_now(server: Server, workspace: Workspace):
    run = make_run(workspace, status="running")
    with Stream(server, f"/api/live?run={run.id}") as stream:
        stream.next()
        record(workspace, run.id, 1, range(21, 23))
        assert stream.until("points").data["series"]["train/loss"]["step"] == [21, 22]


def test_a_stream_goes_on_from_its_last_id(server: Server, workspace: Workspace):
    """Whatever happened meanwhile: rows, an attempt, other runs; each told once, nothing left out."""
    run = make_run(workspace, status="running")
    page = Page()
    with Client(server) as client:
        page.load(client, run.id)
    for round_ in range(3):
        header = {"Last_Event_ID": page.cursor} if round_ else {}
        since = "" if round_ else f"&since={page.cursor}"
        record(workspace, run.id, 1 + round_, range(21 + round_ * 5, 31 + round_ * 5))
        with Stream(server, f"/api/live?run={run.id}{since}", **header) as stream:
            page.listen(stream, len(recorded(workspace, run.id)))
        assert sorted(page.rows) == recorded(workspace, run.id)
        runs.begin_attempt(workspace.database, run.id, 25 + round_ * 5)
        other = make_run(workspace, f"other {round_}")
        with Stream(server, f"/api/live?run={run.id}", Last_Event_ID=page.cursor) as stream:
            first = stream.next()
            assert {other.id, run.id} <= {row["id"] for row in first.data["runs"]}
            page.take(first)
            while stream.next().name != "attempt":
                pass
            page.rows = [row for row in page.rows if row[1] <= 25 + round_ * 5]
            with Stream(server, f"/api/live?run={run.id}", Last_Event_ID=page.cursor) as again:
                page.take(again.until("attempt"))


def test_a_cursor_of_another_run_or_another_server(server: Server, workspace: Workspace):
    first, second = make_run(workspace, "first"), make_run(workspace, "second", status="running")
    page = Page()
    with Client(server) as client:
        page.load(client, first.id)
    with Stream(server, f"/api/live?run={second.id}&since={page.cursor}") as stream:
        told = stream.next()
        assert second.id in told.id  # begins now
    with Stream(server, "/api/live?since=00000000.5") as stream:
        told = stream.next()
        assert told.data["all"] is True
        assert {row["id"] for row in told.data["runs"]} == {first.id, second.id}


def test_much_that_was_missed_comes_in_parts(server: Server, workspace: Workspace, monkeypatch: pytest.MonkeyPatch):
    from vitscope.metrics import columns

    monkeypatch.setattr(columns, "MOST_ROWS", 50)
    run = make_run(workspace, status="running")
    page = Page()
    with Client(server) as client:
        page.load(client, run.id)
    record(workspace, run.id, 1, range(21, 500))
    attempt = runs.begin_attempt(workspace.database, run.id, 300)
    record(workspace, run.id, attempt, range(301, 400), value=float)
    with Stream(server, f"/api/live?run={run.id}&since={page.cursor}") as stream:
        events = 0
        while sorted(page.rows) != recorded(workspace, run.id):
            event = stream.next()
            events += event.name == "points"
            page.take(event)
            if event.name == "points":
                assert sum(len(p["step"]) for p in event.data["series"].values()) <= 50
    assert events > 20


def test_several_pages_of_one_run_are_told_the_same(server: Server, workspace: Workspace):
    run = make_run(workspace, status="running")
    streams = [Stream(server, f"/api/live?run={run.id}") for _ in range(5)]
    for stream in streams:
        stream.next()
    record(workspace, run.id, 1, range(21, 40))
    told = [stream.until("points").data for stream in streams]
    assert all(each == told[0] for each in told)
    for stream in streams:
        stream.close()


# ---------------------------------------------------------------------------------------------- coming and going


def test_nobody_looks_while_nobody_listens(server: Server, workspace: Workspace):
    make_run(workspace)
    assert not hub_of(server).is_looking
    with Stream(server) as stream:
        stream.next()
        assert hub_of(server).is_looking
    wait_until(lambda: not hub_of(server).is_looking)
    assert len(hub_of(server)) == 0


def test_fault_71_streams_that_come_and_go_leave_nothing(server: Server, workspace: Workspace):
    run = make_run(workspace, status="running")
    me = psutil.Process()

    def open_and_drop(count: int) -> None:
        streams = [Stream(server, f"/api/live?run={run.id}") for _ in range(count)]
        for stream in streams[::2]:
            stream.next()
        record(workspace, run.id, 1, range(30, 33))
        for i, stream in enumerate(streams):
            if i % 3 == 0:  # cut, not closed
                stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            stream.close()
        wait_until(lambda: len(hub_of(server)) == 0, 30)
        wait_until(lambda: not hub_of(server).is_looking)
        wait_until(lambda: len(server._uvicorn.server_state.connections) == 0)  # type: ignore[union-attr]

    open_and_drop(20)
    gc.collect()
    before = me.num_fds(), threading.active_count(), tasks(server), listeners()
    for _ in range(4):
        open_and_drop(50)
    gc.collect()
    wait_until(lambda: tasks(server) <= before[2])
    after = me.num_fds(), threading.active_count(), tasks(server), listeners()
    assert after[0] <= before[0] + 2
    assert after[1] <= before[1] + 8  # the pool of threads may have grown to its size
    assert after[2:] == before[2:]


def tasks(server: Server) -> int:
    """Tasks of the server's event loop."""
    loop = hub_of(server)._task.get_loop()  # type: ignore[union-attr]
    return asyncio.run_coroutine_threadsafe(count_tasks(), loop).result(10)


async def count_tasks() -> int:
    return len(asyncio.all_tasks()) - 1


def listeners() -> int:
    gc.collect()
    return sum(type(thing) is live_module.Listener for thing in gc.get_objects())


def test_fault_74_a_slow_client_holds_nobody_up_and_misses_nothing(server: Server, workspace: Workspace):
    """It reads nothing while much is recorded: nothing piles up for it, others are told at once; then it reads on."""
    run = make_run(workspace, status="running")
    slow_page, quick_page = Page(), Page()
    with Client(server) as client:
        slow_page.load(client, run.id)
        quick_page.load(client, run.id)
    path = f"/api/live?run={run.id}&since={slow_page.cursor}"
    with Stream(server, path) as slow, Stream(server, path) as quick:
        for begin in range(21, 4021, 400):
            record(workspace, run.id, 1, range(begin, begin + 400))
            began = time.monotonic()
            quick_page.listen(quick, len(recorded(workspace, run.id)))
            assert time.monotonic() - began < 5
        assert len(hub_of(server)._told) <= live_module.MOST_KEPT
        slow_page.listen(slow, len(recorded(workspace, run.id)))
        assert sorted(slow_page.rows) == sorted(quick_page.rows) == recorded(workspace, run.id)


def test_fault_74_one_that_takes_nothing_at_all_is_given_up(workspace: Workspace, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(stream_module, "SEND_S", 0.5)
    monkeypatch.setattr(stream_module, "PING_S", 0.2)
    run = make_run(workspace, status="running")
    with serve(workspace) as server:
        with Client(server) as client:
            since = client.get(f"/api/runs/{run.id}/series").json()["cursor"]
        for number in range(12):
            tell(workspace, run.id, 1, "notice", "x" * 1_000_000, step=number)
        stuck = Stream(server, f"/api/live?run={run.id}&since={since}")  # of 12 MB it reads none
        wait_until(lambda: len(hub_of(server)) == 1)
        wait_until(lambda: len(hub_of(server)) == 0, 30)
        monkeypatch.undo()
        with Stream(server, f"/api/live?run={run.id}&since={since}") as again:  # it may come back
            steps = [stream_step(again.until("notices", 30)) for _ in range(12)]
        assert steps == list(range(12))
        stuck.close()


def stream_step(event: Event) -> int:
    (notice,) = event.data["notices"]
    return notice["step"]


def test_fault_74_a_connection_that_is_half_open_is_noticed(server: Server, workspace: Workspace):
    make_run(workspace)
    with Stream(server) as stream:
        stream.next()
        stream.socket.shutdown(socket.SHUT_WR)
        wait_until(lambda: len(hub_of(server)) == 0)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # one whose other end has vanished without a word: the system cuts it
        assert server._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 60_000


def test_a_comment_keeps_a_quiet_connection(workspace: Workspace, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(stream_module, "PING_S", 0.1)
    with serve(workspace) as server, Stream(server) as stream:
        stream.next()
        stream.socket.settimeout(5)
        assert b": still here" in stream._text + stream._chunk()


def test_too_many_are_told_to_come_later(workspace: Workspace, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(live_module, "MOST_LISTENERS", 2)
    with serve(workspace) as server, Stream(server) as first, Stream(server) as second:
        first.next()
        second.next()
        with Stream(server) as third:
            assert third.status == 429
            assert third.headers["retry-after"] == "2"
        second.close()
        wait_until(lambda: len(hub_of(server)) == 1)
        with Stream(server) as third:
            assert third.next().name == "runs"


def test_bye_when_the_server_stops(workspace: Workspace):
    run = make_run(workspace)
    with serve(workspace) as server:
        streams = [Stream(server), Stream(server, f"/api/live?run={run.id}")]
        for stream in streams:
            stream.next()
        began = time.monotonic()
        server.stop()
        assert time.monotonic() - began < 3
        for stream in streams:
            assert stream.next().name == "bye"
            with pytest.raises(EOFError):
                stream.next()
            stream.close()


def test_a_database_that_cannot_be_read_for_a_while_is_survived(
    server: Server, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    from vitscope.errors import WorkFailed

    monkeypatch.setattr(live_module, "POLL_AGAIN_S", 0.05)
    run = make_run(workspace)
    with Stream(server) as stream:
        stream.next()
        table = server.app.state.parts.table
        real = table.look
        monkeypatch.setattr(table, "look", lambda _: (_ for _ in ()).throw(WorkFailed("the database is locked.")))
        wait_until(lambda: "is locked" in caplog.text)
        time.sleep(0.3)
        assert caplog.text.count("is locked") == 1
        monkeypatch.setattr(table, "look", real)
        runs.update_run(workspace.database, run.id, name="again")
        assert stream.until("runs").data["runs"][0]["name"] == "again"


def test_whatever_goes_wrong_while_looking_pages_go_on_when_it_is_over(
    server: Server, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """As where the database's server is stopped: nothing can be connected, and the connections that were are broken."""
    from sqlalchemy import Engine
    from sqlalchemy.exc import OperationalError

    monkeypatch.setattr(live_module, "POLL_AGAIN_S", 0.05)
    run = make_run(workspace, status="running")
    with Stream(server, f"/api/live?run={run.id}") as stream:
        stream.next()

        def refused(*_: object, **__: object) -> None:
            raise OperationalError("SELECT 1", {}, Exception("connection refused"))

        with monkeypatch.context() as gone:
            gone.setattr(Engine, "connect", refused)
            workspace.database.engine.dispose()
            if (changes := server.app.state.parts.hub._changes) is not None:  # else it was noticed already
                changes.close()
            wait_until(lambda: "connection refused" in caplog.text)
            time.sleep(0.3)
            assert caplog.text.count("The dashboard tries again.") == 1
        record(workspace, run.id, 1, range(21, 23))
        assert stream.until("points").data["series"]["train/loss"]["step"] == [21, 22]


def test_a_database_that_others_write_to_for_long_keeps_nobody_waiting(server: Server, workspace: Workspace):
    """And a job died meanwhile, which is to be written down: that waits, nothing else does."""
    run = make_run(workspace, status="running")
    child = subprocess.Popen(["sleep", "1000"])
    row = jobs.JobRow(run.id, socket.gethostname(), child.pid, began_at(child.pid), 0, 0, time.time())
    assert jobs.claim(workspace.database, row, None)
    with workspace.database.writing() as connection:
        connection.exec_driver_sql(f"UPDATE vs_attempts SET pid = {child.pid}")
    with Client(server) as client, Stream(server) as stream:
        stream.next()
        other = sqlite3.connect(workspace.root / "vitscope.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        child.kill()
        child.wait()
        time.sleep(1.2)  # somebody has looked
        for path in ("/api/session", "/api/runs", f"/api/runs/{run.id}", "/api/session"):
            began = time.monotonic()
            assert client.get(path).status_code == 200
            assert time.monotonic() - began < 4, path
        with Stream(server) as late:
            began = time.monotonic()
            assert late.next(4).name == "runs"
        other.execute("ROLLBACK")
        other.close()
        while not any(told["status"] == "failed" for told in stream.until("runs").data["runs"]):
            pass
    assert jobs.get(workspace.database, run.id).ended_at is not None  # type: ignore[union-attr]


def test_what_is_told_waits_for_nobody_who_reads(server: Server, workspace: Workspace):
    """A table that is being read anew, for as long as it takes, is told from as it was."""
    make_run(workspace)
    table = server.app.state.parts.table
    table.refresh()
    with table._lock:
        assert len(table.now.rows()) == 1
        assert table.now.since(table.now.version) == ([], [], False)


def test_work_of_one_kind_does_not_wait_for_other_work(workspace: Workspace):
    """Threads that everything shares may all be stuck."""
    from concurrent.futures import ThreadPoolExecutor

    from vitscope.dashboard.parts import Parts
    from vitscope.dashboard.security import Access

    make_run(workspace)

    async def work() -> None:
        release = threading.Event()
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(1))
        stuck = loop.run_in_executor(None, release.wait)
        parts = Parts(workspace, Access("t" * 40))
        try:
            async with asyncio.timeout(20), parts.hub.listen(None) as listener:
                assert (await parts.hub.tell(listener, live_module.Cursor())).data
                assert parts.hub.is_looking
        finally:
            release.set()
            await stuck
            await parts.close()

    asyncio.run(work())


def test_from_the_record_to_the_page_in_less_than_half_a_second(server: Server, workspace: Workspace):
    """Most of it is the pause between two looks; a slow machine is given three times as long."""
    run = make_run(workspace, status="running")
    delays = []
    with Stream(server, f"/api/live?run={run.id}") as stream:
        stream.next()
        for step in range(21, 41):
            record(workspace, run.id, 1, range(step, step + 1))
            began = time.monotonic()
            while step not in stream.until("points").data["series"].get("train/loss", {"step": []})["step"]:
                pass
            delays.append(time.monotonic() - began)
    assert sorted(delays)[len(delays) // 2] < 1.5, delays


class Client:
    """A plain client of a real server."""

    def __init__(self, server: Server):
        import httpx2

        from tests.dashboard.conftest import BEARER

        self._client = httpx2.Client(base_url=server.root, headers=BEARER, timeout=30)

    def __enter__(self) -> Any:
        return self._client

    def __exit__(self, *_: object) -> None:
        self._client.close()
