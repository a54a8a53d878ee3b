"""Columns in memory hold what `query.frame` reads anew, whenever they are asked."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.metrics.test_query import histories
from vitscope.metrics import columns as columns_module
from vitscope.metrics import query
from vitscope.metrics.columns import Place, RunColumns
from vitscope.metrics.downsample import Rows
from vitscope.storage import records, runs
from vitscope.storage.database import Database

clock = itertools.count(1000, -1)


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database.at(tmp_path / "v.db")


def append(database: Database, run_id: str, attempt: int, *rows: tuple[int, str, str, float]) -> None:
    batch = [
        records.MetricRow(float(next(clock)), s, s / 10, sp, n, None if math.isnan(v) else v) for s, sp, n, v in rows
    ]
    with database.writing() as connection:
        records.append(connection, run_id, attempt, records.Batch(batch))


def make(database: Database) -> str:
    return runs.create_run(database, name="r", source="s", model="m").id


def assert_is_the_frame(database: Database, columns: RunColumns, run_id: str) -> None:
    frame = query.frame(database, run_id)
    series = frame["split"] + "/" + frame["name"]
    assert {name for name, s in columns.series.items() if len(s)} == set(series)
    for name in set(series):
        expected, rows = frame[series == name], columns.series[name].rows()
        for column in Rows._fields:
            assert np.array_equal(getattr(rows, column), expected[column].to_numpy(), equal_nan=True), (name, column)


class Client:
    """What a page keeps: it is sent increments alone, and follows the two rules of the stream."""

    def __init__(self) -> None:
        self.place, self.rows, self.attempt = Place(), [], 0

    def follow(self, columns: RunColumns) -> None:
        for increment in columns.increments(self.place):
            if increment.attempt is not None:
                self.rows = [row for row in self.rows if row[1] <= increment.attempt.from_step]
            for name, added in increment.series.items():
                self.rows = [row for row in self.rows if row[0] != name or row[1] not in added.replaces]
                self.rows += [(name, *row) for row in zip(*(column.tolist() for column in added.rows), strict=True)]
            assert increment.place > self.place
            self.place = increment.place

    def frame(self) -> list[tuple]:
        return sorted(self.rows)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    history=histories(),
    chunks=st.lists(st.integers(1, 5), min_size=1, max_size=4),
    every=st.integers(1, 3),
    most=st.sampled_from([1, 2, 5_000]),
)
def test_increments_add_up_to_the_frame(
    database: Database,
    history: list[tuple[int, list[tuple[int, str, str, float]]]],
    chunks: list[int],
    every: int,
    most: int,
):
    """Rows come in batches of several sizes, attempts supersede; two clients listen, one of them now and then."""
    columns_module.MOST_ROWS = most
    run_id = make(database)
    columns, always, sometimes = RunColumns(database, run_id), Client(), Client()
    sizes, turn = itertools.cycle(chunks), itertools.count(1)
    for from_step, rows in history:
        attempt = runs.begin_attempt(database, run_id, from_step)
        rest = list(rows)
        while True:
            size = next(sizes)
            append(database, run_id, attempt, *rest[:size])
            del rest[:size]
            columns.update()
            always.follow(columns)
            if next(turn) % every == 0:
                sometimes.follow(columns)
            if not rest:
                break
    sometimes.follow(columns)
    assert_is_the_frame(database, columns, run_id)
    fresh = RunColumns(database, run_id)
    fresh.update()
    assert_is_the_frame(database, fresh, run_id)
    frame = query.frame(database, run_id)
    frame = frame.assign(series=frame["split"] + "/" + frame["name"])
    expected = sorted(frame[["series", "step", "epoch", "time", "value"]].itertuples(index=False, name=None))
    assert always.frame() == expected
    assert sometimes.frame() == expected


def test_only_new_rows_are_read(database: Database, monkeypatch: pytest.MonkeyPatch):
    run_id = make(database)
    attempt = runs.begin_attempt(database, run_id, 0)
    append(database, run_id, attempt, *((s, "train", "loss", 1.0) for s in range(1, 101)))
    columns = RunColumns(database, run_id)
    assert columns.update()
    read: list[int] = []
    real = query.rows_after

    def counting(*arguments: object):
        for rows in real(*arguments):  # type: ignore[arg-type]
            read.append(len(rows))
            yield rows

    monkeypatch.setattr(query, "rows_after", counting)
    assert not columns.update()
    assert read == []
    append(database, run_id, attempt, (101, "train", "loss", math.nan), (101, "", "lr", math.inf))
    assert columns.update()
    assert read == [2]
    assert_is_the_frame(database, columns, run_id)
    with database.reading() as connection:
        plan = connection.exec_driver_sql(
            "EXPLAIN QUERY PLAN SELECT seq FROM vs_metrics WHERE run_id = 'a' AND attempt = 1 AND seq > 5 ORDER BY seq"
        ).all()
    assert [row[-1] for row in plan] == ["SEARCH vs_metrics USING PRIMARY KEY (run_id=? AND attempt=? AND seq>?)"]


def test_what_was_handed_out_never_changes(database: Database):
    run_id = make(database)
    attempt = runs.begin_attempt(database, run_id, 0)
    append(database, run_id, attempt, (1, "train", "loss", 1.0), (2, "train", "loss", 2.0))
    columns = RunColumns(database, run_id)
    columns.update()
    before = columns.series["train/loss"].rows()
    copy = [column.copy() for column in before]
    append(database, run_id, attempt, *((s, "train", "loss", 9.0) for s in range(3, 50)))
    columns.update()
    append(database, run_id, runs.begin_attempt(database, run_id, 1), (2, "train", "loss", 7.0))
    columns.update()
    assert all(np.array_equal(a, b) for a, b in zip(before, copy, strict=True))
    assert columns.series["train/loss"].rows().value.tolist() == [1.0, 7.0]


def test_events_come_once(database: Database):
    run_id = make(database)
    attempt = runs.begin_attempt(database, run_id, 0)
    columns = RunColumns(database, run_id)
    for number in range(3):
        with database.writing() as connection:
            event = records.EventRow(5.0, number, "notice", "warning", f"text {number}", "{}")
            records.append(connection, run_id, attempt, records.Batch(events=[event]))
        columns.update()
    assert [event.text for _, event in columns.events] == ["text 0", "text 1", "text 2"]
    assert columns.place.event_seq == 3


# ---------------------------------------------------------------------------------------------- the queries beside it


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(made=st.lists(histories(), min_size=1, max_size=3))
def test_evaluations_of_many_runs_are_the_frames(
    database: Database, made: list[list[tuple[int, list[tuple[int, str, str, float]]]]]
):
    ids = []
    for history in made:
        ids.append(make(database))
        for from_step, rows in history:
            attempt = runs.begin_attempt(database, ids[-1], from_step)
            append(database, ids[-1], attempt, *((s, split, "top1", v) for s, split, _, v in rows))
    found = query.evaluations(database, ids)
    for run_id in ids:
        frame = query.frame(database, run_id, splits=["val"], names=["top1"])
        assert found[run_id] == list(zip(frame["epoch"], frame["value"], strict=True))
    assert query.evaluations(database, []) == {}


def test_the_index_is_used_for_what_epochs_are_judged_by(database: Database):
    run_id = make(database)
    seen: list[str] = []
    real = database.engine.dialect.do_execute

    def spy(cursor, statement, parameters, context=None):
        if statement.startswith("SELECT") and "vs_metrics" in statement:
            cursor.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            seen.extend(row[-1] for row in cursor.fetchall())
        return real(cursor, statement, parameters, context)

    database.engine.dialect.do_execute = spy  # type: ignore[method-assign]
    query.evaluations(database, [run_id])
    query.best(database, run_id)
    assert sum("vs_metrics USING INDEX ix_vs_metrics_evaluated" in line for line in seen) == 2, seen


def test_frame_reads_what_columns_read_of_odd_numbers(database: Database):
    run_id = make(database)
    attempt = runs.begin_attempt(database, run_id, 0)
    odd = [math.nan, math.inf, -math.inf, 5e-324, 1.7976931348623157e308, -0.0]
    append(database, run_id, attempt, *((i, "", "odd", v) for i, v in enumerate(odd)))
    columns = RunColumns(database, run_id)
    columns.update()
    assert_is_the_frame(database, columns, run_id)
    pd.testing.assert_series_equal(
        pd.Series(columns.series["/odd"].rows().value), pd.Series(odd), check_exact=True, check_names=False
    )
