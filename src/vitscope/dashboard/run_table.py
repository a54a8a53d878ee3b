"""The runs as the dashboard knows them: rows ready to be sent, and which of them changed since when.

Reading all of them is done at most once a second. In between only those at work, and new ones, are looked at.
"""

from __future__ import annotations

import re
import secrets
import threading
import time
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from vitscope.metrics import query
from vitscope.storage import jobs, runs
from vitscope.storage.database import Database
from vitscope.storage.workspace import Workspace
from vitscope.workflows.jobs import starting
from vitscope.workflows.runs import describe, iso

WHOLE_EVERY_S = 1.0
ACTIVE = ("created", "running")

Row = dict[str, Any]


class Version(NamedTuple):
    """A state of the table. `table` tells tables apart: another server's numbers mean nothing here."""

    table: str
    number: int

    def __str__(self) -> str:
        return f"{self.table}.{self.number}"

    @classmethod
    def parse(cls, text: str) -> Version | None:
        found = re.fullmatch(r"([0-9a-f]{8})\.([0-9]{1,15})", text)
        return cls(found[1], int(found[2])) if found else None


class Changed(NamedTuple):
    """What changed between two states: rows, and ids of runs that are gone. `all`: there are no rows but these."""

    rows: list[Row]
    gone: list[str]
    all: bool


class State(NamedTuple):
    """All that is known at one moment; never changed, so that nobody who reads it waits for anybody."""

    version: Version
    known: Mapping[str, Row]
    numbers: Mapping[str, int]  # runs as they were made
    changed_at: Mapping[str, int]
    gone_at: Mapping[str, int]

    def rows(self) -> list[Row]:
        """All, newest first."""
        return self._sorted(self.known)

    def at_work(self) -> list[Row]:
        """Those that a process works on now."""
        return self._sorted([i for i, row in self.known.items() if row["status"] == "running"])

    def since(self, version: Version) -> Changed:
        """What changed after an earlier state of the same table; everything, where it is one of another."""
        if version.table != self.version.table:
            return Changed(self.rows(), [], True)
        changed = self._sorted([i for i, number in self.changed_at.items() if number > version.number])
        return Changed(changed, [i for i, number in self.gone_at.items() if number > version.number], False)

    def changed(self, rows: Mapping[str, Row], numbers: Mapping[str, int], gone: Collection[str]) -> State:
        """The next state: these rows are new or others, these runs are gone."""
        number = self.version.number + 1
        kept = {i: row for i, row in self.known.items() if i not in gone}
        return State(
            self.version._replace(number=number),
            {**kept, **rows},
            {**self.numbers, **{i: numbers[i] for i in rows}},
            {**{i: at for i, at in self.changed_at.items() if i not in gone}, **dict.fromkeys(rows, number)},
            {**{i: at for i, at in self.gone_at.items() if i not in rows}, **dict.fromkeys(gone, number)},
        )

    def _sorted(self, ids: Collection[str]) -> list[Row]:
        return [self.known[i] for i in sorted(ids, key=lambda i: -self.numbers[i])]


class RunTable:
    """Threads may share it. `now` is its newest state; only who reads the database anew waits for others who do."""

    def __init__(self, workspace: Workspace):
        self._workspace = workspace
        self._lock = threading.Lock()
        self._now = State(Version(secrets.token_hex(4), 0), {}, {}, {}, {})
        self._stamps: dict[str, runs.Stamp] = {}
        self._newest = 0
        self._looked_at = 0.0
        self._is_stale = True

    @property
    def now(self) -> State:
        return self._now

    def refresh(self) -> State:
        """Read what changed, of all runs; gives the state after it."""
        with self._lock:
            if (database := self._workspace.existing_database) is not None:
                self._read(database, is_whole=True, is_due=True)
            return self._now

    def look(self, is_written: bool) -> None:
        """The same, as little as will do: all runs once a second at most, and only if `is_written`, that is, if
        anybody wrote to the database since the last look; in between those at work and new ones."""
        with self._lock:
            self._is_stale |= is_written
            is_due = time.monotonic() - self._looked_at > WHOLE_EVERY_S
            if (is_written or is_due) and (database := self._workspace.existing_database) is not None:
                self._read(database, is_whole=is_due and self._is_stale, is_due=is_due)

    def _active(self) -> list[str]:
        return [i for i, row in self._now.known.items() if row["status"] in ACTIVE]

    def _read(self, database: Database, is_whole: bool, is_due: bool) -> None:
        active = self._active()
        found = runs.stamps(database) if is_whole else runs.stamps(database, beyond=self._newest, ids=active)
        stamps = {stamp.id: stamp for stamp in found}
        gone = [i for i in (self._stamps if is_whole else active) if i not in stamps]
        # Those at work are described anew now and then in any case: their process may have died without a word.
        # So are those that a process has just been started for, or was: their own rows say nothing of it.
        at_work = {*self._active(), *starting(self._workspace)} if is_due else set()
        doubtful = {
            i for i, s in stamps.items() if s != self._stamps.get(i) or (is_due and s.status in ACTIVE) or i in at_work
        }
        rows = {row["id"]: row for row in described(self._workspace, database, doubtful)}
        if is_due:  # not before: what could not be read is still due
            self._looked_at = time.monotonic()
        if is_whole:
            self._is_stale = False
        self._stamps = {i: stamp for i, stamp in (self._stamps | stamps).items() if i not in gone}
        self._newest = max([self._newest, *(stamp.number for stamp in found)])
        changed = {i: row for i, row in rows.items() if row != self._now.known.get(i)}
        if changed or gone:
            numbers = {i: self._stamps[i].number for i in changed}
            self._now = self._now.changed(changed, numbers, frozenset(gone))


def described(workspace: Workspace, database: Database, ids: Collection[str], *, deleted: bool = False) -> list[Row]:
    """Runs with the keys of `workflows.runs.list_runs`, and: started_at, when it first began to train; is_job; while
    it runs eta_s, the seconds that are left at its pace, and images_per_s. One that goes on, and whose process has not
    come so far as to say so, is as one that was just created."""
    if not ids and not deleted:
        return []
    found = runs.list_runs(database, deleted=True) if deleted else runs.get_runs(database, ids)
    started, with_job = runs.first_started(database, [row.id for row in found]), jobs.run_ids(database)
    beginning = starting(workspace)
    rows = []
    for row in found:
        told = describe(workspace, row)
        if row.id in beginning:
            told |= {"status": "created", "message": ""}
        pace = query.Pace(None, None)
        if told["status"] == "running" and (attempts := runs.list_attempts(database, row.id)):
            pace = query.pace(database, row.id, attempts[-1].attempt)
        left = row.total_steps - row.step if row.total_steps else None
        eta_s = left * pace.s_per_step if left is not None and pace.s_per_step is not None else None
        more = {"started_at": iso(started.get(row.id)), "is_job": row.id in with_job}
        rows.append({**told, **more, "eta_s": eta_s, "images_per_s": query.json_value(pace.images_per_s)})
    return rows
