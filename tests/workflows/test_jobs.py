"""Jobs: real processes that train tiny models; and what whoever looks makes of those that died."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from vitscope.config import merge
from vitscope.errors import Conflict, RequestError, WorkFailed
from vitscope.metrics import query
from vitscope.storage import jobs as rows
from vitscope.storage import runs
from vitscope.storage.workspace import Workspace
from vitscope.workflows import jobs
from vitscope.workflows.processes import began_at
from vitscope.workflows.stop import signal_name

LONG = {"train": {"epochs": 4000, "attention": "fused", "compile": "off"}}  # else it measures first


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "ws")


def wait_until(is_so: Callable[[], object], timeout_s: float = 120) -> None:
    deadline = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.05)


def start(workspace: Workspace, pictures: Path, *layers: dict) -> str:
    return jobs.start(jobs.prepare(str(pictures), options=merge(*layers)), workspace)


def job_of(workspace: Workspace, run_id: str) -> rows.JobRow:
    job = rows.get(workspace.database, run_id)
    assert job is not None
    return job


def row_of(workspace: Workspace, run_id: str) -> runs.RunRow:
    return runs.get_run(workspace.database, run_id)


def is_training(workspace: Workspace, run_id: str) -> bool:
    return row_of(workspace, run_id).status == "running" and len(query.frame(workspace.database, run_id)) > 0


def test_a_job_trains_in_a_process_of_its_own(workspace: Workspace, pictures: Path, tiny: dict):
    run_id = start(workspace, pictures, tiny, {"name": "花 job"})
    job = job_of(workspace, run_id)
    process = psutil.Process(job.pid)
    assert process.ppid() == os.getpid()
    assert os.getsid(job.pid) == job.pid  # Ctrl-C here does not reach it
    with pytest.raises(Conflict):
        jobs.resume(workspace, run_id)
    wait_until(lambda: job_of(workspace, run_id).ended_at is not None)
    row = row_of(workspace, run_id)
    assert (row.name, row.status, row.step, row.message) == ("花 job", "finished", 6, "")
    said = jobs.log(workspace, run_id)
    assert said is not None
    assert "epoch 2/2" in said
    assert jobs.settle(workspace) == []
    with pytest.raises(Conflict, match="is finished"):
        jobs.resume(workspace, run_id)
    with pytest.raises(Conflict, match="not being trained"):
        jobs.stop(workspace, run_id)


def test_fault_77_a_killed_job_is_failed_with_the_end_of_its_log_and_goes_on(
    workspace: Workspace, pictures: Path, tiny: dict
):
    run_id = start(workspace, pictures, tiny, LONG, {"checkpoint": {"every_steps": 5}})
    wait_until(lambda: is_training(workspace, run_id) and "epoch 2/" in (jobs.log(workspace, run_id) or ""))
    first = job_of(workspace, run_id)
    os.kill(first.pid, signal.SIGKILL)
    wait_until(lambda: job_of(workspace, run_id).ended_at is not None)
    row = row_of(workspace, run_id)
    assert row.status == "failed"
    assert row.message.startswith("Its process was killed (SIGKILL). The end of its log: ")
    assert "epoch 2/4000" in (jobs.log(workspace, run_id) or "")
    assert " | epoch " in row.message
    (attempt,) = runs.list_attempts(workspace.database, run_id)
    assert (attempt.status, attempt.pid) == ("failed", first.pid)

    jobs.resume(workspace, run_id)  # still resumable, and stopped this time
    wait_until(lambda: len(runs.list_attempts(workspace.database, run_id)) == 2)
    wait_until(
        lambda: "epoch" in (workspace.run_folder(run_id) / jobs.LOG).read_text()[job_of(workspace, run_id).log_offset :]
    )
    assert row_of(workspace, run_id).message == ""
    jobs.stop(Workspace(workspace.root), run_id)
    wait_until(lambda: job_of(workspace, run_id).ended_at is not None)
    assert row_of(workspace, run_id).status == "interrupted"
    assert runs.list_attempts(workspace.database, run_id)[1].from_step > 0


def test_fault_76_jobs_go_on_without_their_parent_and_are_found_again(workspace: Workspace, pictures: Path, tiny: dict):
    """The process that starts the job (a dashboard) dies; another finds it, sees it killed, and marks it."""
    code = (
        "import os, sys, json\nfrom vitscope.workflows import jobs\nfrom vitscope.storage.workspace import Workspace\n"
        "options = json.loads(sys.argv[3])\n"
        "print(jobs.start(jobs.prepare(sys.argv[2], options=options), Workspace(sys.argv[1])), flush=True)\n"
        "os.kill(os.getpid(), 9)"
    )
    import json

    options = json.dumps(merge(tiny, LONG))
    starter = subprocess.run(
        [sys.executable, "-c", code, str(workspace.root), str(pictures), options], capture_output=True, text=True
    )
    assert starter.returncode == -signal.SIGKILL, starter.stderr
    run_id = starter.stdout.strip()
    job = job_of(workspace, run_id)
    assert jobs.settle(workspace) == []
    wait_until(lambda: is_training(workspace, run_id))
    assert workspace.live_status(row_of(workspace, run_id)) == "running"
    assert jobs.settle(workspace) == []
    os.kill(job.pid, signal.SIGKILL)
    wait_until(lambda: not jobs.is_alive(job))
    wait_until(lambda: jobs.settle(workspace) == [run_id])
    row = row_of(workspace, run_id)
    assert row.status == "failed"
    assert row.message.startswith("Its process ended without a word. The end of its log: ")


def test_a_request_that_turns_out_wrong_is_kept_and_says_why(workspace: Workspace, tmp_path: Path, tiny: dict):
    (tmp_path / "empty").mkdir()
    run_id = start(workspace, tmp_path / "empty", tiny)
    wait_until(lambda: job_of(workspace, run_id).ended_at is not None)
    row = row_of(workspace, run_id)
    assert row.status == "failed"
    assert str(tmp_path / "empty") in row.message
    assert "log" not in row.message
    assert (workspace.run_folder(run_id) / "requested.yaml").exists()


# ---------------------------------------------------------------------------------------------- what is checked first


def test_wrong_options_are_told_before_anything_is_done(workspace: Workspace):
    for options, told in {
        "optim": {"lrr": 1.0},
        "train": {"epochs": 0},
        "nothing": 5,
    }.items():
        with pytest.raises(RequestError):
            jobs.prepare("digits", options={options: told})
    with pytest.raises(RequestError, match=r"train\.epochs"):
        jobs.prepare("digits", options={"train": {"epochs": "3"}})
    assert not workspace.root.exists()


def test_names_are_checked_without_the_pictures(workspace: Workspace):
    for wrong, told in (
        ({"recipe": "scrach"}, "scratch"),
        ({"options": {"model": {"name": "vit_tny_patch16_224"}}}, "vit_tiny_patch16_224"),
        ({"options": {"model": {"init": "nothing"}}}, "nothing"),
        ({"source": "digts"}, "digits"),
    ):
        requested = jobs.prepare(**{"source": "digits", **wrong})  # type: ignore[arg-type]
        with pytest.raises(RequestError, match=told):
            jobs.check(requested, workspace)
    jobs.check(jobs.prepare("digits", recipe="digits", name="fine"), workspace)


# ---------------------------------------------------------------------------------------------- who is whose


def made_up(workspace: Workspace, **changes: object) -> rows.JobRow:
    """A job whose process is this one, of a run that nobody trains."""
    run = runs.create_run(workspace.database, name="r", source="s", model="m")
    workspace.run_folder(run.id).mkdir(parents=True)
    me = psutil.Process()
    job = rows.JobRow(run.id, socket.gethostname(), me.pid, me.create_time(), 0, 0, time.time())
    job = replace(job, **changes)  # type: ignore[arg-type]
    assert rows.claim(workspace.database, job, None)
    return job


def gone() -> dict[str, object]:
    return {"process_started_at": psutil.Process().create_time() - 1000}  # this pid, but of an earlier process


def test_a_number_that_was_given_to_another_process_is_not_the_job(workspace: Workspace):
    assert jobs.is_alive(made_up(workspace))
    assert not jobs.is_alive(made_up(workspace, **gone()))
    assert not jobs.is_alive(made_up(workspace, pid=2**22 + 1))


def test_a_job_of_another_machine_is_left_alone(workspace: Workspace):
    job = made_up(workspace, host="elsewhere", **gone())
    assert jobs.settle(workspace) == []
    assert job_of(workspace, job.run_id).ended_at is None


def test_a_job_that_never_began_is_failed_or_where_asked_for_stopped(workspace: Workspace):
    plain, stopped = made_up(workspace, **gone()), made_up(workspace, stop_requested_at=time.time(), **gone())
    (workspace.run_folder(plain.run_id) / jobs.LOG).write_text("old\nlines\n")
    silent = made_up(workspace, **gone())
    assert sorted(jobs.settle(workspace)) == sorted([plain.run_id, stopped.run_id, silent.run_id])
    row = row_of(workspace, plain.run_id)
    assert (row.status, row.message) == ("failed", "Its process ended without a word. The end of its log: old | lines")
    assert row_of(workspace, silent.run_id).message == "Its process ended without a word; its log is empty."
    assert row_of(workspace, stopped.run_id).status == "interrupted"
    assert jobs.settle(workspace) == []


def test_only_the_lines_of_the_job_itself_are_its_log(workspace: Workspace):
    job = made_up(workspace, log_offset=len("of the job before\n"), **gone())
    (workspace.run_folder(job.run_id) / jobs.LOG).write_text("of the job before\nits own\n")
    jobs.settle(workspace)
    assert row_of(workspace, job.run_id).message.endswith("log: its own")
    assert jobs.log(workspace, job.run_id) == "of the job before\nits own"
    assert jobs.log(workspace, job.run_id, lines=1) == "its own"
    assert jobs.log(workspace, "nothere2") is None


def test_a_run_that_somebody_else_went_on_with_is_not_the_jobs_to_mark(workspace: Workspace):
    """A terminal resumed the run after its job had ended, and was killed: interrupted, as ever."""
    job = made_up(workspace, pid=2**22 + 1)
    runs.begin_attempt(workspace.database, job.run_id, 0)  # by this process
    assert jobs.settle(workspace) == [job.run_id]
    row = row_of(workspace, job.run_id)
    (workspace.run_folder(job.run_id) / "run.lock").touch()
    assert (row.status, workspace.live_status(row)) == ("running", "interrupted")


def test_what_the_job_said_itself_stays(workspace: Workspace):
    job = made_up(workspace)
    attempt = runs.begin_attempt(workspace.database, job.run_id, 0)
    runs.end_attempt(workspace.database, job.run_id, attempt, "failed", "The loss became NaN.")
    with workspace.database.writing() as connection:
        connection.exec_driver_sql("UPDATE vs_jobs SET process_started_at = 0")
    assert jobs.settle(workspace) == [job.run_id]
    assert row_of(workspace, job.run_id).message == "The loss became NaN."


def test_a_job_that_is_at_work_though_nobody_wrote_down_its_number_is_left(workspace: Workspace):
    job = made_up(workspace, **gone())
    with workspace.lock_run(job.run_id):
        assert jobs.settle(workspace) == []
    assert jobs.settle(workspace) == [job.run_id]


def test_two_who_start_at_once_start_once(workspace: Workspace):
    job = made_up(workspace)
    later = replace(job, started_at=job.started_at + 1)
    assert rows.claim(workspace.database, later, instead_of=job)
    assert not rows.claim(workspace.database, replace(job, started_at=5.0), instead_of=job)
    with pytest.raises(Conflict, match="given to a process already"):
        jobs.resume(workspace, job.run_id)


def test_a_run_is_stopped_only_where_its_process_is(workspace: Workspace, monkeypatch: pytest.MonkeyPatch):
    killed: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: killed.append((pid, number)))
    run = runs.create_run(workspace.database, name="r", source="s", model="m")
    runs.begin_attempt(workspace.database, run.id, 0)
    with pytest.raises(Conflict, match="not being trained"):
        jobs.stop(workspace, run.id)
    with workspace.lock_run(run.id):
        monkeypatch.setattr(socket, "gethostname", lambda: "elsewhere")
        with pytest.raises(Conflict, match="stop it there"):
            jobs.stop(workspace, run.id)
        monkeypatch.undo()
        monkeypatch.setattr(os, "kill", lambda pid, number: killed.append((pid, number)))
        (workspace.run_folder(run.id) / "run.lock").write_text("1\n")  # not the one that the attempt is of
        with pytest.raises(Conflict, match="just beginning"):
            jobs.stop(workspace, run.id)
        assert killed == []
        (workspace.run_folder(run.id) / "run.lock").write_text(f"{os.getpid()}\n")
        jobs.stop(workspace, run.id)
    assert killed == [(os.getpid(), signal.SIGTERM)]


def test_a_process_that_cannot_be_started_is_told(workspace: Workspace, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(Exception, match="could not be started"):
        jobs.start(jobs.prepare("digits"), workspace)
    (row,) = runs.list_runs(workspace.database)
    assert row.status == "failed"
    assert "could not be started" in row.message


def test_a_password_is_not_on_the_command_line(workspace: Workspace, monkeypatch: pytest.MonkeyPatch):
    seen: dict[str, object] = {}

    def spy(command: list[str], **more: object):
        seen.update(command=command, env=more["env"])
        raise OSError("enough")

    url = f"sqlite:///{workspace.root}/team.db"
    workspace.root.mkdir()
    monkeypatch.setattr(subprocess, "Popen", spy)
    with pytest.raises(Exception, match="enough"):
        jobs.start(jobs.prepare("digits"), Workspace(workspace.root, url))
    assert url not in " ".join(seen["command"])  # type: ignore[arg-type]
    assert seen["env"]["VITSCOPE_DATABASE"] == url  # type: ignore[index]


# ---------------------------------------------------------------------------------------------- clocks, stops


def test_a_clock_that_is_set_makes_no_job_a_dead_one(workspace: Workspace, monkeypatch: pytest.MonkeyPatch):
    job = made_up(workspace, process_started_at=began_at(os.getpid()))
    real = psutil.Process.create_time
    monkeypatch.setattr(psutil.Process, "create_time", lambda self: real(self) + 3600)
    assert jobs.is_alive(job)
    assert jobs.settle(workspace) == []
    assert not jobs.is_alive(replace(job, process_started_at=job.process_started_at - 0.02))  # two ticks: another one


def test_fault_47_a_run_that_somebody_trains_is_never_marked_failed(workspace: Workspace):
    """Whatever is thought of its process."""
    job = made_up(workspace, **gone())
    with workspace.lock_run(job.run_id):
        runs.begin_attempt(workspace.database, job.run_id, 0)
        assert jobs.settle(workspace) == []
        row = row_of(workspace, job.run_id)
        assert (workspace.live_status(row), row.message) == ("running", "")
    assert jobs.settle(workspace) == [job.run_id]
    assert row_of(workspace, job.run_id).status == "failed"


def test_a_job_that_is_just_being_started_is_not_stopped_by_stopping_who_starts_it(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
):
    signals: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: signals.append(number))
    waiting, go_on = threading.Event(), threading.Event()
    real = rows.started

    def slow(*arguments: Any) -> rows.JobRow:  # the database keeps it waiting
        waiting.set()
        go_on.wait(30)
        return real(*arguments)

    monkeypatch.setattr(rows, "started", slow)
    monkeypatch.setattr(jobs, "_spawn", lambda *_: subprocess.Popen(["sleep", "100"]))
    run = runs.create_run(workspace.database, name="r", source="s", model="m")
    starter = threading.Thread(target=jobs._launch, args=(run.id, workspace))
    starter.start()
    try:
        assert waiting.wait(30)
        for seen_by in (workspace, Workspace(workspace.root)):
            with pytest.raises(Conflict, match="just beginning"):
                jobs.stop(seen_by, run.id)
        with pytest.raises(Conflict, match="given to a process already"):
            jobs.resume(workspace, run.id)
        assert jobs.settle(workspace) == []
        go_on.set()
        starter.join(30)
        assert signals == []
        jobs.stop(workspace, run.id)
        wait_until(lambda: job_of(workspace, run.id).ended_at is not None, 30)
    finally:
        go_on.set()
        signal.signal(signal.SIGTERM, before)
    assert row_of(workspace, run.id).status == "interrupted"


@pytest.mark.parametrize("is_away", [False, True])
def test_a_process_that_cannot_be_written_down_is_ended_and_the_run_free_again(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, is_away: bool
):
    """Also where the database stays away: then nobody can say so, and yet nobody holds the run."""
    children: list[subprocess.Popen[bytes]] = []

    def locked(*_: object) -> bool:
        raise WorkFailed("The database is locked.")

    def spawn(*_: object) -> subprocess.Popen[bytes]:
        children.append(subprocess.Popen(["sleep", "100"]))
        return children[0]

    run = runs.create_run(workspace.database, name="r", source="s", model="m")
    with monkeypatch.context() as broken:
        broken.setattr(jobs, "_spawn", spawn)
        broken.setattr(rows, "started", locked)
        if is_away:
            broken.setattr(rows, "mark_ended", locked)
        with pytest.raises(WorkFailed, match=r"could not be started: The database is locked\.$"):
            jobs.resume(workspace, run.id)
    assert children[0].returncode == -signal.SIGKILL
    jobs.settle(workspace)
    assert row_of(workspace, run.id).status == "failed"
    launched: list[object] = []
    monkeypatch.setattr(jobs, "_begin", lambda *_: launched.append(_) or subprocess.Popen(["true"]))
    jobs.resume(workspace, run.id)
    assert launched


HANGS = """
import signal, sys, time
from vitscope.workflows.stop import StopSignals
with StopSignals() as stop:
    stop.is_graceful = True
    if sys.argv[1] == "deaf":
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    print("up", flush=True)
    while True:
        time.sleep(0.05)
"""


@pytest.mark.parametrize(("kind", "stops"), [("hangs", 2), ("deaf", 3)])
def test_a_step_that_never_ends_is_ended_by_who_asks_again(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, kind: str, stops: int
):
    child = subprocess.Popen([sys.executable, "-c", HANGS, kind], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert child.stdout is not None
        child.stdout.readline()
        job = made_up(workspace, pid=child.pid, process_started_at=began_at(child.pid))
        for _ in range(3):  # in a hurry: asking is all that is done
            jobs.stop(workspace, job.run_id)
        time.sleep(0.5)
        assert child.poll() is None
        monkeypatch.setattr(jobs, "STOP_S", 0.3)
        for _ in range(stops - 1):
            assert child.poll() is None
            jobs.stop(workspace, job.run_id)
            time.sleep(1)
        assert child.wait(10) in (1, -signal.SIGINT) if kind == "hangs" else child.wait(10) == -signal.SIGKILL
    finally:
        child.kill()
        child.wait()
    assert jobs.settle(workspace) == [job.run_id]
    assert row_of(workspace, job.run_id).status == "interrupted"
    assert job_of(workspace, job.run_id).stop_requested_at is not None


def test_a_dashboard_that_was_started_anew_knows_that_it_was_asked_before(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
):
    sent: list[int] = []
    monkeypatch.setattr(os, "kill", lambda _, number: sent.append(number))
    monkeypatch.setattr(jobs, "_asked", {})
    me = {"pid": os.getppid(), "process_started_at": began_at(os.getppid())}
    early, late = (made_up(workspace, stop_requested_at=time.time() - s, **me) for s in (1, 3600))
    jobs.stop(workspace, early.run_id)
    jobs._asked.clear()
    jobs.stop(workspace, late.run_id)
    assert sent == [signal.SIGTERM, signal.SIGINT]


def test_a_signal_without_a_name_has_its_number(workspace: Workspace, monkeypatch: pytest.MonkeyPatch):
    job = made_up(workspace, **gone())
    monkeypatch.setitem(jobs._exit_codes, job.pid, -40)
    assert jobs.settle(workspace) == [job.run_id]
    assert "was killed (signal 40)" in row_of(workspace, job.run_id).message
    assert (signal_name(9), signal_name(40)) == ("SIGKILL", "signal 40")
