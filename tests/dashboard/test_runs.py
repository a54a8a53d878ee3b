"""The runs as they are served, against what the command line tells and what was recorded."""

from __future__ import annotations

import math
import socket
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from tests.dashboard.conftest import asking, make_run, record
from vitscope.metrics import query
from vitscope.storage import jobs, records, runs
from vitscope.storage.workspace import Workspace
from vitscope.workflows.runs import list_runs, show_run

MORE_KEYS = {"started_at", "eta_s", "images_per_s", "is_job"}


def test_an_empty_workspace_has_no_runs_and_is_not_created(client: TestClient, workspace: Workspace):
    assert client.get("/api/runs").json()["runs"] == []
    assert client.get("/api/runs?deleted=1").json()["runs"] == []
    assert client.get("/api/runs/sparklines?ids=abcdefgh").json() == {}
    assert client.get("/api/runs/latest").status_code == 404
    assert not workspace.root.exists()


def test_the_list_is_what_the_command_line_lists_and_more(client: TestClient, workspace: Workspace):
    for name in ("first", "花", "third"):
        make_run(workspace, name)
    answer = client.get("/api/runs").json()
    assert answer["cursor"]
    listed = list_runs(workspace)
    assert [run["name"] for run in answer["runs"]] == ["third", "花", "first"]
    for told, known in zip(answer["runs"], listed, strict=True):
        assert told.keys() - known.keys() == MORE_KEYS
        assert {key: told[key] for key in known} == known
        assert (told["eta_s"], told["images_per_s"], told["is_job"]) == (None, None, False)
        assert told["started_at"] is not None


def test_what_changed_in_another_process_is_listed(client: TestClient, workspace: Workspace):
    run = make_run(workspace)
    assert client.get("/api/runs").json()["runs"][0]["name"] == "digits"
    other = Workspace(workspace.root)
    runs.update_run(other.database, run.id, name="renamed", step=33)
    newer = make_run(other, "newer")
    listed = client.get("/api/runs").json()["runs"]
    assert [(r["id"], r["name"], r["step"]) for r in listed] == [(newer.id, "newer", 20), (run.id, "renamed", 33)]
    runs.remove_run(other.database, newer.id)
    assert [r["id"] for r in client.get("/api/runs").json()["runs"]] == [run.id]


def test_a_running_run_tells_its_pace_and_what_is_left(client: TestClient, workspace: Workspace):
    run = make_run(workspace, status="running")
    with workspace.lock_run(run.id):
        (told,) = client.get("/api/runs").json()["runs"]
    assert told["status"] == "running"
    assert told["images_per_s"] == math.sin(20)  # what was recorded at the last step
    assert told["eta_s"] == pytest.approx((40 - 20) * 0.1)  # a step took a tenth of a second
    (told,) = client.get("/api/runs").json()["runs"]  # its process has gone, without a word
    assert (told["status"], told["eta_s"]) == ("interrupted", None)


def test_a_clock_that_was_set_back_leaves_the_time_unknown(client: TestClient, workspace: Workspace):
    run = runs.create_run(workspace.database, name="r", source="s", model="m", total_steps=10)
    attempt = runs.begin_attempt(workspace.database, run.id, 0)
    rows = [records.MetricRow(t, s, 0.1, "", "images_per_s", math.nan) for t, s in ((100.0, 1), (50.0, 2))]
    with workspace.database.writing() as connection:
        records.append(connection, run.id, attempt, records.Batch([r._replace(value=None) for r in rows]))
    with workspace.lock_run(run.id):
        (told,) = client.get("/api/runs").json()["runs"]
    assert (told["eta_s"], told["images_per_s"]) == (None, None)


def test_jobs_are_told_apart(client: TestClient, workspace: Workspace):
    plain, job = make_run(workspace), make_run(workspace)
    jobs.claim(workspace.database, jobs.JobRow(job.id, socket.gethostname() + "x", 1, 0.0, 0, 0, 0.0), None)
    assert {r["id"]: r["is_job"] for r in client.get("/api/runs").json()["runs"]} == {plain.id: False, job.id: True}


# ---------------------------------------------------------------------------------------------- one run


def test_one_run_is_what_the_command_line_shows_and_its_configuration(client: TestClient, workspace: Workspace):
    run = make_run(workspace, "one")
    told = client.get(f"/api/runs/{run.id}").json()
    shown = show_run(workspace, run.id)
    assert told.keys() - shown.keys() == MORE_KEYS | {"config", "requested"}
    assert {key: told[key] for key in shown} == shown
    assert told["metrics"]
    assert told["config"] == {"seed": 3, "data": {"source": "digits"}}
    assert told["requested"] == {"data": {"source": "digits"}}
    for ref in ("latest", "one", run.id[:4]):
        assert client.get(f"/api/runs/{ref}").json()["id"] == run.id


def test_the_newest_values_are_those_of_the_newest_attempt(client: TestClient, workspace: Workspace):
    run = make_run(workspace)
    attempt = runs.begin_attempt(workspace.database, run.id, 10)
    record(workspace, run.id, attempt, range(10, 15), value=lambda step: math.inf if step == 14 else 5.0)
    told = client.get(f"/api/runs/{run.id}").json()["metrics"]
    latest = query.latest(workspace.database, run.id)
    assert [(m["split"], m["name"], m["step"]) for m in told] == [(v.split, v.name, v.step) for v in latest]
    assert {m["name"]: m["value"] for m in told}["loss"] == "Infinity"


def test_a_run_without_anything_yet(client: TestClient, workspace: Workspace):
    run = runs.create_run(workspace.database, name="new", source="s", model="m")
    told = client.get(f"/api/runs/{run.id}").json()
    assert (told["config"], told["requested"], told["metrics"], told["started_at"]) == (None, None, [], None)
    assert client.get(f"/api/runs/{run.id}/series").json()["series"] == {}


def test_an_unknown_run_is_told_with_the_closest(client: TestClient, workspace: Workspace):
    make_run(workspace, "flowers")
    for path in ("", "/series", "/series.csv", "/images", "/inside/overview"):
        answer = client.get(f"/api/runs/flwers{path}")
        assert answer.status_code == 404
        assert "Did you mean 'flowers'" in answer.json()["error"]
    assert client.get("/api/jobs/flwers/log").status_code == 404
    assert client.get("/api/live?run=flwers").status_code == 404
    for method, path in (("DELETE", ""), ("POST", "/restore"), ("POST", "/stop"), ("POST", "/resume")):
        assert client.request(method, f"/api/runs/flwers{path}").status_code == 404


# ---------------------------------------------------------------------------------------------- the trash


def test_delete_and_restore(client: TestClient, workspace: Workspace):
    run = make_run(workspace)
    assert client.delete(f"/api/runs/{run.id}").json()["id"] == run.id
    assert client.get("/api/runs").json()["runs"] == []
    (deleted,) = client.get("/api/runs?deleted=1").json()["runs"]
    assert deleted["id"] == run.id
    assert deleted["deleted_at"] is not None
    assert client.get(f"/api/runs/{run.id}").status_code == 404
    assert "in the trash" in client.delete(f"/api/runs/{run.id}").json()["error"]
    assert not workspace.run_folder(run.id).exists()
    assert client.post(f"/api/runs/{run.id}/restore").status_code == 200
    assert client.get(f"/api/runs/{run.id}").json()["status"] == "finished"
    assert client.post(f"/api/runs/{run.id}/restore").status_code == 404


def test_a_run_that_is_trained_is_not_deleted(client: TestClient, workspace: Workspace):
    run = make_run(workspace, status="running")
    with workspace.lock_run(run.id):
        answer = client.delete(f"/api/runs/{run.id}")
    assert answer.status_code == 409
    assert "being trained" in answer.json()["error"]
    assert client.get(f"/api/runs/{run.id}").status_code == 200


# ---------------------------------------------------------------------------------------------- sparklines


def test_sparklines_are_the_evaluations(client: TestClient, workspace: Workspace):
    short, long = make_run(workspace), make_run(workspace, steps=2010)
    told = client.get("/api/runs/sparklines", params={"ids": f"{short.id},{long.id},nothere2,../x"}).json()
    assert set(told) == {short.id, long.id, "nothere2"}
    frame = query.frame(workspace.database, short.id, splits=["val"], names=["top1"])
    assert told[short.id] == {"epoch": frame["epoch"].tolist(), "top1": frame["value"].tolist()}
    frame = query.frame(workspace.database, long.id, splits=["val"], names=["top1"])
    points = told[long.id]
    assert len(points["epoch"]) <= 60
    assert set(points["top1"]) <= set(frame["value"])
    assert (points["epoch"][-1], points["top1"][-1]) == (frame["epoch"].iloc[-1], frame["value"].iloc[-1])
    assert points["epoch"] == sorted(points["epoch"])


def test_commands_that_are_shown_work_on_this_workspace(tmp_path: Path):
    with asking(Workspace(tmp_path / "x y")) as client:
        assert client.get("/api/session").json()["command"] == f"vitscope --workspace '{tmp_path}/x y'"
