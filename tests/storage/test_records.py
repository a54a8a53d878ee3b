from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest

from vitscope.storage import records, runs
from vitscope.storage.database import Database


def batch(time: float, count: int) -> records.Batch:
    rows = [records.MetricRow(time, i, None, "train", "loss", float(i)) for i in range(count)]
    return records.Batch(rows, [records.EventRow(time, None, "notice", "info", "text", "{}")])


def begin(database: Database) -> tuple[str, int]:
    run = runs.create_run(database, name="r", source="s", model="m")
    return run.id, runs.begin_attempt(database, run.id, 0)


def test_several_writers_lose_and_repeat_nothing(tmp_path: Path):
    database = Database.at(tmp_path / "v.db")
    run_id, attempt = begin(database)

    def write(writer: int) -> None:
        for i in range(10):
            with database.writing() as connection:
                records.append(connection, run_id, attempt, batch(writer * 100 + i, 3))

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with sqlite3.connect(tmp_path / "v.db") as plain:
        seqs = [seq for (seq,) in plain.execute("SELECT seq FROM vs_metrics ORDER BY seq")]
        assert seqs == list(range(1, 4 * 10 * 3 + 1))
        assert plain.execute("SELECT count(*), max(seq) FROM vs_events").fetchone() == (40, 40)


@pytest.mark.parametrize("made", [batch(5.0, 3), records.Batch(events=batch(5.0, 0).events)])
def test_a_lost_answer_can_be_told_from_a_lost_write(tmp_path: Path, made: records.Batch):
    database = Database.at(tmp_path / "v.db")
    run_id, attempt = begin(database)
    with pytest.raises(ConnectionError), database.writing() as connection:
        places = records.append(connection, run_id, attempt, made)
        raise ConnectionError("before the commit")
    with database.writing() as connection:
        assert not records.is_appended(connection, run_id, attempt, made, places)
        places = records.append(connection, run_id, attempt, made)
    with database.writing() as connection:
        records.append(connection, run_id, attempt, batch(6.0, 2))  # someone else, in between
        assert records.is_appended(connection, run_id, attempt, made, places)


def test_attempt_that_is_gone(tmp_path: Path):
    database = Database.at(tmp_path / "v.db")
    run_id, attempt = begin(database)
    runs.remove_run(database, run_id)
    with pytest.raises(records.AttemptGone), database.writing() as connection:
        records.append(connection, run_id, attempt, batch(0.0, 1))
