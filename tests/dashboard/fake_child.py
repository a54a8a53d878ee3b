"""A process that answers as the dashboard's own would, without torch; and one that misbehaves as it is told to."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from vitscope.dashboard.child import Answers, Content, Refusal, as_json, serve, stamp
from vitscope.errors import Conflict, RequestError, WorkFailed


def answers(where: dict[str, Any]) -> Answers:
    def echo(request: dict[str, Any]) -> Content:
        print("printed by a library, to be ignored")
        return as_json({"request": request, "where": where, "pid": os.getpid(), "nice": os.nice(0)})

    def sleep(request: dict[str, Any]) -> Content:
        time.sleep(request["seconds"])
        return as_json({"slept": request["seconds"]})

    def document(request: dict[str, Any]) -> Content:
        time.sleep(float(request["query"].get("sleep", 0)))
        if request["key"] == "refused":
            raise RequestError("There is no such layer.")
        if request["key"] == "early":
            raise Conflict("It has no weights yet.")
        told: dict[str, Any] = {**request, "padding": "x" * 5_000, "made_at": time.time_ns()}
        if "complete" in request["query"]:
            told["is_complete"] = request["query"]["complete"] == "1"
        files = [(path, stamp(Path(path))) for path in [request["query"].get("file")] if path is not None]
        return as_json(told)._replace(files=files)

    def fail(request: dict[str, Any]) -> Content:
        kinds = {"request": RequestError, "conflict": Conflict, "failed": WorkFailed, "program": KeyError}
        if request["kind"] == "refusal":
            raise Refusal(422, "refused")
        if request["kind"] == "memory":
            raise MemoryError
        raise kinds[request["kind"]]("told")

    def die(request: dict[str, Any]) -> Content:
        print("last words", file=sys.stderr, flush=True)
        if request["how"] == "exit":
            sys.exit(3)
        os.kill(os.getpid(), getattr(signal, request["how"]))
        raise AssertionError

    def chatter(_: dict[str, Any]) -> Content:
        for _i in range(3_000):
            print("x" * 100, file=sys.stderr)
        return as_json({})

    def large(request: dict[str, Any]) -> Content:
        return Content("application/octet-stream", b"\0" * request["bytes"])

    return {
        "echo": echo, "sleep": sleep, "document": document, "fail": fail, "die": die, "chatter": chatter,
        "large": large, "images": echo, "models": echo, "check": echo, "upload": echo, "thumbnail": large,
    }  # fmt: skip


if __name__ == "__main__":
    serve(answers)
