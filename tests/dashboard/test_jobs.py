"""Runs started, stopped and resumed over HTTP; the jobs themselves are tested in tests/workflows/test_jobs.py."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from fastapi.testclient import TestClient

from tests.dashboard.conftest import BEARER, asking, make_run, serve, wait_until
from tests.dashboard.test_worker import FAKE
from vitscope import config
from vitscope.dashboard import worker as worker_module
from vitscope.dashboard.worker import Worker
from vitscope.storage import jobs, runs
from vitscope.storage.workspace import Workspace
from vitscope.workflows import jobs as job_work
from vitscope.workflows.processes import began_at


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Runs for which a process would have been started."""
    found: list[str] = []
    monkeypatch.setattr(job_work, "_launch", lambda run_id, workspace: found.append(run_id))
    return found


@pytest.fixture
def client(workspace: Workspace, launched: list[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setattr(Worker.__init__, "__defaults__", (FAKE, worker_module.IDLE_S))
    with asking(workspace) as made:
        yield made


def test_a_new_run_is_committed_and_given_to_a_process(client: TestClient, workspace: Workspace, launched: list[str]):
    asked = {"source": "digits", "recipe": "digits", "name": "花", "options": {"train": {"epochs": 3}}}
    answer = client.post("/api/runs", json=asked)
    assert answer.status_code == 201
    run_id = answer.json()["id"]
    assert launched == [run_id]
    row = runs.get_run(workspace.database, run_id)
    assert (row.name, row.source, row.status) == ("花", "digits", "created")
    requested = config.read_file(workspace.run_folder(run_id) / "requested.yaml")
    assert requested == {"data": {"source": "digits"}, "recipe": "digits", "name": "花", "train": {"epochs": 3}}
    assert client.get(f"/api/runs/{run_id}").json()["requested"] == requested
    assert client.post("/api/runs", json={"source": "digits"}).status_code == 201


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({}, "source"),
        ({"source": ""}, "source"),
        ({"source": 5}, "source"),
        ({"source": "digits", "nothing": 1}, "nothing"),
        ({"source": "digits", "options": []}, "options"),
        ({"source": "digits", "options": {"optim": {"lrr": 1}}}, "optim.lr"),
        ({"source": "digits", "options": {"train": {"epochs": 0}}}, "train.epochs"),
        ({"source": "digits", "options": {"train": {"epochs": "3"}}}, "train.epochs"),
        ({"source": "digits", "options": {"train": 3}}, "train"),
        ({"source": "digits", "name": "x" * 201}, "name"),
    ],
)
def test_what_cannot_be_right_is_told_and_nothing_begun(
    client: TestClient, workspace: Workspace, launched: list[str], asked: dict[str, Any], told: str
):
    answer = client.post("/api/runs", json=asked)
    assert answer.status_code == 422
    assert told in answer.json()["error"]
    assert launched == []
    assert not workspace.root.exists()


def test_what_is_no_json_is_told(client: TestClient):
    for body in (b"", b"{", b"[]", b"null", b'{"source": "digits"', b"\xff\xfe"):
        answer = client.post("/api/runs", content=body, headers={"content-type": "application/json"})
        assert answer.status_code in (400, 422)
        assert answer.json()["error"]


def test_what_a_run_can_be_made_of_is_known_without_the_clerk(client: TestClient, workspace: Workspace):
    told = client.get("/api/options").json()
    assert told["schema"] == json.loads(json.dumps(config.schema()))
    assert {"digits", "shapes"} <= {source["name"] for source in told["sources"] if source["kind"] == "builtin"}
    (finetune,) = (recipe for recipe in told["recipes"] if recipe["name"] == "finetune")
    assert finetune["help"] and finetune["options"]["train"]["epochs"] == 10
    assert client.app.state.parts.clerk.pid is None  # type: ignore[attr-defined]
    assert client.get("/api/models").json()["request"] == {"ask": "models"}
    assert not workspace.root.exists()


def test_a_run_that_goes_on_is_starting_until_its_process_has_said_how_it_is(client: TestClient, workspace: Workspace):
    """For everybody who looks: the run's own row is as it was."""
    run = make_run(workspace, status="failed")
    runs.update_run(workspace.database, run.id, message="It broke.")
    assert client.get("/api/runs").json()["runs"][0]["status"] == "failed"
    me = (os.getpid(), began_at(os.getpid()))
    jobs.claim(workspace.database, jobs.JobRow(run.id, socket.gethostname(), *me, 1, 0, time.time()), None)
    told = client.get("/api/runs").json()["runs"][0]
    assert (told["status"], told["message"], told["is_job"]) == ("created", "", True)
    assert client.get(f"/api/runs/{run.id}").json()["status"] == "created"
    runs.update_run(workspace.database, run.id, status="failed", message="Again.")  # as its process does that gives up
    told = client.get("/api/runs").json()["runs"][0]
    assert (told["status"], told["message"]) == ("failed", "Again.")


def test_stop_and_resume_of_runs_that_are_not_so(client: TestClient, workspace: Workspace, launched: list[str]):
    finished, interrupted = make_run(workspace), make_run(workspace, status="interrupted")
    for run, what in ((finished, "stop"), (interrupted, "stop"), (finished, "resume")):
        answer = client.post(f"/api/runs/{run.id}/{what}")
        assert answer.status_code == 409
        assert run.id in answer.json()["error"]
    assert client.post(f"/api/runs/{interrupted.id}/resume").status_code == 202
    assert launched == [interrupted.id]
    with workspace.lock_run(interrupted.id):
        assert client.post(f"/api/runs/{interrupted.id}/resume").status_code == 409


def test_the_log_of_a_job(client: TestClient, workspace: Workspace):
    run = make_run(workspace)
    answer = client.get(f"/api/jobs/{run.id}/log")
    assert answer.status_code == 404
    assert "no log" in answer.json()["error"]
    (workspace.run_folder(run.id) / "train.log").write_text("from a terminal\n")
    assert client.get(f"/api/jobs/{run.id}/log").json()["text"] == "from a terminal"
    lines = [f"line {i} <b>" for i in range(300)]
    (workspace.run_folder(run.id) / "job.log").write_text("\n".join(lines) + "\n")
    assert client.get(f"/api/jobs/{run.id}/log").json() == {"text": "\n".join(lines[-200:]), "status": "finished"}


def test_fault_77_a_job_that_died_is_failed_in_the_next_list(client: TestClient, workspace: Workspace):
    """Whoever asks first sees it; here the job's number belongs to another process by now."""
    run = make_run(workspace, status="running")
    (workspace.run_folder(run.id) / "job.log").write_text("epoch 1\nKilled\n")
    (workspace.run_folder(run.id) / "run.lock").touch()
    job = jobs.JobRow(run.id, socket.gethostname(), os.getpid(), 0.0, 0, 0, time.time())
    jobs.claim(workspace.database, job, None)
    (told,) = client.get("/api/runs").json()["runs"]
    assert (told["status"], told["is_job"]) == ("failed", True)
    assert told["message"].endswith("The end of its log: epoch 1 | Killed")
    assert client.post(f"/api/runs/{run.id}/resume").status_code == 202


def dead_job(workspace: Workspace) -> str:
    run = make_run(workspace, status="running")
    (workspace.run_folder(run.id) / "run.lock").touch()
    jobs.claim(workspace.database, jobs.JobRow(run.id, socket.gethostname(), os.getpid(), 0.5, 0, 0, time.time()), None)
    return run.id


def test_a_job_whose_end_cannot_be_written_down_does_not_close_the_dashboard(
    client: TestClient, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    from vitscope.errors import WorkFailed
    from vitscope.storage.database import Database

    run_id = dead_job(workspace)

    def full(_: Database) -> None:
        raise WorkFailed("the database cannot grow: the disk is full.")

    with monkeypatch.context() as broken:
        broken.setattr(Database, "writing", full)
        for path in ("/api/runs", f"/api/runs/{run_id}", f"/api/runs/{run_id}/inside/layers", "/api/runs"):
            assert client.get(path).status_code == 200, path
        assert client.get("/api/runs").json()["runs"][0]["status"] == "interrupted"
    assert caplog.text.count("the disk is full") == 1  # told once
    assert client.get("/api/runs").json()["runs"][0]["status"] == "failed"


def test_who_only_looks_writes_nothing_down(workspace: Workspace):
    run_id = dead_job(workspace)
    with asking(workspace, read_only=True) as client:
        before = dump(workspace)
        assert client.get("/api/runs").json()["runs"][0]["status"] == "interrupted"
        assert client.get(f"/api/runs/{run_id}").json()["status"] == "interrupted"
        time.sleep(0.3)
        assert dump(workspace) == before


def dump(workspace: Workspace) -> list[str]:
    import sqlite3

    with sqlite3.connect(workspace.root / "vitscope.db") as plain:
        return list(plain.iterdump())


def test_fault_76_a_job_outlives_the_server_and_is_found_by_the_next(
    workspace: Workspace, pictures: Path, tiny: dict[str, Any]
):
    """All of it real: a job started over HTTP, the server stopped, another one that finds, shows and stops it."""
    import httpx2

    def client_of(server: Any) -> httpx2.Client:
        return httpx2.Client(base_url=server.root, headers=BEARER, timeout=60)

    long = {"epochs": 4000, "attention": "fused", "compile": "off"}  # else it measures first
    options = {**tiny, "train": {**tiny["train"], **long}}
    with serve(workspace) as first, client_of(first) as client:
        answer = client.post("/api/runs", json={"source": str(pictures), "options": options, "name": "long"})
        assert answer.status_code == 201, answer.text
        run_id = answer.json()["id"]
        wait_until(lambda: client.get(f"/api/runs/{run_id}").json()["status"] == "running", 120)
        assert client.delete(f"/api/runs/{run_id}").status_code == 409
        wait_until(lambda: client.get(f"/api/runs/{run_id}/series").json()["series"], 60)
    job = jobs.get(workspace.database, run_id)
    assert job is not None
    assert psutil.Process(job.pid).is_running()
    with serve(workspace) as second, client_of(second) as client:
        (told,) = client.get("/api/runs").json()["runs"]
        assert (told["id"], told["status"], told["is_job"], told["name"]) == (run_id, "running", True, "long")
        assert "epoch" in client.get(f"/api/jobs/{run_id}/log").json()["text"]
        assert client.post(f"/api/runs/{run_id}/stop").status_code == 202
        wait_until(lambda: client.get(f"/api/runs/{run_id}").json()["status"] == "interrupted", 60)
        assert client.get(f"/api/runs/{run_id}").json()["resume"].endswith(run_id)
    os.kill(job.pid, signal.SIGKILL) if job_work.is_alive(job) else None
