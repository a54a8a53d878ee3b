"""Rows that an attempt records: numbers and events, appended and never changed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from sqlalchemy import Connection, Table, func, insert, select

from vitscope.storage.dialects import insert_tuples
from vitscope.storage.schema import attempts, events, metrics


class MetricRow(NamedTuple):
    """One number; null for NaN. In the order of the table's columns, after run_id, attempt and seq."""

    time: float
    step: int
    epoch: float | None
    split: str
    name: str
    value: float | None


class EventRow(NamedTuple):
    """One event; `data` is JSON."""

    time: float
    step: int | None
    kind: str
    level: str
    text: str
    data: str


@dataclass
class Batch:
    """Rows that one transaction appends."""

    metrics: list[MetricRow] = field(default_factory=list)
    events: list[EventRow] = field(default_factory=list)


class AttemptGone(LookupError):
    """The attempt is not in the database: its run has been removed."""


class Places(NamedTuple):
    """The `seq` from which on a batch's rows were put into the two tables."""

    metrics: int
    events: int


def append(connection: Connection, run_id: str, attempt: int, batch: Batch) -> Places:
    """Append rows. `seq` goes on from the newest row's, whoever wrote it. Raises `AttemptGone`."""
    # One writer of an attempt at a time; SQLite's write transactions are that anyway and it ignores FOR UPDATE.
    held = select(attempts.c.attempt).where(attempts.c.run_id == run_id, attempts.c.attempt == attempt)
    if connection.execute(held.with_for_update()).first() is None:
        raise AttemptGone(f"run {run_id} has no attempt {attempt} any more")
    places = Places(*(_newest_seq(connection, table, run_id, attempt) + 1 for table in (metrics, events)))
    if batch.metrics:
        numbered = [(run_id, attempt, seq, *row) for seq, row in enumerate(batch.metrics, places.metrics)]
        insert_tuples(connection, metrics, numbered)
    if batch.events:
        key = {"run_id": run_id, "attempt": attempt}
        named = [{**key, "seq": seq, **row._asdict()} for seq, row in enumerate(batch.events, places.events)]
        connection.execute(insert(events), named)
    return places


def is_appended(connection: Connection, run_id: str, attempt: int, batch: Batch, places: Places) -> bool:
    """Whether `append`, which returned `places`, was committed after all: its answer may be lost on the way."""
    for table, rows, first in ((metrics, batch.metrics, places.metrics), (events, batch.events, places.events)):
        if rows:
            stored = select(table.c.time).where(
                table.c.run_id == run_id, table.c.attempt == attempt, table.c.seq == first
            )
            return connection.execute(stored).scalar() == rows[0].time
    return False


def _newest_seq(connection: Connection, table: Table, run_id: str, attempt: int) -> int:
    newest = select(func.max(table.c.seq)).where(table.c.run_id == run_id, table.c.attempt == attempt)
    return connection.execute(newest).scalar() or 0
