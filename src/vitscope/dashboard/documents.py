"""Documents about the inside of a run's model: asked of the worker once, and kept on the disk, bounded.

What is kept is found by everything that a document can depend on: the question, the files of the run that it is
computed from, and this program. So nothing has to be forgotten when a run goes on: it is simply asked for anew.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from vitscope import _version
from vitscope.dashboard.worker import Reply, Worker
from vitscope.storage.workspace import Workspace

KEY = re.compile(r"[a-z]{1,32}(/[a-z0-9]{1,32})?")
OPTION = re.compile(r"[a-z_]{1,32}")
VALUE = re.compile(r"[A-Za-z0-9:._+-]{0,100}")
FOLDER = "inside"
MOST_BYTES = 500_000_000
_SOURCES = ("inspection", "workflows", "visualization", "models", "preprocess.py", "dashboard/answers.py")
_OF_NOW = ("overview",)  # tells of the run as the database knows it
_CHANGING = ("checkpoints", "checkpoints/last", "checkpoints/best", "snapshots", "manifest.parquet", "config.yaml")


class Documents:
    """Belongs to one event loop. `threads` says how many the worker may use now."""

    def __init__(self, workspace: Workspace, worker: Worker, threads: Callable[[], int], most_bytes: int = MOST_BYTES):
        self._workspace, self._worker, self._threads = workspace, worker, threads
        self._store = Store(workspace.cache_folder / FOLDER, most_bytes)
        self._asked: dict[str, _Asked] = {}

    async def get(self, run_id: str, key: str, query: Mapping[str, str]) -> Reply:
        """The document. Those who ask the same at once wait for the same answer. Raises `TooMany`."""
        name = await asyncio.to_thread(self._name, run_id, key, query)
        if (data := await asyncio.to_thread(self._store.get, name)) is not None:
            return Reply(200, "application/json", data, is_gzip=data[:2] == b"\x1f\x8b")
        asked = self._asked.get(name)
        if asked is None:
            asked = self._asked[name] = _Asked(asyncio.ensure_future(self._ask(name, run_id, key, query)))
            asked.task.add_done_callback(lambda _: self._asked.pop(name, None))
        asked.waiters += 1
        try:
            return await asyncio.shield(asked.task)
        finally:
            asked.waiters -= 1
            if not asked.waiters:  # the last who wanted it has gone
                asked.task.cancel()

    async def _ask(self, name: str, run_id: str, key: str, query: Mapping[str, str]) -> Reply:
        threads = await asyncio.to_thread(self._threads)
        reply = await self._worker.ask(ask="document", run=run_id, key=key, query=dict(query), threads=threads)
        is_part = query.get("partial") == "1" and reply.status == 200 and not reply.json.get("is_complete", True)
        if reply.status == 200 and key not in _OF_NOW and not is_part:
            await asyncio.to_thread(self._store.put, name, reply.data)
        return reply

    def _name(self, run_id: str, key: str, query: Mapping[str, str]) -> str:
        folder = self._workspace.run_folder(run_id)
        parts = [program(), run_id, key, sorted(query.items()), [_stamp(folder / name) for name in _CHANGING]]
        return hashlib.blake2b(json.dumps(parts).encode(), digest_size=20).hexdigest()


@dataclass
class _Asked:
    """What is being computed, and how many wait for it."""

    task: asyncio.Task[Reply]
    waiters: int = 0


class Store:
    """Files by name in one folder, the least recently used given up when they take too much room."""

    def __init__(self, folder: Path, most_bytes: int):
        self._folder, self._most_bytes = folder, most_bytes

    def get(self, name: str) -> bytes | None:
        file = self._folder / name
        try:
            data = file.read_bytes()
            os.utime(file)
        except OSError:
            return None
        return data

    def put(self, name: str, data: bytes) -> None:
        """Keep it, if the disk lets us: what is here can always be made anew."""
        temporary = self._folder / f".{name}.{secrets.token_hex(4)}"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(data)
            temporary.replace(self._folder / name)
            self._make_room()
        except OSError:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)

    def _make_room(self) -> None:
        files = sorted(
            (told.st_mtime_ns, told.st_size, Path(e.path)) for e in os.scandir(self._folder) if (told := e.stat())
        )
        total = sum(size for _, size, _ in files)
        for _, size, file in files[:-1]:
            if total <= self._most_bytes:
                break
            file.unlink(missing_ok=True)
            total -= size


@cache
def program() -> list[str]:
    """This program: its version, and when its parts that make documents were last changed (while it is developed)."""
    root = Path(__file__).resolve().parents[1]
    files = [f for name in _SOURCES for f in ((root / name).rglob("*.py") if (root / name).is_dir() else [root / name])]
    return [_version.__version__, str(max(file.stat().st_mtime_ns for file in files if file.exists()))]


def _stamp(path: Path) -> str:
    """What changes when a file, a folder's list or a link does."""
    try:
        told = path.lstat()
        return f"{told.st_mtime_ns}.{told.st_size}.{path.readlink() if path.is_symlink() else ''}"
    except OSError:
        return ""
