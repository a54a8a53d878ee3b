from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vitscope.metrics import query
from vitscope.storage import records, runs
from vitscope.storage.database import Database

COLUMNS = ["step", "epoch", "split", "name", "value", "time"]


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database.at(tmp_path / "v.db")


def make(database: Database, *attempts: tuple[int, list[tuple[int, str, str, float]]]) -> str:
    """A run whose attempts begin at the given steps and record (step, split, name, value); the clock goes backwards."""
    run_id = runs.create_run(database, name="r", source="s", model="m").id
    clock = itertools.count(1000, -1)
    for from_step, rows in attempts:
        attempt = runs.begin_attempt(database, run_id, from_step)
        batch = records.Batch([records.MetricRow(float(next(clock)), s, s / 10, sp, n, v) for s, sp, n, v in rows])
        with database.writing() as connection:
            records.append(connection, run_id, attempt, batch)
    return run_id


def losses(*steps: int, value: float = 1.0) -> list[tuple[int, str, str, float]]:
    return [(s, "train", "loss", value) for s in steps]


def test_columns_and_types(database: Database):
    run_id = make(database, (0, [(2, "val", "top1", 0.5), (1, "", "lr", 0.1)]))
    frame = query.frame(database, run_id)
    assert list(frame.columns) == COLUMNS
    assert frame.values.tolist() == [[1, 0.1, "", "lr", 0.1, 999.0], [2, 0.2, "val", "top1", 0.5, 1000.0]]
    empty = query.frame(database, make(database))
    assert list(empty.columns) == COLUMNS
    assert empty.dtypes.to_dict() == frame.dtypes.to_dict()
    assert frame["step"].dtype == np.int64
    assert frame["value"].dtype == np.float64


def test_only_the_wanted_run_splits_and_names(database: Database):
    make(database, (0, losses(1, 2)))
    run_id = make(database, (0, [(1, "train", "loss", 1.0), (1, "val", "loss", 2.0), (1, "val", "top1", 3.0)]))
    assert query.frame(database, run_id, splits=["val"])["value"].tolist() == [2.0, 3.0]
    assert query.frame(database, run_id, names=["loss"])["value"].tolist() == [1.0, 2.0]
    assert query.frame(database, run_id, splits=["val"], names=["loss"])["value"].tolist() == [2.0]
    assert query.frame(database, run_id, splits=[])["value"].tolist() == []


def test_resume_supersedes_what_came_after_its_checkpoint(database: Database):
    run_id = make(database, (0, losses(1, 2, 3, 4, value=1)), (2, losses(3, value=2)), (3, losses(4, 5, value=3)))
    frame = query.frame(database, run_id)
    assert frame[["step", "value"]].values.tolist() == [[1, 1], [2, 1], [3, 2], [4, 3], [5, 3]]


def test_resume_from_before_an_earlier_resume(database: Database):
    run_id = make(database, (0, losses(1, 2, 3, 4, value=1)), (3, losses(4, 5, value=2)), (1, losses(2, value=3)))
    frame = query.frame(database, run_id)
    assert frame[["step", "value"]].values.tolist() == [[1, 1], [2, 3]]


def test_of_two_attempts_at_one_step_the_newest_counts(database: Database):
    """An epoch evaluated, its checkpoint saved before its metrics were told, evaluated again by the resume."""
    twice = [(5, "val", "top1", 0.5)]
    run_id = make(database, (0, [*losses(5), *twice]), (5, [(5, "val", "top1", 0.6), *losses(6)]))
    frame = query.frame(database, run_id)
    assert frame[["step", "name", "value"]].values.tolist() == [[5, "loss", 1.0], [5, "top1", 0.6], [6, "loss", 1.0]]
    assert {v.name: v.value for v in query.latest(database, run_id)} == {"loss": 1.0, "top1": 0.6}


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[int, list[tuple[int, str, str, float]]]]:
    """Attempts that each go on from a step that an earlier one reached, and record some steps after it."""
    reached, attempts = 0, []
    for number in range(draw(st.integers(1, 5))):
        from_step = draw(st.integers(0, reached)) if number else 0
        length = draw(st.integers(0, 6))
        steps = draw(st.lists(st.integers(from_step, from_step + length), max_size=8))
        rows = [(s, draw(st.sampled_from(["train", "val"])), "loss", float(i)) for i, s in enumerate(steps)]
        attempts.append((from_step, rows))
        reached = max(reached, from_step + length)
    return attempts


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=histories())
def test_what_counts_is_what_the_definition_says(
    database: Database, history: list[tuple[int, list[tuple[int, str, str, float]]]]
):
    run_id = make(database, *history)
    counting = [
        (a, row)
        for a, (_, rows) in enumerate(history)
        for row in rows
        if all(row[0] <= from_step for from_step, _ in history[a + 1 :])
    ]
    newest = {row[:3]: a for a, row in counting}
    expected = [list(row) for a, row in counting if newest[row[:3]] == a]
    frame = query.frame(database, run_id)
    assert sorted(frame[["step", "split", "name", "value"]].values.tolist()) == sorted(expected)
    assert frame["step"].is_monotonic_increasing
    found = {v.split: v.step for v in query.latest(database, run_id)}
    assert found == {split: max(r[0] for r in expected if r[1] == split) for split in {r[1] for r in expected}}


def test_latest_value_of_each(database: Database):
    rows = [(1, "", "lr", 0.1), (3, "", "lr", 0.3), (2, "", "lr", 0.2), (2, "val", "top1", math.inf)]
    run_id = make(database, (0, rows))
    values = query.latest(database, run_id)
    assert [(v.split, v.name, v.value, v.step, v.epoch) for v in values] == [
        ("", "lr", 0.3, 3, 0.3),
        ("val", "top1", math.inf, 2, 0.2),
    ]
    assert query.latest(database, make(database)) == []


def test_best_is_chosen_by_validation(database: Database):
    def scored(step: int, top1: float, loss: float, test: float) -> list[tuple[int, str, str, float]]:
        return [(step, "val", "top1", top1), (step, "val", "loss", loss), (step, "test", "top1", test)]

    first, second = scored(1, 0.5, 1.0, 0.99), scored(2, 0.8, 0.9, 0.7)
    run_id = make(database, (0, [*first, *second, *scored(3, 0.8, 0.4, 0.6), *scored(4, 0.8, 0.4, 0.5)]))
    assert query.best(database, run_id) == query.Best(3, 0.8, 0.6)  # of equals the lower loss, then the first
    assert query.best(database, make(database, (0, losses(1)))) is None
    without_test = make(database, (0, [(1, "val", "top1", 0.25), (2, "test", "top1", 0.5)]))
    assert query.best(database, without_test) == query.Best(1, 0.25, None)


def test_events_of_all_attempts_in_order(database: Database):
    run_id = make(database, (0, []), (0, []))
    for attempt, text in ((2, "later"), (1, "earlier")):
        with database.writing() as connection:
            event = records.EventRow(5.0, 7, "notice", "warning", text, '{"a": 1}')
            records.append(connection, run_id, attempt, records.Batch(events=[event]))
    found = query.events(database, run_id)
    assert [e.text for e in found] == ["earlier", "later"]
    assert found[0] == query.RecordedEvent(5.0, 1, 7, "notice", "warning", "earlier", {"a": 1})
