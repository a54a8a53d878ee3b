"""How the process beside the dashboard talks with it; what it answers is in answers.py.

It reads one JSON request a line from its standard input and writes, for each, a line of JSON (`status`, `type`,
`is_gzip`, `length`, `files`) and then so many bytes. It ends when its input ends, since it is not needed; and within
seconds when the dashboard is gone, even while it computes.
"""

from __future__ import annotations

import gzip
import json
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, NamedTuple

import psutil

from vitscope.errors import Conflict, RequestError, ViTScopeError

NICE = 10  # what trains comes first
GZIP_FROM = 1_000  # bytes of JSON
MOST_BYTES = 256_000_000  # of one answer, before it is compressed
WATCH_S = 1.0  # how often it looks whether the dashboard is still there


class Content(NamedTuple):
    """What answers: its type, its bytes, and the files outside the run's folder that it was made of, with their stamps
    (`stamp`): where one has another by now, this is not the answer any more."""

    type: str
    data: bytes
    files: Sequence[tuple[str, str]] = ()


Answers = Mapping[str, Callable[[dict[str, Any]], Content]]


class Refusal(RequestError):
    """A wrong request with an HTTP status of its own."""

    def __init__(self, status: int, text: str):
        super().__init__(text)
        self.status = status


def serve(answers: Callable[[dict[str, Any]], Answers]) -> None:
    """Answer until the input ends. The first request is what `answers` is made of."""
    requests, replies = _pipes()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in the terminal is the dashboard's to handle
    threading.Thread(target=_watch, args=(os.getppid(),), daemon=True, name="watch-dashboard").start()
    with suppress(OSError, AttributeError):
        os.nice(NICE)
    known: Answers | None = None
    for line in requests:
        request = json.loads(line)
        if known is None:
            known = answers(request)
            continue
        status, content = _answer(known, request)
        is_gzip = content.type == "application/json" and len(content.data) > GZIP_FROM
        data = gzip.compress(content.data, 1, mtime=0) if is_gzip else content.data
        head = {"status": status, "type": content.type, "is_gzip": is_gzip, "length": len(data)}
        head["files"] = content.files
        try:
            replies.write(json.dumps(head).encode() + b"\n" + data)
            replies.flush()
        except BrokenPipeError:  # the dashboard has gone
            os._exit(0)


def _answer(answers: Answers, request: dict[str, Any]) -> tuple[int, Content]:
    try:
        content = answers[request["ask"]](request)
        if len(content.data) > MOST_BYTES:
            text = f"This would be {len(content.data) / 1e6:,.0f} MB, {MOST_BYTES / 1e6:,.0f} MB at most are sent."
            raise Refusal(413, f"{text} The same from Python: vitscope.inspect.")
        return 200, content
    except ViTScopeError as error:
        return _status(error), as_json({"error": str(error)})
    except MemoryError:
        return 500, as_json({"error": "There is not enough memory for this. Close other programs, or ask for less."})
    except Exception as error:
        traceback.print_exc()
        return 500, as_json({"error": f"This could not be computed ({type(error).__name__}: {error})."})


def _status(error: ViTScopeError) -> int:
    if isinstance(error, Refusal):
        return error.status
    if isinstance(error, Conflict):
        return 409
    return 400 if isinstance(error, RequestError) else 500


def as_json(value: Any) -> Content:
    return Content("application/json", json.dumps(value, ensure_ascii=False, allow_nan=False).encode())


def stamp(path: Path) -> str:
    """What changes when a file, a folder's list or a link does; "" where there is none."""
    try:
        told = path.lstat()
        return f"{told.st_mtime_ns}.{told.st_size}.{path.readlink() if path.is_symlink() else ''}"
    except OSError:
        return ""


def _watch(parent: int) -> None:
    """A long computation does not read its input, whose end would tell."""
    while os.getppid() == parent and psutil.pid_exists(parent):  # the second: where no other takes a parent's place
        time.sleep(WATCH_S)
    os._exit(1)


def _pipes() -> tuple[IO[bytes], IO[bytes]]:
    """Where requests come from and replies go; whatever else is printed goes to standard error."""
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    return requests, replies
