"""The series of runs for the page: columns kept in memory, of which a request reads only what is new.

What is sent is JSON: NaN and the infinities are texts.
"""

from __future__ import annotations

import csv
import io
import threading
from collections import Counter, OrderedDict
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from vitscope.metrics.columns import Added, RunColumns
from vitscope.metrics.downsample import Axis, Points, Rows, downsample
from vitscope.metrics.query import RecordedEvent, Value, json_value
from vitscope.storage.workspace import Workspace

MOST_BYTES = 256_000_000  # of columns that are kept; a million points take 50 MB
CSV_ROWS = 5_000
COLUMNS = ("step", "epoch", "split", "name", "value", "time")


class SeriesCache:
    """Columns of the runs that were asked for last. Threads may share it."""

    def __init__(self, workspace: Workspace, most_bytes: int = MOST_BYTES):
        self._workspace, self._most_bytes = workspace, most_bytes
        self._columns: OrderedDict[str, RunColumns] = OrderedDict()
        self._held: Counter[str] = Counter()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._columns)

    def get(self, run_id: str) -> RunColumns:
        """The columns of a run, with all that was recorded until now."""
        with self._lock:
            if run_id not in self._columns:
                self._columns[run_id] = RunColumns(self._workspace.database, run_id)
            columns = self._columns[run_id]
            self._columns.move_to_end(run_id)
        columns.update()
        with self._lock:
            for other in [i for i in self._columns if i != run_id and not self._held[i]]:
                if sum(c.size_bytes for c in self._columns.values()) <= self._most_bytes:
                    break
                del self._columns[other]
        return columns

    def peek(self, run_id: str) -> RunColumns | None:
        """The columns of a run as they were read last; None where they were not."""
        with self._lock:
            return self._columns.get(run_id)

    @contextmanager
    def held(self, run_id: str | None) -> Iterator[None]:
        """Keep the run's columns while inside, once they were read."""
        if run_id is None:
            yield
            return
        with self._lock:
            self._held[run_id] += 1
        try:
            yield
        finally:
            with self._lock:
                self._held[run_id] -= 1
                if not self._held[run_id]:
                    del self._held[run_id]


def whole(
    columns: RunColumns,
    *,
    points: int,
    axis: Axis = "step",
    first: float | None = None,
    last: float | None = None,
    names: Collection[str] | None = None,
) -> dict[str, Any]:
    """The series as at most `points` points each, with what happened beside them."""
    with columns.lock:
        rows = {name: series.rows() for name, series in columns.series.items() if len(series)}
        attempts, events = list(columns.attempts), list(columns.events)
    wanted = rows if names is None else {name: rows[name] for name in names if name in rows}
    series = {name: _points(downsample(found, points, axis, first, last)) for name, found in sorted(wanted.items())}
    return {
        "axis": axis,
        "series": series,
        "attempts": [attempt._asdict() for attempt in attempts],
        "notices": [notice(event) for _, event in events if is_notice(event)],
    }


def added(found: Added) -> dict[str, Any]:
    """New points of a series. `replaces`, where it is there: drop what is known at these steps first."""
    told: dict[str, Any] = {name: _numbers(column) for name, column in found.rows._asdict().items()}
    return told | ({"replaces": found.replaces.tolist()} if len(found.replaces) else {})


def newest(columns: RunColumns) -> list[Value]:
    """The newest value of every series: what `query.latest` reads anew."""
    with columns.lock:
        rows = {name: series.rows() for name, series in columns.series.items() if len(series)}
    last = {tuple(name.split("/", 1)): found.take(slice(-1, None)) for name, found in rows.items()}
    return [
        Value(split, name, r.value.item(), r.step.item(), r.epoch.item(), r.time.item())
        for (split, name), r in sorted(last.items())
    ]


def as_csv(columns: RunColumns, names: Collection[str] | None) -> Iterator[str]:
    """Every recorded value that counts, a line each, series by series."""
    yield ",".join(COLUMNS) + "\r\n"
    with columns.lock:
        rows = {name: series.rows() for name, series in columns.series.items()}
    for series in sorted(rows if names is None else rows.keys() & set(names)):
        split, name = series.split("/", 1)
        for begin in range(0, len(rows[series].step), CSV_ROWS):
            yield _lines(split, name, rows[series].take(slice(begin, begin + CSV_ROWS)))


def is_notice(event: RecordedEvent) -> bool:
    return event.kind == "notice" or event.level != "info"


def notice(event: RecordedEvent) -> dict[str, Any]:
    """For the page; `alert` is the kind of one, null for any other notice."""
    kind = event.data.get("kind") if event.kind == "alert" else None
    return {"time": event.time, "step": event.step, "level": event.level, "text": event.text, "alert": kind}


def _points(points: Points) -> dict[str, Any]:
    arrays = {name: _numbers(value) for name, value in points._asdict().items() if isinstance(value, np.ndarray)}
    return {**arrays, "count": points.rows, "is_exact": points.is_exact}


def _numbers(column: np.ndarray) -> list[Any]:
    values = column.tolist()
    return values if np.isfinite(column).all() else [json_value(value) for value in values]


def _lines(split: str, name: str, rows: Rows) -> str:
    out = io.StringIO()
    csv.writer(out).writerows(
        (step, epoch, split, name, value, time)
        for step, epoch, time, value in zip(*(column.tolist() for column in rows), strict=True)
    )
    return out.getvalue()
