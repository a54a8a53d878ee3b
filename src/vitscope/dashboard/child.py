"""How the process beside the dashboard talks with it; what it answers is in answers.py.

It reads one JSON request a line from its standard input and writes, for each, a line of JSON (`status`, `type`,
`is_gzip`, `length`) and then so many bytes. It ends when its input ends: with the dashboard, or when it is not needed.
"""

from __future__ import annotations

import gzip
import json
import os
import signal
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import IO, Any, NamedTuple

from vitscope.errors import Conflict, RequestError, ViTScopeError

NICE = 10  # what trains comes first
GZIP_FROM = 1_000  # bytes of JSON


class Content(NamedTuple):
    """What answers: its type and its bytes."""

    type: str
    data: bytes


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
        try:
            replies.write(json.dumps(head).encode() + b"\n" + data)
            replies.flush()
        except BrokenPipeError:  # the dashboard has gone
            os._exit(0)


def _answer(answers: Answers, request: dict[str, Any]) -> tuple[int, Content]:
    try:
        return 200, answers[request["ask"]](request)
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


def _pipes() -> tuple[IO[bytes], IO[bytes]]:
    """Where requests come from and replies go; whatever else is printed goes to standard error."""
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    return requests, replies
