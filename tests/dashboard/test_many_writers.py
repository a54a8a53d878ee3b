"""The dashboard reads while eight runs are recorded by processes of their own (fault 52)."""

from __future__ import annotations

import csv
import io
import multiprocessing
import sqlite3
from contextlib import closing
from pathlib import Path

from tests.dashboard.conftest import Stream, asking, serve
from vitscope.storage import runs
from vitscope.storage.workspace import Workspace

WRITERS, STEPS = 8, 300
SERIES = {("train", "loss"), ("", "lr"), ("", "grad_norm"), ("", "images_per_s"), ("", "data_wait")}  # of each step

context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(["vitscope.metrics.recorder", "vitscope.storage.workspace"])


def write(place: str, run_id: str, number: int) -> None:
    """What a training of STEPS steps tells, about 250 of them a second."""
    import time

    from vitscope.events import CheckpointStarting, RunEnded, RunStarted, StepRecord, StepsDone
    from vitscope.metrics.recorder import Recorder

    workspace = Workspace(place)
    database = workspace.database
    with workspace.lock_run(run_id):
        attempt = runs.begin_attempt(database, run_id, 0)
        recorder = Recorder(database, run_id, attempt)
        recorder(RunStarted(0, STEPS, 3, 100))
        for step in range(1, STEPS + 1):
            recorder(StepsDone((StepRecord(step, (step - 1) // 100, number + 1 / step, 0.1, 2.0, 300.0),)))
            time.sleep(0.004)
            if step % 100 == 0:
                recorder(CheckpointStarting(step))
        recorder(RunEnded(STEPS, "finished", ""))
        recorder.close()
        runs.end_attempt(database, run_id, attempt, "finished")


def test_fault_52_the_dashboard_answers_and_every_row_arrives(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "ws")
    ids = [
        runs.create_run(workspace.database, name=f"w{number}", source="s", model="m", total_steps=STEPS).id
        for number in range(WRITERS)
    ]
    writers = [context.Process(target=write, args=(str(workspace.root), i, n)) for n, i in enumerate(ids)]
    seen: dict[str, list[int]] = {run_id: [] for run_id in ids}
    with serve(workspace) as server, Stream(server, f"/api/live?run={ids[3]}") as stream, asking(workspace) as client:
        for writer in writers:
            writer.start()
        while any(writer.is_alive() for writer in writers):
            listed = client.get("/api/runs")
            assert listed.status_code == 200
            assert {run["id"] for run in listed.json()["runs"]} == set(ids)
            for run_id in ids:
                answer = client.get(f"/api/runs/{run_id}/series.csv")
                assert answer.status_code == 200
                rows = list(csv.DictReader(io.StringIO(answer.text)))
                assert len(rows) % len(SERIES) == 0  # a step is there whole or not at all
                steps = [int(row["step"]) for row in rows if (row["split"], row["name"]) == ("train", "loss")]
                assert steps == list(range(1, len(steps) + 1))
                seen[run_id].append(len(steps))
        for writer in writers:
            writer.join(60)
        streamed: list[int] = []
        while not streamed or streamed[-1] < STEPS:
            streamed += stream.until("points").data["series"].get("train/loss", {"step": []})["step"]
        statuses = {run["id"]: run["status"] for run in client.get("/api/runs").json()["runs"]}
    assert [writer.exitcode for writer in writers] == [0] * WRITERS
    assert statuses == dict.fromkeys(ids, "finished")
    assert streamed == sorted(set(streamed))
    assert all(counts == sorted(counts) for counts in seen.values())
    assert any(0 < count < STEPS for counts in seen.values() for count in counts)  # it was read while it was written
    with closing(sqlite3.connect(workspace.root / "vitscope.db")) as plain:
        assert plain.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        for number, run_id in enumerate(ids):
            stored = plain.execute(
                "SELECT step, split, name, value FROM vs_metrics WHERE run_id = ? ORDER BY seq", (run_id,)
            ).fetchall()
            assert len(stored) == STEPS * len(SERIES)
            assert {(split, name) for _, split, name, _ in stored} == SERIES
            losses = [(step, value) for step, _, name, value in stored if name == "loss"]
            assert losses == [(step, number + 1 / step) for step in range(1, STEPS + 1)]
