from __future__ import annotations

import json
import math
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection

from vitscope.errors import RequestError, WorkFailed
from vitscope.events import (
    Alert,
    CheckpointSaved,
    CheckpointStarting,
    EpochDone,
    Metric,
    MetricsLogged,
    Notice,
    RunEnded,
    RunStarted,
    StepRecord,
    StepsDone,
)
from vitscope.metrics import query, recorder
from vitscope.metrics.recorder import Recorder
from vitscope.storage import runs
from vitscope.storage.database import Database


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database.at(tmp_path / "v.db", busy_timeout_s=0.1)


@pytest.fixture
def run_id(database: Database) -> str:
    return runs.create_run(database, name="r", source="s", model="m").id


@contextmanager
def recording(database: Database, run_id: str, from_step: int = 0) -> Iterator[Recorder]:
    made = Recorder(database, run_id, runs.begin_attempt(database, run_id, from_step))
    yield made
    made.close()


def step(number: int, loss: float = 1.0) -> StepsDone:
    return StepsDone((StepRecord(number, (number - 1) // 10, loss, 0.1, 2.0, 300.0),))


def epoch(number: int, val: float, test: float | None, is_best: bool) -> EpochDone:
    metrics = [Metric("val", "top1", val)] + ([Metric("test", "top1", test)] if test is not None else [])
    return EpochDone(10 * number, number, tuple(metrics), is_best)


def stored(tmp_path: Path, sql: str) -> list[tuple]:
    with sqlite3.connect(tmp_path / "v.db") as plain:
        return plain.execute(sql).fetchall()


def test_a_step_becomes_five_rows(database: Database, run_id: str):
    with recording(database, run_id) as record:
        record(RunStarted(0, 40, 4, 10))
        record(StepsDone((StepRecord(1, 0, 2.5, 0.1, 3.0, 400.0), StepRecord(12, 1, 1.5, 0.2, 4.0, 500.0, 0.67))))
    rows = query.frame(database, run_id).drop(columns="time").values.tolist()
    assert rows == [
        [1, 0.1, "train", "loss", 2.5],
        [1, 0.1, "", "lr", 0.1],
        [1, 0.1, "", "grad_norm", 3.0],
        [1, 0.1, "", "images_per_s", 400.0],
        [1, 0.1, "", "data_wait", 0.0],
        [12, 1.2, "train", "loss", 1.5],
        [12, 1.2, "", "lr", 0.2],
        [12, 1.2, "", "grad_norm", 4.0],
        [12, 1.2, "", "images_per_s", 500.0],
        [12, 1.2, "", "data_wait", 0.67],
    ]


def test_metrics_and_epochs(database: Database, run_id: str):
    before = time.time()
    with recording(database, run_id) as record:
        record(MetricsLogged(5, 0.5, (Metric("", "memory_gb", 1.5),)))
        record(epoch(1, 0.8, 0.7, True))
    rows = query.frame(database, run_id)
    assert rows.drop(columns="time").values.tolist() == [
        [5, 0.5, "", "memory_gb", 1.5],
        [10, 1.0, "val", "top1", 0.8],
        [10, 1.0, "test", "top1", 0.7],
    ]
    assert rows["time"].between(before, time.time()).all()


def test_what_happened_is_kept(database: Database, run_id: str):
    with recording(database, run_id) as record:
        record(RunStarted(0, 40, 4, 10))
        record(step(3))
        record(Notice("cat/花 [red].jpg: not an image", "warning"))
        record(Notice("memory is short", "error", step=2))
        record(Alert(3, "loss-spike", "The loss jumped."))
        record(CheckpointStarting(3))
        record(CheckpointSaved(3, Path("/moved/later/step-00000003"), True, 0.5))
        record(RunEnded(3, "interrupted", "Ctrl-C"))
    kept = [(e.attempt, e.kind, e.step, e.level, e.text, e.data) for e in query.events(database, run_id)]
    assert kept == [
        (1, "started", 0, "info", "", {"total_steps": 40}),
        (1, "notice", 3, "warning", "cat/花 [red].jpg: not an image", {}),
        (1, "notice", 2, "error", "memory is short", {}),
        (1, "alert", 3, "warning", "The loss jumped.", {"kind": "loss-spike"}),
        (1, "checkpoint", 3, "info", "", {"name": "step-00000003", "is_best": True, "seconds": 0.5}),
        (1, "ended", 3, "info", "Ctrl-C", {"status": "interrupted"}),
    ]


def test_the_row_of_the_run_follows(database: Database, run_id: str):
    def row() -> tuple:
        r = runs.get_run(database, run_id)
        return r.status, r.step, r.total_steps, r.epochs, r.best, r.test

    with recording(database, run_id) as record:
        record(RunStarted(0, 40, 4, 10))
        record(step(7))
        record.flush()
        assert row() == ("running", 7, 40, 4, None, None)
        record(epoch(1, 0.6, 0.5, True))
        record.flush()
        assert row() == ("running", 10, 40, 4, 0.6, 0.5)
        record(epoch(2, 0.6, 0.9, False))  # validation chooses; the better test score is none of its business
        record.flush()
        assert row() == ("running", 20, 40, 4, 0.6, 0.5)
        record(epoch(3, 0.7, None, True))
        record.flush()
        assert row() == ("running", 30, 40, 4, 0.7, None)


def test_best_of_superseded_epochs_is_forgotten(database: Database, run_id: str):
    with recording(database, run_id) as record:
        record(epoch(1, 0.6, 0.5, True))
        record(epoch(2, 0.9, 0.8, True))
    for from_step, expected in ((20, (0.9, 0.8)), (10, (0.6, 0.5)), (5, (None, None))):
        with recording(database, run_id, from_step):
            row = runs.get_run(database, run_id)
            assert (row.best, row.test) == expected


def test_before_a_checkpoint_everything_is_committed(database: Database, run_id: str, tmp_path: Path):
    with recording(database, run_id) as record:
        for number in range(1, 201):
            record(step(number))
        record(CheckpointStarting(200))
        assert stored(tmp_path, "SELECT count(*), max(step) FROM vs_metrics") == [(1000, 200)]


# ---------------------------------------------------------------------------------------------- FAULTS 57


def test_fault_57_nan_and_infinities_survive_storage_and_json(database: Database, run_id: str):
    values = [math.nan, math.inf, -math.inf, 0.1, 5e-324, 1.7976931348623157e308]
    with recording(database, run_id) as record:
        for number, value in enumerate(values, 1):
            record(MetricsLogged(number, math.nan, (Metric("val", "loss", value),)))
    back = query.frame(database, run_id)["value"].tolist()
    assert [repr(v) for v in back] == [repr(v) for v in values]
    as_json = json.dumps([query.json_value(v) for v in back], allow_nan=False)
    assert json.loads(as_json)[:4] == ["NaN", "Infinity", "-Infinity", 0.1]
    assert [float(v) for v in json.loads(as_json)][1:] == values[1:]
    assert query.json_value(None) is None


def test_fault_57_nan_as_best(database: Database, run_id: str):
    with recording(database, run_id) as record:
        record(epoch(1, math.nan, math.nan, True))
    assert query.best(database, run_id) is None
    assert runs.get_run(database, run_id).best is None
    assert math.isnan(query.latest(database, run_id)[0].value)


# ---------------------------------------------------------------------------------------------- FAULTS 51

RECORD = """
import sys, time
from pathlib import Path
from vitscope.events import StepRecord, StepsDone
from vitscope.metrics.recorder import Recorder
from vitscope.storage.database import Database
database = Database.at(Path(sys.argv[1]))
recorder = Recorder(database, sys.argv[2], int(sys.argv[3]))
step, begun, flushed = 0, time.monotonic(), time.monotonic()
while True:
    step += 1
    recorder(StepsDone((StepRecord(step, 0, 1.0 / step, 0.1, 2.0, 300.0),)))  # four rows
    time.sleep(max(0.0, begun + step / 250 - time.monotonic()))  # 1,000 rows a second
    if time.monotonic() - flushed > 0.1 and recorder.flush():
        flushed = time.monotonic()
        print(step, flush=True)
"""


def test_fault_51_kill_9_while_recording_loses_no_acknowledged_row(database: Database, run_id: str, tmp_path: Path):
    for wait_s in (0.4, 0.4 + random.random() / 2):
        attempt = runs.begin_attempt(database, run_id, 0)
        command = [sys.executable, "-c", RECORD, str(tmp_path / "v.db"), run_id, str(attempt)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            first = child.stdout.readline()
            time.sleep(wait_s)
            child.send_signal(signal.SIGKILL)
            acknowledged = [int(line) for line in [first, *child.stdout.read().splitlines()]]
        assert len(acknowledged) > 1
        assert stored(tmp_path, "PRAGMA integrity_check") == [("ok",)]
        assert stored(tmp_path, "PRAGMA foreign_key_check") == []
        rows = stored(tmp_path, f"SELECT step, name, value FROM vs_metrics WHERE attempt = {attempt} ORDER BY seq")
        assert len(rows) >= 4 * acknowledged[-1]
        assert len(rows) % 5 == 0  # what one event tells is there whole or not at all
        assert [s for s, name, _ in rows if name == "loss"] == list(range(1, len(rows) // 5 + 1))
        assert all(value == 1.0 / s for s, name, value in rows if name == "loss")
    with recording(database, run_id) as record:  # and the next attempt goes on
        record(step(1))
    assert len(query.frame(database, run_id)) == 5


# ---------------------------------------------------------------------------------------------- a database in trouble


def test_locked_database_is_warned_of_once_and_everything_arrives_after(
    database: Database, run_id: str, tmp_path: Path
):
    warned: list[str] = []
    record = Recorder(database, run_id, runs.begin_attempt(database, run_id, 0), warned.append)
    record(step(1))
    assert record.flush()
    other = sqlite3.connect(tmp_path / "v.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    begun = time.monotonic()
    for number in range(2, 4):
        record(step(number))
        record(CheckpointStarting(number))
    assert time.monotonic() - begun < 30  # training goes on
    other.execute("COMMIT")
    deadline = time.monotonic() + 30
    while not record.flush() and time.monotonic() < deadline:
        pass
    record.close()
    assert query.frame(database, run_id, names=["loss"])["step"].tolist() == [1, 2, 3]
    assert len(warned) == 1
    assert "locked by another process" in warned[0]
    assert "Training goes on" in warned[0]


def test_commit_whose_answer_is_lost_is_not_repeated(database: Database, run_id: str, monkeypatch: pytest.MonkeyPatch):
    record = Recorder(database, run_id, runs.begin_attempt(database, run_id, 0), lambda text: None)
    real, failures = database.writing, iter([False, True, False, True])  # before the commit, after it, ...

    @contextmanager
    def writing() -> Iterator[Connection]:
        is_after = next(failures, None)
        with real() as connection:
            yield connection
            if is_after is False:
                raise WorkFailed("the server is gone")
        if is_after is True:
            raise WorkFailed("the answer is lost")

    monkeypatch.setattr(database, "writing", writing)
    record(step(1))
    record(Notice("one"))
    record.close()
    assert len(query.frame(database, run_id)) == 5
    assert [e.text for e in query.events(database, run_id)] == ["one"]


def test_what_could_not_be_written_to_the_end_is_told(
    database: Database, run_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(recorder, "GIVE_UP_S", 0.2)
    warned: list[str] = []
    record = Recorder(database, run_id, runs.begin_attempt(database, run_id, 0), warned.append)
    other = sqlite3.connect(tmp_path / "v.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    record(step(1))
    record.close()
    assert len(warned) == 2
    assert "The last 1 events" in warned[1]
    assert "are lost" in warned[1]


def test_a_run_removed_meanwhile_does_not_stop_training(database: Database, run_id: str):
    warned: list[str] = []
    record = Recorder(database, run_id, runs.begin_attempt(database, run_id, 0), warned.append)
    runs.remove_run(database, run_id)
    for number in range(1, 4):
        record(step(number))
        record(CheckpointStarting(number))
    record.close()
    assert len(warned) == 1
    assert "Training goes on without it" in warned[0]


# ---------------------------------------------------------------------------------------------- log


def test_log_beside_the_recorder(database: Database, run_id: str):
    with recording(database, run_id) as record:
        record(RunStarted(0, 40, 4, 10))
        for number in range(1, 31):
            record(step(number))
            recorder.log(database, run_id, "mine", number / 2, step=number, split="val")
        record.flush()
        recorder.log(database, run_id, "at the newest step", True)
    rows = query.frame(database, run_id)
    mine = rows[rows["name"] == "mine"]
    assert mine["value"].tolist() == [n / 2 for n in range(1, 31)]
    assert set(mine["split"]) == {"val"}
    assert len(rows) == 30 * 6 + 1
    newest = rows[rows["name"] == "at the newest step"]
    assert newest[["step", "epoch", "value"]].values.tolist() == [[30, 3.0, 1.0]]


def test_log_into_the_newest_attempt_of_a_finished_run(database: Database, run_id: str):
    for from_step in (0, 5):
        with recording(database, run_id, from_step) as record:
            record(step(from_step + 1))
    recorder.log(database, run_id, "mine", 1.0, step=100)
    assert query.latest(database, run_id)[-2].name == "mine"


@pytest.mark.parametrize(
    ("name", "value", "more"),
    [
        ("", 1.0, {}),
        (" ", 1.0, {}),
        ("x" * 201, 1.0, {}),
        ("a\nb", 1.0, {}),
        ("\udcff", 1.0, {}),
        ("loss", "high", {}),
        ("loss", None, {}),
        ("loss", 10**400, {}),
        ("loss", 1.0, {"step": "two"}),
        ("loss", 1.0, {"split": "dev"}),
    ],
)
def test_log_of_what_is_no_metric_is_told(database: Database, run_id: str, name: str, value: float, more: dict):
    runs.begin_attempt(database, run_id, 0)
    with pytest.raises(RequestError, match=r"[Mm]etric"):
        recorder.log(database, run_id, name, value, **more)
    assert query.frame(database, run_id).empty


def test_log_to_a_run_not_begun_is_told(database: Database, run_id: str):
    with pytest.raises(RequestError, match="not begun"):
        recorder.log(database, run_id, "mine", 1.0)
