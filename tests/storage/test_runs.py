from __future__ import annotations

import os
import re
import sqlite3
from pathlib import Path

import pytest

from vitscope.errors import RequestError
from vitscope.storage import records, runs
from vitscope.storage.database import Database

NAMES = ["digits", "名前 花", "😀👨‍👩‍👧", "[red]bold[/red]", "a'b\"c; DROP TABLE vs_runs", "%", "_", "-x"]
NAMES += ["two\nlines", " "]


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database.at(tmp_path / "v.db")


def make(database: Database, name: str = "digits", **more: object) -> runs.RunRow:
    return runs.create_run(database, name=name, source="digits", model="vit_tiny", **more)  # type: ignore[arg-type]


def test_new_run(database: Database):
    run = make(database, epochs=3, parent="abcdefgh")
    assert re.fullmatch("[a-z][a-z2-7]{7}", run.id)
    assert (run.status, run.step, run.epochs, run.total_steps) == ("created", 0, 3, None)
    assert (run.best, run.test, run.message, run.parent) == (None, None, "", "abcdefgh")
    assert (run.name, run.source, run.model) == ("digits", "digits", "vit_tiny")
    assert runs.get_run(database, run.id) == run
    assert len({make(database).id for _ in range(20)}) == 20


def test_what_a_run_needs_is_there_before_it(database: Database):
    seen: list[str] = []

    def prepare(run_id: str) -> None:
        seen.append(run_id)
        assert runs.list_runs(database) == []

    assert [make(database, prepare=prepare).id] == seen

    def fail(run_id: str) -> None:
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        make(database, "second", prepare=fail)
    assert [row.id for row in runs.list_runs(database)] == seen


def test_newest_first_whatever_the_clock_does(database: Database, monkeypatch: pytest.MonkeyPatch):
    made = []
    for now in (2000.0, 1000.0, 3000.0):
        monkeypatch.setattr(runs.time, "time", lambda now=now: now)
        made.append(make(database))
    assert runs.list_runs(database) == made[::-1]
    assert runs.find_run(database, "latest") == made[-1]


@pytest.mark.parametrize("name", NAMES)
def test_any_name_is_kept_and_found(database: Database, name: str):
    make(database, "another")
    run = make(database, name)
    assert run.name == name
    assert runs.find_run(database, name) == run


def test_what_no_database_takes_is_kept_readable(database: Database):
    assert make(database, "nul\0 \udcff").name == "nul\\x00 \\udcff"


def test_update(database: Database, monkeypatch: pytest.MonkeyPatch):
    run, other = make(database), make(database)
    monkeypatch.setattr(runs.time, "time", lambda: run.created_at + 60)
    runs.update_run(database, run.id, status="failed", step=7, best=0.5, message="why")
    changed = runs.get_run(database, run.id)
    assert (changed.status, changed.step, changed.best, changed.message) == ("failed", 7, 0.5, "why")
    assert changed.updated_at == run.created_at + 60
    assert runs.get_run(database, other.id) == other
    with pytest.raises(TypeError, match="colour"):
        runs.update_run(database, run.id, colour="red")
    with pytest.raises(TypeError, match="created_at"):
        runs.update_run(database, run.id, created_at=0.0)
    with pytest.raises(RequestError, match="nothere2"):
        runs.update_run(database, "nothere2", step=1)


# ---------------------------------------------------------------------------------------------- find


def test_found_by_id_beginning_name_and_latest(database: Database, monkeypatch: pytest.MonkeyPatch):
    ids = iter(["abcdefgh", "abzzzzzz", "latest22"])
    monkeypatch.setattr(runs, "_new_id", lambda: next(ids))
    first, second, third = make(database, "flowers"), make(database, "flowers"), make(database, "digits")
    assert runs.find_run(database, "abcdefgh") == first
    assert runs.find_run(database, "ABC") == first
    assert runs.find_run(database, "abz") == second
    assert runs.find_run(database, "flowers") == second  # the newest of that name
    assert runs.find_run(database, "latest") == third
    with pytest.raises(RequestError, match=r"several runs: abzzzzzz \(flowers\), abcdefgh \(flowers\)"):
        runs.find_run(database, "ab")


def test_a_name_wins_over_the_beginning_of_an_id(database: Database):
    run = make(database, "flowers")
    named = make(database, run.id[:3])
    assert runs.find_run(database, run.id[:3]) == named
    assert runs.find_run(database, run.id) == run


@pytest.mark.parametrize("ref", ["", " ", "%", "_______", "flowrs"])
def test_unknown_is_told_with_the_closest(database: Database, ref: str):
    make(database, "flowers")
    with pytest.raises(RequestError, match="flowers"):
        runs.find_run(database, ref)


def test_latest_of_none_says_how_to_begin(database: Database):
    with pytest.raises(RequestError, match="vitscope train"):
        runs.find_run(database, "latest")


# ---------------------------------------------------------------------------------------------- attempts


def test_attempts_count_up_and_the_run_follows(database: Database):
    run = make(database)
    assert runs.list_attempts(database, run.id) == []
    assert runs.begin_attempt(database, run.id, 0) == 1
    assert runs.get_run(database, run.id).status == "running"
    runs.update_run(database, run.id, step=9, message="stopped")
    assert runs.begin_attempt(database, run.id, 5) == 2
    again = runs.get_run(database, run.id)
    assert (again.status, again.step, again.message) == ("running", 5, "")
    runs.end_attempt(database, run.id, 2, "failed", "disk full")
    ended = runs.get_run(database, run.id)
    assert (ended.status, ended.message) == ("failed", "disk full")
    first, second = runs.list_attempts(database, run.id)
    assert (first.attempt, first.from_step, first.status, first.ended_at) == (1, 0, "interrupted", None)
    assert (second.attempt, second.from_step, second.status, second.pid) == (2, 5, "failed", os.getpid())
    assert second.ended_at is not None
    assert second.ended_at >= second.started_at


def test_end_without_a_message_keeps_the_message(database: Database):
    run = make(database)
    attempt = runs.begin_attempt(database, run.id, 0)
    runs.update_run(database, run.id, message="why")
    runs.end_attempt(database, run.id, attempt, "interrupted")
    assert runs.get_run(database, run.id).message == "why"


def test_attempt_of_no_run_is_told(database: Database):
    with pytest.raises(RequestError, match="nothere2"):
        runs.begin_attempt(database, "nothere2", 0)


def test_removing_a_run_removes_all_of_it_and_nothing_else(database: Database, tmp_path: Path):
    kept, gone = make(database), make(database)
    for run in (kept, gone):
        attempt = runs.begin_attempt(database, run.id, 0)
        event = records.EventRow(0.0, 1, "notice", "info", "", "{}")
        batch = records.Batch([records.MetricRow(0.0, 1, 0.1, "train", "loss", 1.0)], [event])
        with database.writing() as connection:
            records.append(connection, run.id, attempt, batch)
    runs.remove_run(database, gone.id)
    runs.remove_run(database, "nothere2")
    with sqlite3.connect(tmp_path / "v.db") as plain:
        for table, column in (("runs", "id"), ("attempts", "run_id"), ("metrics", "run_id"), ("events", "run_id")):
            assert plain.execute(f"SELECT {column} FROM vs_{table}").fetchall() == [(kept.id,)]
