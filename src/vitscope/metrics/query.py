"""What was recorded, as the newest attempt knows it.

A row of attempt a at step s counts if and only if s <= from_step of every later attempt: what was recorded after the
checkpoint that a resume went back to is superseded, though it stays in the database.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import Connection, Select, Subquery, and_, func, or_, select, tuple_

from vitscope.storage.database import Database
from vitscope.storage.dialects import fetch_tuples
from vitscope.storage.runs import get_run
from vitscope.storage.schema import EVALUATED, attempts, metrics
from vitscope.storage.schema import events as events_table

if TYPE_CHECKING:
    import pandas as pd


_NEWEST_ROWS = 100  # among which the last step's are, whatever an evaluation recorded after it


class Value(NamedTuple):
    """The newest value of one metric."""

    split: str
    name: str
    value: float
    step: int
    epoch: float
    time: float


class Best(NamedTuple):
    """The best validation top-1 of a run, and the test top-1 of the same step where there is one (both 0–1)."""

    step: int
    top1: float
    test_top1: float | None


class RecordedEvent(NamedTuple):
    """Something that happened: `kind` is started, notice, checkpoint or ended; `data` is what belongs to the kind."""

    time: float
    attempt: int
    step: int | None
    kind: str
    level: str
    text: str
    data: dict[str, Any]


def frame(
    database: Database, run_id: str, *, splits: Sequence[str] | None = None, names: Sequence[str] | None = None
) -> pd.DataFrame:
    """The metrics of a run, a row a number: step epoch split name value time (Unix seconds), in the order of steps.

    Of what several attempts recorded at one step only the newest attempt's is there. A value that was NaN is NaN.
    """
    import numpy as np
    import pandas as pd

    types = {"step": "int64", "epoch": "float64", "split": "str", "name": "str", "value": "float64", "time": "float64"}
    types |= {"attempt": "int64", "seq": "int64"}
    query = _surviving(run_id, *(metrics.c[column] for column in types))
    if splits is not None:
        query = query.where(metrics.c.split.in_(splits))
    if names is not None:
        query = query.where(metrics.c.name.in_(names))
    with database.reading() as connection:
        rows = connection.execute(query).all()
    columns = list(zip(*rows, strict=True)) or [()] * len(types)
    typed = zip(types.items(), columns, strict=True)
    made = pd.DataFrame({name: pd.Series(values, dtype=kind) for (name, kind), values in typed})  # type: ignore[call-overload]
    # By step, then as recorded. The clock is not asked: it may jump.
    order = np.lexsort((made["seq"], made["attempt"], made["step"]))
    made = made.take(order).reset_index(drop=True)
    if len(made["attempt"].unique()) > 1:
        newest = made.groupby(["step", "split", "name"])["attempt"].transform("max")
        made = made.loc[made["attempt"] == newest].reset_index(drop=True)
    return made.drop(columns=["attempt", "seq"])


def latest(database: Database, run_id: str) -> list[Value]:
    """The newest value of every metric, sorted by split and name."""
    columns = [metrics.c[name] for name in Value._fields]
    position = func.row_number().over(
        partition_by=[metrics.c.split, metrics.c.name],
        order_by=[metrics.c.step.desc(), metrics.c.attempt.desc(), metrics.c.seq.desc()],
    )
    ranked = _surviving(run_id, *columns, position.label("position")).subquery()
    query = select(*(ranked.c[name] for name in Value._fields)).where(ranked.c.position == 1)
    with database.reading() as connection:
        found = [Value(**dict(row)) for row in connection.execute(query.order_by("split", "name")).mappings()]
    return [v._replace(value=_number(v.value), epoch=_number(v.epoch)) for v in found]


def best(database: Database, run_id: str) -> Best | None:
    """The best step by validation: highest top-1, of equals the lowest loss, of equals the first.

    None without any, and for a run that goes on from another whose best none of its own epochs has passed.
    """
    scores: dict[int, dict[tuple[str, str], float]] = {}
    wanted = _surviving(run_id, metrics.c.step, metrics.c.split, metrics.c.name, metrics.c.value).where(
        EVALUATED, metrics.c.name.in_(("top1", "loss")), metrics.c.value.is_not(None)
    )
    with database.reading() as connection:
        for row in connection.execute(wanted.order_by(metrics.c.attempt, metrics.c.seq)).mappings():
            scores.setdefault(row["step"], {})[row["split"], row["name"]] = row["value"]
    rated = [
        (s["val", "top1"], -s.get(("val", "loss"), math.inf), -step)
        for step, s in scores.items()
        if ("val", "top1") in s
    ]
    if not rated:
        return None
    top1, _, minus_step = max(rated)
    run = get_run(database, run_id)
    if run.parent is not None and run.best is not None and run.best > top1:
        return None
    return Best(-minus_step, top1, scores[-minus_step].get(("test", "top1")))


def evaluations(database: Database, run_ids: Collection[str]) -> dict[str, list[tuple[float, float]]]:
    """(epoch, validation top-1) of each run, by step, of many runs at once: what counts, as in `frame`."""
    points: dict[str, dict[tuple[int, int], list[tuple[float, float]]]] = {run_id: {} for run_id in run_ids}
    limits = _limits(*run_ids)
    columns = metrics.c.run_id, metrics.c.step, metrics.c.attempt, metrics.c.epoch, metrics.c.value
    counting = or_(limits.c.last_step.is_(None), metrics.c.step <= limits.c.last_step)
    wanted = (
        select(*columns)
        .join_from(limits, metrics, and_(metrics.c.run_id == limits.c.run_id, metrics.c.attempt == limits.c.attempt))
        .where(EVALUATED, metrics.c.name == "top1", metrics.c.split == "val", counting)
        .order_by(metrics.c.run_id, metrics.c.step, metrics.c.attempt, metrics.c.seq)
    )
    with database.reading() as connection:
        for run_id, step, attempt, epoch, value in connection.execute(wanted):
            points[run_id].setdefault((step, attempt), []).append((_number(epoch), _number(value)))
    newest = {run_id: dict(sorted(found)) for run_id, found in points.items()}  # of a step the newest attempt alone
    return {r: [p for (s, a), ps in points[r].items() if newest[r][s] == a for p in ps] for r in points}


class Pace(NamedTuple):
    """How fast an attempt goes: what the last step measured, and the seconds a step with all that lies between."""

    images_per_s: float | None
    s_per_step: float | None


def pace(database: Database, run_id: str, attempt: int) -> Pace:
    """Of one attempt, from its first and its last rows alone."""
    of_attempt = metrics.c.run_id == run_id, metrics.c.attempt == attempt
    ends = select(metrics.c.step, metrics.c.time, metrics.c.split, metrics.c.name, metrics.c.value).where(*of_attempt)
    with database.reading() as connection:
        first = connection.execute(ends.order_by(metrics.c.seq).limit(1)).first()
        last = connection.execute(ends.order_by(metrics.c.seq.desc()).limit(_NEWEST_ROWS)).all()
    if first is None:
        return Pace(None, None)
    speed = next((row.value for row in last if (row.split, row.name) == ("", "images_per_s")), None)
    steps, seconds = last[0].step - first.step, last[0].time - first.time
    return Pace(speed, seconds / steps if steps > 0 and seconds > 0 else None)  # the clock may have been set back


def last_recorded(database: Database, run_id: str) -> dict[int, float]:
    """Attempt → when it recorded its last number (Unix seconds)."""
    newest = select(metrics.c.attempt, func.max(metrics.c.time)).where(metrics.c.run_id == run_id)
    with database.reading() as connection:
        return dict(map(tuple, connection.execute(newest.group_by(metrics.c.attempt))))


def rows_after(
    connection: Connection, run_id: str, attempt: int, seq: int, size: int = 4_000
) -> Iterator[Sequence[tuple[Any, ...]]]:
    """What an attempt recorded after its row `seq`, superseded or not, `size` rows at a time.

    Each row is (seq, step, epoch, time, value, series); a series is `split/name`, NaN is None. Only these are read.
    """
    columns = [metrics.c[name] for name in ("seq", "step", "epoch", "time", "value")]
    query = select(*columns, (metrics.c.split + "/" + metrics.c.name).label("series"))
    of_attempt = metrics.c.run_id == run_id, metrics.c.attempt == attempt, metrics.c.seq > seq
    yield from fetch_tuples(connection, query.where(*of_attempt).order_by(metrics.c.seq), size)


def events_after(connection: Connection, run_id: str, attempt: int, seq: int) -> list[tuple[int, RecordedEvent]]:
    """What happened after event `seq` of an attempt, in the order in which it happened, each with its own seq."""
    columns: list[Any] = [events_table.c[name] for name in ("seq", *RecordedEvent._fields)]
    place = tuple_(events_table.c.attempt, events_table.c.seq)
    query = select(*columns).where(events_table.c.run_id == run_id, place > tuple_(attempt, seq))
    rows = connection.execute(query.order_by(events_table.c.attempt, events_table.c.seq)).all()
    return [(seq, RecordedEvent(*told, data=json.loads(data))) for seq, *told, data in map(tuple, rows)]


def events(database: Database, run_id: str) -> list[RecordedEvent]:
    """All that happened to a run, in the order in which it happened; earlier attempts are part of its history."""
    with database.reading() as connection:
        return [event for _, event in events_after(connection, run_id, 0, 0)]


def json_value(value: float | None) -> float | str | None:
    """A number as JSON can hold it: NaN and the infinities, which it has not, as their names."""
    if value is None or math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _limits(*run_ids: str) -> Subquery:
    """The attempts of runs, each with the last step at which what it recorded still counts (null: no end)."""
    later = func.min(attempts.c.from_step).over(
        partition_by=attempts.c.run_id, order_by=attempts.c.attempt, rows=(1, None)
    )
    columns = attempts.c.run_id, attempts.c.attempt, later.label("last_step")
    return select(*columns).where(attempts.c.run_id.in_(run_ids)).subquery("limits")


def _surviving(run_id: str, *columns: Any) -> Select[*tuple[Any, ...]]:
    limits = _limits(run_id)
    return (
        select(*columns)
        .join_from(limits, metrics, and_(metrics.c.run_id == run_id, metrics.c.attempt == limits.c.attempt))
        .where(or_(limits.c.last_step.is_(None), metrics.c.step <= limits.c.last_step))
    )


def _number(value: float | None) -> float:
    return math.nan if value is None else value
