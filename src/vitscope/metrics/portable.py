"""A run's rows as files that any database takes in again: what an archive of a run holds beside the run's folder.

`rows.json` is the run, its attempts and its events; `metrics.parquet` its numbers, superseded ones too. The Parquet is
not compressed, and each row must take its eight bytes of a number: it cannot be more than its size says.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy import Connection, RowMapping, func, insert, select

from vitscope.storage import schema
from vitscope.storage.database import Database
from vitscope.storage.dialects import fetch_tuples, insert_tuples
from vitscope.storage.runs import AttemptRow, RunRow, Status

ROWS, METRICS = "rows.json", "metrics.parquet"
SIZE = 65_536  # rows read, written and inserted at a time
_SCHEMA = pa.schema(
    [
        pa.field("attempt", pa.int32(), nullable=False),
        pa.field("seq", pa.int64(), nullable=False),
        pa.field("time", pa.float64(), nullable=False),
        pa.field("step", pa.int64(), nullable=False),
        pa.field("epoch", pa.float64()),
        pa.field("split", pa.string(), nullable=False),
        pa.field("name", pa.string(), nullable=False),
        pa.field("value", pa.float64()),  # null: NaN
    ]
)
_WRITTEN: dict[str, Any] = {"compression": "none", "use_dictionary": ["attempt", "split", "name"]}

_Count = Annotated[int, Field(ge=0, lt=2**31)]
_Large = Annotated[int, Field(ge=0, lt=2**63)]
_Time = Annotated[float, Field(ge=0, lt=253_402_300_800)]  # up to the year 9999, as far as dates go
_Share = Annotated[float, Field(ge=0, le=1)]
_Id = Annotated[str, Field(pattern=r"^[a-z][a-z2-7]{7}$")]
_Word = Annotated[str, Field(max_length=16, pattern=r"^[\w ]*$")]


class _Checked(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


class _Run(_Checked):
    id: _Id
    name: str
    status: Status
    source: str
    model: str
    created_at: _Time
    updated_at: _Time
    epochs: _Count | None
    step: _Large
    total_steps: _Large | None
    best: _Share | None
    test: _Share | None
    message: str
    parent: _Id | None


class _Attempt(_Checked):
    attempt: Annotated[int, Field(ge=1, lt=2**31)]
    from_step: _Large
    status: Status
    started_at: _Time
    ended_at: _Time | None
    host: str
    pid: _Large


class _Event(_Checked):
    attempt: _Count
    seq: _Large
    time: _Time
    step: _Large | None
    kind: _Word
    level: _Word
    text: str
    data: str


class _File(_Checked):
    run: _Run
    attempts: list[_Attempt]
    events: list[_Event]
    metrics: _Large


class Wrong(ValueError):
    """Rows that cannot be of a run; the text says why."""


class Portable(NamedTuple):
    """A run's rows, checked. `metrics` is read as it is needed."""

    run: RunRow
    attempts: tuple[AttemptRow, ...]
    events: tuple[dict[str, Any], ...]
    metrics: pq.ParquetFile

    def is_in(self, connection: Connection) -> bool:
        """Whether the database holds the same run: its row and attempts alike, and as much recorded."""
        own = self.run, self.attempts, self.metrics.metadata.num_rows, len(self.events)
        return own == _facts_of(connection, self.run.id)


def write(database: Database, run_id: str, folder: Path) -> list[str]:
    """Write both files into a folder; gives their names. Nobody may train the run meanwhile.

    An attempt that says it is at work has died: it, and the run, are written as interrupted.
    """
    with database.reading() as connection:
        run, attempts, metrics, _ = _facts_of(connection, run_id)
        events = [dict(row) for row in connection.execute(_of(schema.events, run_id)).mappings()]
        with pq.ParquetWriter(folder / METRICS, _SCHEMA, **_WRITTEN) as writer:
            for rows in fetch_tuples(connection, _of(schema.metrics, run_id), SIZE):
                columns = zip(*rows, strict=True)
                arrays = [pa.array(column, kind) for column, kind in zip(columns, _SCHEMA.types, strict=True)]
                writer.write_batch(pa.record_batch(arrays, schema=_SCHEMA))
    told = {
        "run": {name: value for name, value in asdict(run).items() if name != "deleted_at"},
        "attempts": [asdict(attempt) for attempt in attempts],
        "events": events,
        "metrics": metrics,
    }
    (folder / ROWS).write_text(json.dumps(told, indent=1, ensure_ascii=False), encoding="utf-8")
    return [ROWS, METRICS]


def parse(rows: bytes, metrics: pa.Buffer) -> Portable:
    """What `write` wrote, every row checked. Raises `Wrong`."""
    try:
        found = _File.model_validate_json(rows)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise Wrong(f"{ROWS}: {where}: {first['msg']}") from None
    numbers = [attempt.attempt for attempt in found.attempts]
    if numbers != list(range(1, len(numbers) + 1)):
        raise Wrong(f"{ROWS}: its attempts are not counted from 1")
    places = [(event.attempt, event.seq) for event in found.events]
    if places != sorted(set(places)) or not {event.attempt for event in found.events} <= {*numbers}:
        raise Wrong(f"{ROWS}: its events are not those of its attempts, in order")
    for event in found.events:
        try:
            is_mapping = isinstance(json.loads(event.data), dict)
        except (ValueError, RecursionError):
            is_mapping = False
        if not is_mapping:
            raise Wrong(f"{ROWS}: an event's data is no object")
    table = _opened(metrics, found.metrics)
    _check_metrics(table, {*numbers})
    return Portable(
        RunRow(**found.run.model_dump()),
        tuple(AttemptRow(**attempt.model_dump()) for attempt in found.attempts),
        tuple(event.model_dump() for event in found.events),
        table,
    )


def add(connection: Connection, portable: Portable) -> None:
    """Insert all rows: the run is there once the transaction has ended. It counts as the newest."""
    run_id = portable.run.id
    connection.execute(insert(schema.runs).values(asdict(portable.run)))
    for table, rows in (
        (schema.attempts, [asdict(attempt) for attempt in portable.attempts]),
        (schema.events, portable.events),
    ):
        if rows:
            connection.execute(insert(table), [{"run_id": run_id, **row} for row in rows])
    for batch in _batches(portable.metrics):
        columns = [column.to_pylist() for column in batch.columns]
        insert_tuples(connection, schema.metrics, [(run_id, *row) for row in zip(*columns, strict=True)])


# ------------------------------------------------------------------------------------------------ the parts


def _of(table: Any, run_id: str) -> Any:
    columns = [column for column in table.columns if column.name != "run_id"]
    return select(*columns).where(table.c.run_id == run_id).order_by(table.c.attempt, table.c.seq)


def _facts_of(connection: Connection, run_id: str) -> tuple[RunRow, tuple[AttemptRow, ...], int, int]:
    """A run that nobody trains, as if it were not in the trash; its attempts; how many metrics and events it has."""
    columns = [schema.runs.c[field.name] for field in fields(RunRow)]
    run = connection.execute(select(*columns).where(schema.runs.c.id == run_id)).mappings().one()
    columns = [schema.attempts.c[field.name] for field in fields(AttemptRow)]
    of_run = select(*columns).where(schema.attempts.c.run_id == run_id).order_by(schema.attempts.c.attempt)
    attempts = tuple(AttemptRow(**_ended(row)) for row in connection.execute(of_run).mappings())
    counts = (
        connection.execute(select(func.count()).select_from(table).where(table.c.run_id == run_id)).scalar() or 0
        for table in (schema.metrics, schema.events)
    )
    metrics, events = counts
    return RunRow(**{**_ended(run), "deleted_at": None}), attempts, metrics, events


def _ended(row: RowMapping) -> dict[str, Any]:
    return {**row, "status": "interrupted" if row["status"] == "running" else row["status"]}


def _opened(metrics: pa.Buffer, rows: int) -> pq.ParquetFile:
    try:
        table = pq.ParquetFile(pa.BufferReader(metrics))
        about = table.metadata
        groups = [about.row_group(i) for i in range(about.num_row_groups)]
        kinds = {group.column(j).compression for group in groups for j in range(group.num_columns)}
    except (pa.ArrowException, OSError, ValueError) as error:
        raise Wrong(f"{METRICS}: not readable as Parquet ({error})") from None
    if table.schema_arrow.remove_metadata() != _SCHEMA or kinds - {"UNCOMPRESSED"}:
        raise Wrong(f"{METRICS}: its columns are not those of metrics")
    if about.num_rows != rows or 8 * rows > metrics.size:
        raise Wrong(f"{METRICS}: {about.num_rows:,} rows, {rows:,} expected")
    return table


def _batches(table: pq.ParquetFile) -> Iterator[pa.RecordBatch]:
    yield from table.iter_batches(SIZE)


def _check_metrics(table: pq.ParquetFile, attempts: set[int]) -> None:
    import numpy as np

    before = (0, 0)
    try:
        for batch in _batches(table):
            batch.validate(full=True)
            if any(batch.column(field.name).null_count for field in _SCHEMA if not field.nullable):
                raise Wrong(f"{METRICS}: a value is missing")
            attempt, seq, time, step = (batch.column(i).to_numpy() for i in range(4))
            places = list(zip(attempt.tolist(), seq.tolist(), strict=True))
            if any(a >= b for a, b in zip([before, *places], places, strict=False)) or not {*attempt} <= attempts:
                raise Wrong(f"{METRICS}: its rows are not those of the run's attempts, in order")
            if not (np.isfinite(time).all() and (step >= 0).all() and (seq > 0).all()):
                raise Wrong(f"{METRICS}: a time, a step or a number in it cannot be one")
            for name, most in (("split", 16), ("name", 200)):
                if any(len(text) > most or "\0" in text for text in set(batch.column(name).to_pylist())):
                    raise Wrong(f"{METRICS}: a {name} in it is none")
            before = places[-1] if places else before
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise Wrong(f"{METRICS}: not readable as Parquet ({error})") from None
