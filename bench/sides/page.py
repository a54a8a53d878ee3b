"""A dashboard in a process of its own, and what looks at it: a page that listens to the live stream, or a browser."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException
from pathlib import Path


@contextmanager
def serving(workspace: Path) -> Iterator[str]:
    """The address of a dashboard in a process of its own, its token in it."""
    command = [sys.executable, "-m", "vitscope", "--workspace", str(workspace), "ui", "--no-browser"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        while not (address := re.search(r"http://\S+", line := server.stdout.readline())):
            assert line, "the dashboard has ended"
        yield address[0]
    finally:
        server.terminate()
        server.wait(20)


class Listener:
    """What a page does while a run is watched: it holds the live stream of the newest run open and reads it."""

    def __init__(self, address: str):
        self.base, self.token = address.split("/?token=")
        self.events = 0
        self._is_over = threading.Event()
        threading.Thread(target=self._work, daemon=True).start()

    def close(self) -> None:
        self._is_over.set()

    def _open(self, path: str):
        request = urllib.request.Request(self.base + path, headers={"Authorization": f"Bearer {self.token}"})
        return urllib.request.urlopen(request, timeout=30)

    def _work(self) -> None:
        while not self._is_over.wait(0.5):
            with suppress(OSError, HTTPException, ValueError):
                with self._open("/api/runs") as answer:
                    running = [run["id"] for run in json.load(answer)["runs"] if run["status"] == "running"]
                if running:
                    self._listen(running[0])

    def _listen(self, run: str) -> None:
        with self._open(f"/api/live?run={run}") as stream:
            for line in stream:
                self.events += line.startswith(b"data:")
                if self._is_over.is_set() or line.startswith(b"event: bye") or b'"interrupted"' in line:
                    return


@contextmanager
def browsing(address: str) -> Iterator[None]:
    """Chromium with the dashboard's first page open, on the same cores."""
    import shutil
    import tempfile

    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as profile, sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            profile,
            executable_path=shutil.which("chromium") or shutil.which("google-chrome"),
            headless=True,
            args=["--no-sandbox", "--disable-gpu"],
        )
        try:
            context.pages[0].goto(address)
            yield
        finally:
            context.close()
