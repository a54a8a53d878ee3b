"""Documents about the inside of a run's model: asked of the worker once, and kept on the disk, bounded.

What is kept is found by everything that a document can depend on: the question, the files of the run that it is
computed from, and this program with the libraries it computes with. The pictures that it was computed from are written
down with it: where one is another by now, it is asked for anew. So nothing has to be forgotten when a run goes on.
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
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from vitscope import _version
from vitscope.dashboard.child import stamp
from vitscope.dashboard.threads import Threads
from vitscope.dashboard.worker import Reply, Worker
from vitscope.storage.workspace import Workspace

KEY = re.compile(r"[a-z]{1,32}(/[a-z0-9]{1,32})?")
OPTION = re.compile(r"[a-z_]{1,32}")
VALUE = re.compile(r"[A-Za-z0-9:._+-]{0,100}")
FOLDER = "inside"
MOST_BYTES = 500_000_000
_OF_NOW = ("overview",)  # tells of the run as the database knows it
_CHANGING = ("checkpoints", "checkpoints/last", "checkpoints/best", "snapshots", "manifest.parquet", "config.yaml")


class Documents:
    """Belongs to one event loop. `threads` says how many the worker may use now."""

    def __init__(self, workspace: Workspace, worker: Worker, threads: Callable[[], int], most_bytes: int = MOST_BYTES):
        self._workspace, self._worker, self._threads = workspace, worker, threads
        self._store = Store(workspace.cache_folder / FOLDER, most_bytes)
        self._asked: dict[str, _Asked] = {}
        self._pool = Threads("documents", 4)

    async def get(self, run_id: str, key: str, query: Mapping[str, str]) -> Reply:
        """The document. Those who ask the same at once wait for the same answer. Raises `TooMany`."""
        name, kept = await self._pool.run(self._find, run_id, key, query)
        if kept is not None:
            return kept
        asked = self._asked.get(name)
        if asked is None:
            asked = self._asked[name] = _Asked()
            asked.task = asyncio.ensure_future(self._ask(asked, name, run_id, key, query))
            asked.task.add_done_callback(lambda task: self._answered(name, task))
        assert asked.task is not None
        asked.waiters += 1
        try:
            return await asyncio.shield(asked.task)
        finally:
            asked.waiters -= 1
            if not asked.waiters and not asked.is_begun:  # the last who wanted it has gone, and nothing is lost yet
                self._forget(name, asked.task)
                asked.task.cancel()

    def close(self) -> None:
        self._pool.close()

    async def _ask(self, asked: _Asked, name: str, run_id: str, key: str, query: Mapping[str, str]) -> Reply:
        threads = await self._pool.run(self._threads)
        request = {"ask": "document", "run": run_id, "key": key, "query": dict(query), "threads": threads}
        reply = await self._worker.ask(asked.begin, **request)
        if reply.status == 200 and key not in _OF_NOW:
            await self._pool.run(self._keep, name, reply, query.get("partial") == "1")
        return reply

    def _keep(self, name: str, reply: Reply, may_be_part: bool) -> None:
        if may_be_part and not reply.json.get("is_complete", True):
            return
        self._store.put(name, json.dumps(reply.files).encode() + b"\n" + reply.data)

    def _find(self, run_id: str, key: str, query: Mapping[str, str]) -> tuple[str, Reply | None]:
        """Under which name a document is kept; and itself, where it is, and is still true."""
        name = self._name(run_id, key, query)
        files, found, data = (self._store.get(name) or b"").partition(b"\n")
        if not found or any(stamp(Path(path)) != known for path, known in json.loads(files)):
            return name, None
        return name, Reply(200, "application/json", data, is_gzip=data[:2] == b"\x1f\x8b")

    def _answered(self, name: str, task: asyncio.Task[Reply]) -> None:
        self._forget(name, task)
        if not task.cancelled():
            task.exception()  # told to those who wait, if anybody still does

    def _forget(self, name: str, task: asyncio.Task[Reply]) -> None:
        if (asked := self._asked.get(name)) is not None and asked.task is task:  # else somebody asked for it anew
            del self._asked[name]

    def _name(self, run_id: str, key: str, query: Mapping[str, str]) -> str:
        folder = self._workspace.run_folder(run_id)
        parts = [program(), run_id, key, sorted(query.items()), [stamp(folder / name) for name in _CHANGING]]
        return hashlib.blake2b(json.dumps(parts).encode(), digest_size=20).hexdigest()


@dataclass
class _Asked:
    """What was asked for, how many wait for it, and whether it is being computed: then it is finished, and kept."""

    task: asyncio.Task[Reply] | None = None
    waiters: int = 0
    is_begun: bool = False

    def begin(self) -> None:
        self.is_begun = True


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
    """What computes: this program, when any part of it was last changed (while it is developed), and its libraries."""
    files = Path(__file__).resolve().parents[1].rglob("*.py")
    changed_at = max(file.stat().st_mtime_ns for file in files)
    return [_version.__version__, str(changed_at), *_libraries()]


def _libraries() -> list[str]:
    """Names and versions of all that this program requires."""
    found = []
    with suppress(metadata.PackageNotFoundError):
        for requirement in map(Requirement, metadata.requires("vitscope") or ()):
            with suppress(metadata.PackageNotFoundError):
                found.append(f"{requirement.name} {metadata.version(requirement.name)}")
    return sorted(set(found))
