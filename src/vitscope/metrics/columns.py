"""All that a run recorded, in memory as columns, kept up to date by reading only what is new.

What counts is what `query.frame` says: rows that a later attempt supersedes are dropped when that attempt appears.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from sqlalchemy import Connection, select

from vitscope.metrics import query
from vitscope.metrics.downsample import Rows, is_sorted
from vitscope.storage.database import Database
from vitscope.storage.schema import attempts as attempts_table

MOST_EVENTS = 1_000  # of a run that are kept
MOST_ROWS = 5_000  # of one increment
_SHIFT = 40  # a place is attempt · 2^40 + seq: one number that grows in the order of recording
_TYPES = {"place": np.int64, "step": np.int64, "epoch": np.float64, "time": np.float64, "value": np.float64}
_ROW = np.dtype([*_TYPES.items(), ("series", object)])  # as `query.rows_after` gives them, with seq as the place


class Place(NamedTuple):
    """How far a reader has come: the newest row of the newest attempt, and the newest event."""

    attempt: int = 0
    seq: int = 0
    event_attempt: int = 0
    event_seq: int = 0


class Attempt(NamedTuple):
    """An attempt goes on from `from_step`: what earlier ones recorded after it is superseded."""

    attempt: int
    from_step: int
    started_at: float


class Added(NamedTuple):
    """New rows of a series, as recorded, and the steps at which they take the place of an earlier attempt's rows."""

    rows: Rows
    replaces: np.ndarray


class Increment(NamedTuple):
    """What is new up to `place`. An attempt that begins (everything after its `from_step` is to be forgotten), or rows
    by series; never both."""

    place: Place
    attempt: Attempt | None
    series: dict[str, Added]


class Series:
    """One series, in the order of recording; arrays with room at their ends, so that adding is cheap."""

    def __init__(self) -> None:
        self._columns = {name: np.empty(0, kind) for name, kind in _TYPES.items()}
        self._length = 0
        self._ordered: Rows | None = None
        self._replacing: list[tuple[int, int]] = []  # (place, step) of rows that took an earlier attempt's place

    def __len__(self) -> int:
        return self._length

    @property
    def size_bytes(self) -> int:
        return sum(column.nbytes for column in self._columns.values())

    def add(self, attempt: int, added: np.ndarray) -> None:
        """Append rows of one attempt, which take the place of earlier attempts' rows at the same steps."""
        earlier = int(np.searchsorted(self._column("place"), attempt << _SHIFT))  # rows of attempts before this one
        if earlier and self._column("step")[:earlier].max() >= added["step"].min():
            is_replaced = np.zeros(self._length, bool)
            is_replaced[:earlier] = np.isin(self._column("step")[:earlier], added["step"])
            if is_replaced.any():
                steps = np.unique(self._column("step")[is_replaced])
                self._replacing += [(int(added["place"][added["step"] == s].min()), int(s)) for s in steps]
                self.keep(~is_replaced)
        end = self._length + len(added)
        for name, column in self._columns.items():
            if end > len(column):  # a new array: those who read the old one are not disturbed
                larger = np.empty(max(end, 2 * len(column)), column.dtype)
                larger[: self._length] = column[: self._length]
                self._columns[name] = larger
            self._columns[name][self._length : end] = added[name]
        self._length, self._ordered = end, None

    def keep(self, which: np.ndarray) -> None:
        """Drop the rows that are not in the mask."""
        self._columns = {name: self._column(name)[which] for name in _TYPES}
        self._length, self._ordered = int(which.sum()), None

    def supersede(self, attempt: int, from_step: int) -> None:
        """Drop what attempts before `attempt` recorded after `from_step`."""
        is_gone = (self._column("place") < attempt << _SHIFT) & (self._column("step") > from_step)
        if is_gone.any():
            self.keep(~is_gone)

    def rows(self) -> Rows:
        """What counts, in the order of steps and within a step as recorded. The arrays are never changed."""
        if self._ordered is None:
            rows = Rows(*(self._column(name) for name in Rows._fields))
            self._ordered = rows if is_sorted(rows.step) else rows.take(np.argsort(rows.step, kind="stable"))
        return self._ordered

    def between(self, after: int, up_to: int) -> Added:
        """What was recorded after one place, up to and with another, and still counts; as recorded."""
        first, end = (int(np.searchsorted(self._column("place"), number, "right")) for number in (after, up_to))
        rows = Rows(*(self._column(name)[first:end] for name in Rows._fields))
        replaced = {step for at, step in self._replacing if after < at <= up_to}
        return Added(rows, np.array(sorted(replaced), np.int64))

    def places(self, after: int, up_to: int) -> np.ndarray:
        column = self._column("place")
        return column[np.searchsorted(column, after, "right") : np.searchsorted(column, up_to, "right")]

    def _column(self, name: str) -> np.ndarray:
        return self._columns[name][: self._length]


class RunColumns:
    """The series and events of one run. Threads may share it: `update` reads what is new, the rest only looks.

    `series` is by `split/name` ("/lr" for what has no split); `events` are the newest, each with its place.
    """

    def __init__(self, database: Database, run_id: str):
        self.lock = threading.RLock()  # held by who reads several things that belong together
        self.series: dict[str, Series] = {}
        self.attempts: list[Attempt] = []
        self.events: list[tuple[tuple[int, int], query.RecordedEvent]] = []
        self.place = Place()
        self._database, self._run_id = database, run_id

    @property
    def size_bytes(self) -> int:
        return sum(series.size_bytes for series in self.series.values())

    def update(self) -> bool:
        """Read what was recorded since the last time; False when there was nothing."""
        with self.lock, self._database.reading() as connection:
            before = self.place
            self._read_attempts(connection)
            for attempt in self.attempts[max(0, self.place.attempt - 1) :]:
                self._read_rows(connection, attempt)
            self._read_events(connection)
            return self.place != before

    def increments(self, place: Place, most: int | None = None) -> list[Increment]:
        """All that is new after a place (at most `most` parts of it), in the order in which it must be taken in."""
        found: list[Increment] = []
        with self.lock:
            for attempt in self.attempts[max(0, place.attempt - 1) :]:
                if attempt.attempt > place.attempt:
                    place = place._replace(attempt=attempt.attempt, seq=0)
                    found.append(Increment(place, attempt, {}))
                begin, end = place.attempt << _SHIFT | place.seq, (place.attempt + 1) << _SHIFT
                numbers = np.sort(np.concatenate([s.places(begin, end - 1) for s in self.series.values()] or [[]]))
                for up_to in map(int, [*numbers[MOST_ROWS - 1 : -1 : MOST_ROWS], *numbers[-1:]][:most]):
                    added = {name: s.between(begin, up_to) for name, s in self.series.items()}
                    place, begin = place._replace(seq=up_to & (1 << _SHIFT) - 1), up_to
                    found.append(Increment(place, None, {name: a for name, a in added.items() if len(a.rows.step)}))
        return found[:most]

    def _read_attempts(self, connection: Connection) -> None:
        columns = [attempts_table.c[name] for name in Attempt._fields]
        query_ = select(*columns).where(attempts_table.c.run_id == self._run_id).order_by(attempts_table.c.attempt)
        new = [Attempt(*row) for row in connection.execute(query_)][len(self.attempts) :]
        self.attempts += new
        for attempt in new:
            for series in self.series.values():
                series.supersede(attempt.attempt, attempt.from_step)

    def _read_rows(self, connection: Connection, attempt: Attempt) -> None:
        number = attempt.attempt
        seq = self.place.seq if self.place.attempt == number else 0
        limit = min((later.from_step for later in self.attempts[number:]), default=math.inf)
        for rows in query.rows_after(connection, self._run_id, number, seq):
            self._add(number, rows, limit)
            seq = rows[-1][0]
        self.place = self.place._replace(attempt=number, seq=seq)

    def _add(self, attempt: int, rows: Sequence[tuple[Any, ...]], limit: float) -> None:
        table = np.fromiter(rows, _ROW, len(rows))  # None becomes NaN
        names = table["series"].tolist()
        codes = {name: code for code, name in enumerate(dict.fromkeys(names))}
        code = np.fromiter(map(codes.__getitem__, names), np.int64, len(names))
        table["place"] += attempt << _SHIFT
        for name, number in codes.items():
            added = table[(code == number) & (table["step"] <= limit)]
            if len(added):
                self.series.setdefault(name, Series()).add(attempt, added)

    def _read_events(self, connection: Connection) -> None:
        place = self.place
        new = query.events_after(connection, self._run_id, place.event_attempt, place.event_seq)
        if new:
            self.events = [*self.events, *(((e.attempt, seq), e) for seq, e in new)][-MOST_EVENTS:]
            seq, event = new[-1]
            self.place = place._replace(event_attempt=event.attempt, event_seq=seq)
