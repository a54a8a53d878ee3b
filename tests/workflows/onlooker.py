"""Who looks on while a run is struck: a real `vitscope ui`, a live stream of the run, its pages again and again."""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import httpx2
import psutil

from tests.dashboard.conftest import BEARER, TOKEN, Stream
from tests.dashboard.test_live import Page, recorded
from tests.dashboard.test_server import Command
from tests.workflows.struck import assert_gone
from vitscope.dashboard.token import FILE
from vitscope.storage.workspace import Workspace

PAGES = ("/api/runs/{run}", "/api/runs/{run}/series", "/api/runs/{run}/series.csv", "/api/runs/sparklines?ids={run}")
PAUSE_S = 0.5  # between two looks: a machine of one core trains meanwhile
QUIET_S = 20.0  # that a stream may be silent before it is opened anew


class Onlooker:
    """Looks from `with` to its end; `page` is what its live stream added up to, `answered` the answers by status."""

    def __init__(self, place: Path):
        self.place, self.page, self.answered, self.streams = place, Page(), Counter[int](), 0
        self._is_over = threading.Event()
        place.mkdir(parents=True, exist_ok=True)
        (place / FILE).touch(0o600)
        (place / FILE).write_text(TOKEN)
        self._server = self._serve()
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._ask, self._listen)]

    def __enter__(self) -> Onlooker:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: BaseException | TracebackType | None) -> None:
        self._is_over.set()
        code, _, told = self._server.end()
        for thread in self._threads:
            thread.join(QUIET_S + 10)
        if kind is None:
            assert code == 130, told
            assert "Traceback" not in told, told
            assert not any(thread.is_alive() for thread in self._threads)

    def strike(self) -> None:
        """Kill the server, whatever it is reading, and start another in its place."""
        dead = self._server
        below = psutil.Process(dead.child.pid).children(recursive=True)
        _, _, told = dead.end(signal.SIGKILL)
        assert "Traceback" not in told, told
        assert_gone(below)
        self._server = self._serve()

    def has_seen_all(self, workspace: Workspace, run_id: str, patience_s: float = 60.0) -> bool:
        """Whether the stream added up to what counts of the run, each row once, given some time."""
        wanted, deadline = recorded(workspace, run_id), time.monotonic() + patience_s
        while time.monotonic() < deadline:
            if sorted(self.page.rows) == wanted:
                return True
            time.sleep(PAUSE_S)
        return False

    @property
    def port(self) -> str:
        """Of the server that is there now."""
        return self._server.port

    def _serve(self) -> Command:
        command = Command(self.place, "--port", "0", "--no-browser")
        assert command.token == TOKEN, command.line
        return command

    def _client(self) -> httpx2.Client:
        return httpx2.Client(base_url=f"http://127.0.0.1:{self.port}", headers=BEARER, timeout=60)

    def _ask(self) -> None:
        while not self._is_over.is_set():
            with suppress(httpx2.TransportError), self._client() as client:  # it was killed
                while not self._is_over.wait(PAUSE_S):
                    told = client.get("/api/runs")
                    self.answered[told.status_code] += 1
                    for run in told.json().get("runs", [])[:1]:
                        for page in PAGES:
                            self.answered[client.get(page.format(run=run["id"])).status_code] += 1
            self._is_over.wait(PAUSE_S)

    def _listen(self) -> None:
        """As a page does: load what there is, then listen; cut off, go on from the last id."""
        run_id = ""
        while not self._is_over.is_set():
            with suppress(httpx2.TransportError, OSError, EOFError, ValueError):
                if not run_id:
                    with self._client() as client:
                        if not (found := client.get("/api/runs").json()["runs"]):
                            raise EOFError
                        self.page.load(client, found[0]["id"])
                        run_id = found[0]["id"]
                with Stream(self, f"/api/live?run={run_id}", Last_Event_ID=self.page.cursor) as stream:  # type: ignore[arg-type]
                    self.streams += stream.status == 200
                    while not self._is_over.is_set():
                        self.page.take(stream.next(QUIET_S))
            self._is_over.wait(PAUSE_S)
