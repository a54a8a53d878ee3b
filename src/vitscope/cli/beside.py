"""A dashboard beside a command that trains, in a process of its own, so that training shares nothing with it."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import NamedTuple

from vitscope.errors import ViTScopeError
from vitscope.storage.workspace import Workspace

START_S = 60.0


class Board(NamedTuple):
    """Where it listens; `code` is good for one opening, `token` as long as the workspace keeps it."""

    root: str
    token: str
    code: str

    def page(self, path: str, *, once: bool = False) -> str:
        """The address of a page such as `runs/ID/curves`, with what opens it."""
        joint = "&" if "?" in path else "?"
        return f"{self.root}/{path}{joint}token={self.code if once else self.token}"


@contextmanager
def dashboard(root: str | None, url: str | None) -> Iterator[Board | str]:
    """A dashboard on the workspace of these options while inside; or why there is none, in words.

    It ends with this process, however that ends.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(root, url, theirs), name="vitscope-dashboard", daemon=True)
    process.start()
    theirs.close()
    told = _told(ours, process)
    try:
        yield told
    finally:
        ours.close()
        process.join(10)
        if process.is_alive():
            process.terminate()


def _told(ours: Connection, process: BaseProcess) -> Board | str:
    try:
        return ours.recv() if ours.poll(START_S) else "it did not start in time"
    except (EOFError, OSError):
        process.join(5)
        return f"its process ended before it could start (exit code {process.exitcode})"


def _serve(root: str | None, url: str | None, pipe: Connection) -> None:
    """In the process beside: serve until the other end of the pipe is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one who started this
    try:
        from vitscope.dashboard.server import Server

        server = Server(Workspace(root, url))
        server.start()
    except ViTScopeError as error:
        pipe.send(str(error))
        return
    except Exception as error:  # told as well, and not as a traceback in the middle of the progress
        pipe.send(f"it could not start ({type(error).__name__}: {error})")
        return
    pipe.send(Board(server.root, server.access.token, server.access.once()))
    with suppress(EOFError, OSError):
        pipe.recv()
    server.stop()
