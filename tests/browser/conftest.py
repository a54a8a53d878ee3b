"""A real Chromium, a real dashboard in a process of its own, and no complaint left unheard."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect, sync_playwright

PATIENCE_MS = 30_000  # machines that run the tests are slow, and shared
expect.set_options(timeout=PATIENCE_MS)

VARIABLE = "VITSCOPE_TEST_BROWSER"
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser's path. Without one the tests fail, unless the variable says that there is to be none."""
    asked = os.environ.get(VARIABLE)
    if asked == "none":
        pytest.skip(f"{VARIABLE}=none")
    found = shutil.which(asked) if asked else next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.fail(
            f"No Chromium here ({asked or ', '.join(NAMES)}). Install it ('bash scripts/browser.sh' says how), name "
            f"one with {VARIABLE}, or set {VARIABLE}=none to leave the browser tests out."
        )
    return found


@dataclass
class Complaints:
    """What a page complained of: errors on its console, exceptions, requests that left the machine or failed."""

    lines: list[str] = field(default_factory=list)
    allowed: list[str] = field(default_factory=list)  # regular expressions of what a test brings about itself

    def left(self) -> list[str]:
        return [line for line in self.lines if not any(re.search(pattern, line) for pattern in self.allowed)]


@dataclass
class Tab:
    page: Page
    complaints: Complaints


@pytest.fixture
def running() -> Iterator[list[Dashboard | Process]]:
    """What a test starts and registers here is ended after it."""
    started: list[Dashboard | Process] = []
    yield started
    for each in started:
        (each.process if isinstance(each, Dashboard) else each).end(signal.SIGKILL)


@pytest.fixture
def tab(chromium: str, running: list[Dashboard | Process], tmp_path: Path) -> Iterator[Tab]:
    """A page of a fresh browser, English and light; the test fails if it complained of anything.

    It is closed before what it looks at ends, which `running` does.
    """
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            tmp_path / "browser",
            executable_path=chromium,
            headless=True,
            args=FLAGS,
            viewport={"width": 1280, "height": 800},
            locale="en-US",
            color_scheme="light",
        )
        page = context.pages[0]
        complaints = Complaints()
        page.on("console", lambda m: complaints.lines.append(f"console: {m.text}") if m.type == "error" else None)
        page.on("pageerror", lambda error: complaints.lines.append(f"exception: {error}"))
        page.on("request", lambda r: complaints.lines.append(f"foreign: {r.url}") if is_foreign(r.url) else None)
        page.set_default_timeout(PATIENCE_MS)
        yield Tab(page, complaints)
        context.close()
    assert complaints.left() == []


def is_foreign(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme not in ("data", "blob", "file") and parts.hostname not in ("127.0.0.1", "localhost")


class Process:
    """`vitscope …` in a process of its own; what it says goes to a file, so that it never waits for a reader."""

    def __init__(self, workspace: Path, *arguments: str):
        self.arguments = arguments
        self.output = workspace.with_name(f"{workspace.name}-{arguments[0]}-{time.monotonic_ns()}.txt")
        with self.output.open("wb") as output:
            self.child = subprocess.Popen(
                [sys.executable, "-m", "vitscope", "--workspace", str(workspace), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=os.environ | {"PYTHONUNBUFFERED": "1", "BROWSER": "true"},
                start_new_session=True,
            )

    def line(self, pattern: str, timeout_s: float = 90) -> re.Match[str]:
        """The first line that holds `pattern`, waited for."""
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            if found := re.search(pattern, self.text):
                return found
            if self.child.poll() is not None:
                break
            time.sleep(0.05)
        raise AssertionError(f"no line with {pattern!r} from {self.arguments}: {self.text}")

    @property
    def text(self) -> str:
        return self.output.read_text(errors="replace")

    def end(self, number: int = signal.SIGINT, timeout_s: float = 60) -> int:
        if self.child.poll() is None:
            self.child.send_signal(number)
        try:
            return self.child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.child.kill()
            raise


class Dashboard:
    """`vitscope ui` on a workspace. `address` holds the token; `url("/runs")` does not need it once it was opened."""

    def __init__(self, workspace: Path, *options: str, port: int = 0):
        self.workspace, self.options = workspace, options
        self.port = port
        self.start()

    def start(self) -> None:
        port = ["--port", str(self.port)] if self.port else []
        self.process = Process(self.workspace, "ui", "--no-browser", *port, *self.options)
        self.address = self.process.line(r"http://\S+token=\S+")[0]
        self.port = urlsplit(self.address).port or 0

    def stop(self, number: int = signal.SIGINT) -> int:
        return self.process.end(number)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"
