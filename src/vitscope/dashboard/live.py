"""What happens now, for every page that listens: one poller looks, and each stream is told what it has not heard.

A stream holds nothing but its cursor. Whoever is slow is told more at once when it is ready again, and whoever comes
back is told from its last id; so nothing piles up, and nothing is told twice or left out. While nobody listens, nobody
looks.

Nothing here makes the event loop wait: who looks and who tells are threads of their own, and what is told of the runs
is a state that nobody changes.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple

from vitscope.dashboard import series
from vitscope.dashboard.cursor import Cursor, RunCursor
from vitscope.dashboard.run_table import RunTable
from vitscope.dashboard.series import SeriesCache
from vitscope.dashboard.settling import Settling
from vitscope.dashboard.threads import Threads
from vitscope.errors import ViTScopeError
from vitscope.metrics.columns import Increment, Place, RunColumns
from vitscope.storage.changes import Changes
from vitscope.storage.workspace import Workspace

POLL_S = 0.1
POLL_AGAIN_S = 2.0  # after the database could not be read
MOST_LISTENERS = 1_000
MOST_KEPT = 64  # messages
MOST_PARTS = 3  # of what was recorded that are told at a time, some thousand rows each

_SNAPSHOT = re.compile(r"step-(\d{1,15})\.npz")  # as inspection/snapshots.py names them; importing it is slow


class Busy(ViTScopeError):
    """More would listen than can be served."""


class Told(NamedTuple):
    """Messages ready to be sent, the cursor after them, and whether there is more to tell already."""

    data: bytes
    cursor: Cursor
    is_more: bool


class Listener:
    """One stream: the run that it follows, if any, and the bell that is rung when something may have changed."""

    def __init__(self, run_id: str | None):
        self.run_id, self.bell = run_id, asyncio.Event()


class Hub:
    """Belongs to one event loop."""

    def __init__(self, workspace: Workspace, table: RunTable, cache: SeriesCache, settling: Settling):
        self._workspace, self._table, self._cache, self._settling = workspace, table, cache, settling
        self._looking, self._preparing, self._telling = Threads("look", 1), Threads("listen", 4), Threads("tell", 2)
        self._listeners: set[Listener] = set()
        self._task: asyncio.Task[None] | None = None
        self._changes: Changes | None = None
        self._snapshots: dict[str, tuple[int, int]] = {}  # run → when its folder changed last, newest step
        self._state: object = None  # as the poller saw it last
        self._told: dict[str, asyncio.Task[Told]] = {}  # those who have heard the same are told the same: made once
        self._is_failing = False
        self.is_closed = False

    def __len__(self) -> int:
        return len(self._listeners)

    @property
    def is_looking(self) -> bool:
        return self._task is not None and not self._task.done()

    @asynccontextmanager
    async def listen(self, run_id: str | None) -> AsyncIterator[Listener]:
        """Listen while inside. Raises `Busy` where too many do."""
        if len(self._listeners) >= MOST_LISTENERS:
            raise Busy(f"{MOST_LISTENERS:,} pages listen to this dashboard already.")
        listener = Listener(run_id)
        self._listeners.add(listener)
        try:
            with self._cache.held(run_id):
                await self._preparing.run(self._prepare, run_id)
                if not self.is_looking:
                    self._task = asyncio.create_task(self._poll())
                yield listener
        finally:
            self._listeners.discard(listener)

    def close(self) -> None:
        """End every stream."""
        self.is_closed = True
        self._ring()

    def end(self) -> None:
        """Give the threads back, once every stream has ended."""
        for threads in (self._looking, self._preparing, self._telling):
            threads.close()

    async def tell(self, listener: Listener, cursor: Cursor) -> Told:
        """What has changed since a cursor; an empty message where nothing has."""
        key = f"{listener.run_id}/{cursor}"
        task = self._told.get(key)
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            if len(self._told) >= MOST_KEPT:
                self._told.clear()
            task = self._told[key] = asyncio.ensure_future(self._telling.run(self._tell, listener.run_id, cursor))
        return await asyncio.shield(task)  # others may wait for the same

    # ------------------------------------------------------------------------------------------ looking

    async def _poll(self) -> None:
        try:
            while self._listeners and not self.is_closed:
                pause = POLL_S
                try:
                    if await self._looking.run(self._look):
                        self._told.clear()
                        self._ring()
                    self._is_failing = False
                except Exception as error:  # whatever it is: pages that listen must not be left without a word for good
                    if not self._is_failing:
                        is_told = isinstance(error, ViTScopeError)
                        log = logging.getLogger("vitscope.dashboard")
                        log.warning(f"{error} The dashboard tries again.", exc_info=not is_told)
                    self._is_failing, pause = True, POLL_AGAIN_S
                    await self._looking.run(self._forget_changes)
                await asyncio.sleep(pause)
        finally:
            with suppress(RuntimeError):  # the threads were given back already
                await self._looking.run(self._forget_changes)

    def _ring(self) -> None:
        for listener in self._listeners:
            listener.bell.set()

    def _prepare(self, run_id: str | None) -> None:
        """See what there is, before the first word. In a thread, as `_look`: nobody waits for the disk."""
        self._table.refresh()
        if run_id is not None:
            self._cache.get(run_id)
            self._look_for_snapshots(run_id)

    def _look(self) -> bool:
        """Whether there is anything new, whoever found it first."""
        if (database := self._workspace.existing_database) is None:
            return False
        self._settling.look()
        self._changes = self._changes or Changes(database)
        is_written = self._changes.seen()
        self._table.look(is_written)
        runs = []
        for run_id in sorted({listener.run_id for listener in list(self._listeners) if listener.run_id is not None}):
            columns = self._cache.peek(run_id)
            if is_written or columns is None:
                columns = self._cache.get(run_id)
            self._look_for_snapshots(run_id)
            runs.append((run_id, columns.place, self._snapshots.get(run_id)))
        before, self._state = self._state, (self._table.now.version, runs)
        return self._state != before

    def _look_for_snapshots(self, run_id: str) -> None:
        folder = self._workspace.run_folder(run_id) / "snapshots"
        try:
            changed_at = folder.stat().st_mtime_ns
            if changed_at != self._snapshots.get(run_id, (0, 0))[0]:
                steps = [int(found[1]) for file in folder.iterdir() if (found := _SNAPSHOT.fullmatch(file.name))]
                self._snapshots[run_id] = changed_at, max(steps, default=0)
        except OSError:  # there are none
            self._snapshots.pop(run_id, None)

    def _forget_changes(self) -> None:
        if self._changes is not None:
            self._changes.close()
            self._changes = None

    # ------------------------------------------------------------------------------------------ telling

    def _tell(self, run_id: str | None, cursor: Cursor) -> Told:
        state, parts = self._table.now, []
        if cursor.version is None:
            told = {"runs": state.at_work(), "gone": []}
        else:
            changed = state.since(cursor.version)
            told = {"runs": changed.rows, "gone": changed.gone} | ({"all": True} if changed.all else {})
        is_new, cursor = cursor.version != state.version, cursor._replace(version=state.version)
        columns = self._cache.peek(run_id) if run_id is not None else None
        if run_id is not None and columns is not None and (cursor.run is None or cursor.run.run_id != run_id):
            now = RunCursor(run_id, columns.place, self.newest_snapshot(run_id))  # what went before it does not ask for
            is_new, cursor = True, cursor._replace(run=now)
        if is_new:
            parts.append(message("runs", told, cursor))
        if columns is None or cursor.run is None:
            return Told(b"".join(parts), cursor, False)
        rows = columns.increments(cursor.run.place, most=MOST_PARTS)
        for event, data, known in self._of_run(columns, cursor.run, rows):
            cursor = cursor._replace(run=known)
            parts.append(message(event, data, cursor))
        return Told(b"".join(parts), cursor, len(rows) == MOST_PARTS)

    def _of_run(
        self, columns: RunColumns, known: RunCursor, rows: list[Increment]
    ) -> Iterator[tuple[str, dict[str, Any], RunCursor]]:
        """Events of the run that is followed, and what is known after each."""
        for increment in rows:
            place = known.place._replace(attempt=increment.place.attempt, seq=increment.place.seq)
            known = known._replace(place=place)
            yield (*_increment(increment), known)
        for event, data, place in _happenings(columns, known.place):
            known = known._replace(place=place)
            yield event, data, known
        if (newest := self.newest_snapshot(known.run_id)) != known.snapshot:
            known = known._replace(snapshot=newest)
            yield "moment", {"step": newest}, known

    def newest_snapshot(self, run_id: str) -> int:
        """Step of the newest snapshot that was seen on the disk; 0 before any."""
        return self._snapshots.get(run_id, (0, 0))[1]


def message(event: str, data: dict[str, Any], cursor: Cursor | None = None) -> bytes:
    """One event of a stream, as https://html.spec.whatwg.org/multipage/server-sent-events.html says."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    head = f"id: {cursor}\n" if cursor is not None else ""
    return f"{head}event: {event}\ndata: {text}\n\n".encode()


def _increment(increment: Increment) -> tuple[str, dict[str, Any]]:
    if increment.attempt is not None:
        return "attempt", {"attempt": increment.attempt.attempt, "from_step": increment.attempt.from_step}
    return "points", {"series": {name: series.added(found) for name, found in increment.series.items()}}


def _happenings(columns: RunColumns, place: Place) -> Iterator[tuple[str, dict[str, Any], Place]]:
    """Notices and checkpoints that were told after a place."""
    with columns.lock:
        events = list(columns.events)
    for (attempt, seq), event in events:
        if (attempt, seq) <= (place.event_attempt, place.event_seq):
            continue
        place = place._replace(event_attempt=attempt, event_seq=seq)
        if series.is_notice(event):
            yield "notices", {"notices": [series.notice(event)]}, place
        elif event.kind == "checkpoint":
            yield "moment", {"step": event.step}, place
