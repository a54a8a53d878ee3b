"""The runs as the dashboard knows them: rows ready to be sent, and which of them changed since when.

Reading all of them is done at most once a second. In between only those at work, and new ones, are looked at.
"""

from __future__ import annotations

import re
import secrets
import threading
import time
from collections.abc import Collection
from typing import Any, NamedTuple

from vitscope.metrics import query
from vitscope.storage import jobs, runs
from vitscope.storage.database import Database
from vitscope.storage.workspace import Workspace
from vitscope.workflows import jobs as job_work
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


class RunTable:
    """Threads may share it."""

    def __init__(self, workspace: Workspace):
        self._workspace = workspace
        self._name, self._number = secrets.token_hex(4), 0
        self._lock = threading.Lock()
        self._stamps: dict[str, runs.Stamp] = {}
        self._rows: dict[str, Row] = {}
        self._changed_at: dict[str, int] = {}
        self._gone_at: dict[str, int] = {}
        self._newest = 0
        self._looked_at = 0.0
        self._is_stale = True

    @property
    def version(self) -> Version:
        return Version(self._name, self._number)

    def refresh(self) -> None:
        """Read what changed, of all runs."""
        with self._lock:
            if (database := self._workspace.existing_database) is not None:
                self._read(database, is_whole=True, is_due=True)

    def look(self, is_written: bool) -> None:
        """The same, as little as will do: all runs once a second at most, and only if `is_written`, that is, if
        anybody wrote to the database since the last look; in between those at work and new ones."""
        with self._lock:
            self._is_stale |= is_written
            is_due = time.monotonic() - self._looked_at > WHOLE_EVERY_S
            if (is_written or is_due) and (database := self._workspace.existing_database) is not None:
                self._read(database, is_whole=is_due and self._is_stale, is_due=is_due)

    def rows(self) -> list[Row]:
        """All, newest first."""
        with self._lock:
            return self._sorted(self._rows)

    def at_work(self) -> list[Row]:
        """Those that a process works on now."""
        with self._lock:
            return self._sorted([i for i, row in self._rows.items() if row["status"] == "running"])

    def since(self, version: Version) -> Changed:
        """What changed after a state of this table; everything, where it is a state of another."""
        with self._lock:
            if version.table != self._name:
                return Changed(self._sorted(self._rows), [], True)
            changed = [i for i, number in self._changed_at.items() if number > version.number]
            return Changed(
                self._sorted(changed), [i for i, number in self._gone_at.items() if number > version.number], False
            )

    # ------------------------------------------------------------------------------------------ reading

    def _active(self) -> list[str]:
        return [i for i, row in self._rows.items() if row["status"] in ACTIVE]

    def _read(self, database: Database, is_whole: bool, is_due: bool) -> None:
        if is_due:
            self._looked_at = time.monotonic()
            is_whole |= bool(job_work.settle(self._workspace))
        if is_whole:
            self._is_stale = False
        active = self._active()
        found = runs.stamps(database) if is_whole else runs.stamps(database, beyond=self._newest, ids=active)
        stamps = {stamp.id: stamp for stamp in found}
        gone = [i for i in (self._stamps if is_whole else active) if i not in stamps]
        # Those at work are described anew now and then in any case: their process may have died without a word.
        doubtful = {i for i, s in stamps.items() if s != self._stamps.get(i) or (is_due and s.status in ACTIVE)}
        rows = {row["id"]: row for row in described(self._workspace, database, doubtful)}
        self._stamps |= stamps
        self._newest = max([self._newest, *(stamp.number for stamp in found)])
        self._take({i: row for i, row in rows.items() if row != self._rows.get(i)}, gone)

    def _take(self, changed: dict[str, Row], gone: Collection[str]) -> None:
        if not changed and not gone:
            return
        number = self._number + 1
        for i, row in changed.items():
            self._rows[i], self._changed_at[i] = row, number
            self._gone_at.pop(i, None)
        for i in gone:
            for known in (self._rows, self._stamps, self._changed_at):
                known.pop(i, None)
            self._gone_at[i] = number
        self._number = number

    def _sorted(self, ids: Collection[str]) -> list[Row]:
        return [self._rows[i] for i in sorted(ids, key=lambda i: -self._stamps[i].number)]


def described(workspace: Workspace, database: Database, ids: Collection[str], *, deleted: bool = False) -> list[Row]:
    """Runs with the keys of `workflows.runs.list_runs`, and: started_at, when it first began to train; is_job; while
    it runs eta_s, the seconds that are left at its pace, and images_per_s."""
    if not ids and not deleted:
        return []
    found = runs.list_runs(database, deleted=True) if deleted else runs.get_runs(database, ids)
    started, with_job = runs.first_started(database, [row.id for row in found]), jobs.run_ids(database)
    rows = []
    for row in found:
        told = describe(workspace, row)
        pace = query.Pace(None, None)
        if told["status"] == "running" and (attempts := runs.list_attempts(database, row.id)):
            pace = query.pace(database, row.id, attempts[-1].attempt)
        left = row.total_steps - row.step if row.total_steps else None
        eta_s = left * pace.s_per_step if left is not None and pace.s_per_step is not None else None
        more = {"started_at": iso(started.get(row.id)), "is_job": row.id in with_job}
        rows.append({**told, **more, "eta_s": eta_s, "images_per_s": query.json_value(pace.images_per_s)})
    return rows
