"""A workspace with runs that nobody trained, a client that may ask, and a real server on a port of its own."""

from __future__ import annotations

import json
import math
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from fastapi.testclient import TestClient

from vitscope.dashboard.app import create_app
from vitscope.dashboard.server import Server
from vitscope.dashboard.worker import Worker
from vitscope.storage import records, runs
from vitscope.storage.workspace import Workspace

TOKEN = "a-token-of-these-tests-and-of-no-other-thing"
BASE = "http://127.0.0.1:8420"
BEARER = {"authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "ws")


@pytest.fixture(autouse=True)
def cold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is warmed: a process that opens models takes seconds to begin."""
    monkeypatch.setattr(Worker, "warm", lambda _: None)


@contextmanager
def asking(workspace: Workspace, headers: dict[str, str] = BEARER, **options: Any) -> Iterator[TestClient]:
    """A client of an application of its own; it raises no exception of the server, as no client does."""
    app = create_app(workspace, token=TOKEN, **options)
    with TestClient(app, BASE, headers=headers, follow_redirects=False, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def client(workspace: Workspace) -> Iterator[TestClient]:
    with asking(workspace) as made:
        yield made


def make_run(
    workspace: Workspace, name: str = "digits", status: runs.Status = "finished", steps: int = 20
) -> runs.RunRow:
    """A run with `steps` steps recorded, and an evaluation every ten."""
    run = runs.create_run(workspace.database, name=name, source="digits", model="vit_tiny", epochs=4, total_steps=40)
    attempt = runs.begin_attempt(workspace.database, run.id, 0)
    record(workspace, run.id, attempt, range(1, steps + 1))
    runs.update_run(workspace.database, run.id, step=steps, best=0.5)
    if status != "running":
        runs.end_attempt(workspace.database, run.id, attempt, status)
    folder = workspace.run_folder(run.id)
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("seed: 3\ndata:\n  source: digits\n")
    (folder / "requested.yaml").write_text("data:\n  source: digits\n")
    return runs.get_run(workspace.database, run.id)


def record(
    workspace: Workspace, run_id: str, attempt: int, steps: range, value: Callable[[int], float] = math.sin
) -> None:
    rows = []
    for step in steps:
        for split, name in (("train", "loss"), ("", "lr"), ("", "images_per_s")):
            rows.append(records.MetricRow(1e9 + step / 10, step, step / 10, split, name, value(step)))
        if step % 10 == 0:
            rows.append(records.MetricRow(1e9 + step / 10, step, step / 10, "val", "top1", step / 100))
    with workspace.database.writing() as connection:
        records.append(connection, run_id, attempt, records.Batch(rows))


def tell(workspace: Workspace, run_id: str, attempt: int, kind: str, text: str = "", step: int = 0) -> None:
    level = "warning" if kind == "notice" else "info"
    event = records.EventRow(1e9, step, kind, level, text, json.dumps({"name": f"step-{step:08d}"}))
    with workspace.database.writing() as connection:
        records.append(connection, run_id, attempt, records.Batch(events=[event]))


def routes_of(app: Any) -> list[Any]:
    """Every route of the application, those of its routers too."""
    found = []
    for route in app.routes:
        router = getattr(route, "original_router", None)
        found += router.routes if router is not None else [route]
    return found


# ---------------------------------------------------------------------------------------------- a real server


@contextmanager
def serve(workspace: Workspace, **options: Any) -> Iterator[Server]:
    server = Server(workspace, port=0, token=TOKEN, **options)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def server(workspace: Workspace) -> Iterator[Server]:
    with serve(workspace) as made:
        yield made


class Event(NamedTuple):
    id: str
    name: str
    data: Any


class Stream:
    """A live stream over a plain socket: what an EventSource gets, and no more comfort."""

    def __init__(self, server: Server, path: str = "/api/live", **headers: str):
        self.socket = socket.create_connection(("127.0.0.1", server.port), 10)
        lines = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{server.port}", f"Authorization: Bearer {TOKEN}"]
        lines += ["Accept-Encoding: gzip"]  # as browsers say; a stream is never compressed
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.socket.sendall("\r\n".join([*lines, "", ""]).encode())
        self.file = self.socket.makefile("rb")
        self.status = int(self.file.readline().split()[1])
        self.headers: dict[str, str] = {}
        while line := self.file.readline().decode().strip():
            name, _, value = line.partition(":")
            self.headers[name.lower()] = value.strip()
        self._text = b""

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        with suppress(OSError):
            self.file.close()
            self.socket.close()

    def next(self, timeout_s: float = 10.0) -> Event:
        """The next event, comments passed over. Raises `EOFError` at the stream's end."""
        self.socket.settimeout(timeout_s)
        while True:
            while b"\n\n" not in self._text:
                self._text += self._chunk()
            block, _, self._text = self._text.partition(b"\n\n")
            fields = dict(line.split(b": ", 1) for line in block.split(b"\n") if b": " in line and line[:1] != b":")
            if b"event" in fields:
                name, told = fields[b"event"].decode(), json.loads(fields[b"data"])
                return Event(fields.get(b"id", b"").decode(), name, told)

    def until(self, name: str, timeout_s: float = 10.0) -> Event:
        """The next event of this name."""
        deadline = time.monotonic() + timeout_s
        while True:
            event = self.next(max(0.1, deadline - time.monotonic()))
            if event.name == name:
                return event

    def _chunk(self) -> bytes:
        size = int(self.file.readline().strip() or b"0", 16)
        if size == 0:
            raise EOFError
        data = self.file.read(size)
        self.file.readline()
        return data


def wait_until(is_so: Callable[[], object], timeout_s: float = 15.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.02)
