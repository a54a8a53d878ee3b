"""A PostgreSQL server of the test's own that crashes and comes back while a run is recorded in it (fault 54)."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import vitscope
from tests.workflows.test_resume import assert_equal, everything
from vitscope.config import merge
from vitscope.events import Event, Notice, StepsDone
from vitscope.metrics import query
from vitscope.storage.workspace import Workspace

pytest.importorskip("psycopg", reason="the driver is not installed: pip install 'vitscope[postgresql]'")


class Postgres:
    """`initdb` and `postgres`, as a user that is not root, on a free port."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.user: dict[str, Any] = {"user": "nobody", "group": "nogroup"} if os.getuid() == 0 else {}
        if self.user:
            shutil.chown(folder, **self.user)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"postgresql://vitscope@127.0.0.1:{self.port}/postgres"
        words = ["initdb", "-D", str(folder / "data"), "-U", "vitscope", "-A", "trust", "-N"]
        subprocess.run(words, check=True, capture_output=True, cwd=folder, **self.user)

    def start(self) -> None:
        words = ["postgres", "-D", str(self.folder / "data"), "-p", str(self.port), "-k", str(self.folder)]
        log = (self.folder / "log").open("ab")
        self.process = subprocess.Popen(
            [*words, "-c", "listen_addresses=127.0.0.1"], stdout=log, stderr=log, cwd=self.folder, **self.user
        )
        import psycopg

        deadline = time.monotonic() + 60
        while True:
            try:
                psycopg.connect(self.url, connect_timeout=5).close()
                return
            except psycopg.OperationalError:
                assert time.monotonic() < deadline, (self.folder / "log").read_text()
                time.sleep(0.05)

    def crash(self) -> None:
        """End it without a shutdown: what was committed is in its log, and recovered from there at the next start."""
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait(60)


@pytest.fixture
def server() -> Iterator[Postgres]:
    if shutil.which("initdb") is None or shutil.which("postgres") is None:
        pytest.skip("no PostgreSQL here: apt-get install postgresql")
    folder = Path(tempfile.mkdtemp())  # tmp_path lies in folders that only their owner may enter
    made = Postgres(folder)
    made.start()
    try:
        yield made
    finally:
        if made.process.poll() is None:
            made.crash()
        shutil.rmtree(folder)


def test_fault_54_training_goes_on_while_the_server_is_away_and_every_row_arrives_after(
    server: Postgres, pictures: Path, tiny: dict, tmp_path: Path
) -> None:
    told: list[str] = []

    def watch(event: Event) -> None:
        step = event.records[-1].step if isinstance(event, StepsDone) else None
        if step == 4:
            server.crash()
        if step == 9:
            server.start()
        if isinstance(event, Notice) and event.level == "warning":
            told.append(event.text)

    options = merge(tiny, {"train": {"epochs": 4}, "checkpoint": {"every_steps": 1}})
    place = Workspace(tmp_path / "ws", server.url)
    run = vitscope.train(pictures, workspace=place, observers=[watch], **options)
    assert run.status == "finished"
    (away,) = [text for text in told if "database" in text]
    assert "the database cannot be used" in away
    assert away.endswith("Training goes on: what it records waits in memory until that works again.")
    whole = vitscope.train(pictures, workspace=tmp_path / "whole", **options)
    assert_equal(everything(run), everything(whole))
    kinds = [[e.kind for e in query.events(r.workspace.database, r.id) if e.kind != "notice"] for r in (run, whole)]
    assert kinds[0] == kinds[1]
    place.database.close()
