from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from vitscope.errors import RequestError
from vitscope.storage import runs
from vitscope.storage.workspace import Workspace


def make_run(workspace: Workspace, name: str = "digits") -> runs.RunRow:
    return runs.create_run(workspace.database, name=name, source="digits", model="vit_tiny_patch16_224")


def test_root_is_the_argument_else_the_variable_else_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VITSCOPE_WORKSPACE", raising=False)
    assert Workspace().root == tmp_path / "vitscope-workspace"
    monkeypatch.setenv("VITSCOPE_WORKSPACE", str(tmp_path / "from-variable"))
    assert Workspace().root == tmp_path / "from-variable"
    assert Workspace(tmp_path / "given").root == tmp_path / "given"
    assert Workspace("given").run_folder("abc") == tmp_path / "given" / "runs" / "abc"


def test_importing_it_is_light():
    heavy = ("sqlalchemy", "alembic", "torch", "pandas", "pyarrow", "numpy", "filelock")
    code = f"import sys, vitscope.storage.workspace; print(*[m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split() == []


def test_looking_creates_nothing_and_writing_creates_the_folder(tmp_path: Path):
    workspace = Workspace(tmp_path / "new" / "place")
    assert workspace.existing_database is None
    with pytest.raises(RequestError, match="vitscope train"):
        workspace.find_run("latest")
    assert list(tmp_path.iterdir()) == []
    run = make_run(workspace)
    assert (workspace.root / "vitscope.db").exists()
    assert Workspace(workspace.root).find_run("latest") == run


def test_fault_53_missing_database_beside_runs_is_told(tmp_path: Path):
    (tmp_path / "runs" / "abcdefgh").mkdir(parents=True)
    for look in (lambda w: w.database, lambda w: w.existing_database, lambda w: w.find_run("latest")):
        with pytest.raises(RequestError, match=r"vitscope\.db: the database is missing"):
            look(Workspace(tmp_path))
    assert [p.name for p in tmp_path.iterdir()] == ["runs"]


def test_a_file_in_the_place_of_the_folder_is_told(tmp_path: Path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(RequestError, match="--workspace"):
        _ = Workspace(tmp_path / "file").database


def test_fault_55_moved_workspace_works(tmp_path: Path):
    workspace = Workspace(tmp_path / "before")
    run = make_run(workspace)
    workspace.database.close()
    moved = (tmp_path / "before").rename(tmp_path / "after 100%? #1 数据")  # characters that mean something in URLs
    assert Workspace(moved).find_run(run.id[:4]) == run


def test_command_names_the_workspace_where_it_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("VITSCOPE_WORKSPACE", str(tmp_path))
    assert Workspace().command("resume", "abc") == "vitscope resume abc"
    assert Workspace("my runs").command("resume", "abc") == "vitscope --workspace 'my runs' resume abc"
    team = Workspace(None, "postgresql://me:secret@host/team")
    assert "secret" not in team.command("resume", "abc")
    assert "--database" in team.command("resume", "abc")


# ---------------------------------------------------------------------------------------------- who works on a run

HOLD = """
import os, sys, time
from vitscope.storage.workspace import Workspace
with Workspace(sys.argv[1]).lock_run(sys.argv[2]):
    if "fork" in sys.argv and os.fork() == 0:
        time.sleep(60)
        os._exit(0)
    print("held", flush=True)
    time.sleep(60)
"""


def hold(workspace: Workspace, run_id: str, *words: str) -> subprocess.Popen[str]:
    """Another process that holds the run."""
    command = [sys.executable, "-c", HOLD, str(workspace.root), run_id, *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def end(process: subprocess.Popen[str]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def test_fault_46_second_process_is_refused(tmp_path: Path):
    workspace = Workspace(tmp_path)
    run = make_run(workspace)
    process = hold(workspace, run.id)
    try:
        told = rf"Run {run.id} is being trained by another process \(pid {process.pid}\)"
        with pytest.raises(RequestError, match=told), workspace.lock_run(run.id):
            pytest.fail("both hold the run")
        with workspace.lock_run("another2"):
            pass
    finally:
        end(process)
    with workspace.lock_run(run.id):
        pass


def test_status_of_a_run_whose_process_died_is_interrupted(tmp_path: Path):
    workspace = Workspace(tmp_path)
    run = make_run(workspace)
    assert workspace.live_status(run) == "created"
    process = hold(workspace, run.id)
    runs.begin_attempt(workspace.database, run.id, 0)
    running = runs.get_run(workspace.database, run.id)
    try:
        assert workspace.live_status(run) == "created"
        assert workspace.live_status(running) == "running"
    finally:
        end(process)
    assert workspace.live_status(run) == "interrupted"  # killed before it began to train
    assert workspace.live_status(running) == "interrupted"
    for status in ("finished", "failed", "interrupted"):
        runs.update_run(workspace.database, run.id, status=status)
        assert workspace.live_status(runs.get_run(workspace.database, run.id)) == status


def test_lock_is_free_although_a_forked_child_of_the_killed_process_lives_on(tmp_path: Path):
    workspace = Workspace(tmp_path)
    run = make_run(workspace)
    runs.begin_attempt(workspace.database, run.id, 0)
    row = runs.get_run(workspace.database, run.id)
    process = hold(workspace, run.id, "fork")  # as loader processes are forked while the run is held
    try:
        assert workspace.live_status(row) == "running"
        (child,) = psutil.Process(process.pid).children()
        process.kill()
        process.wait()
        assert child.is_running()
        assert child.status() != psutil.STATUS_ZOMBIE
        until = time.monotonic() + 30  # the child may just have been forked
        while workspace.live_status(row) == "running" and time.monotonic() < until:
            time.sleep(0.05)
        assert workspace.live_status(row) == "interrupted"
        with workspace.lock_run(run.id):
            assert workspace.live_status(row) == "running"
    finally:
        end(process)


def test_asking_for_the_status_does_not_disturb_one_who_takes_the_run(tmp_path: Path):
    workspace = Workspace(tmp_path)
    run = make_run(workspace)
    runs.begin_attempt(workspace.database, run.id, 0)
    row, over = runs.get_run(workspace.database, run.id), threading.Event()
    with workspace.lock_run(run.id):
        pass

    def ask() -> None:
        while not over.is_set():
            workspace.live_status(row)

    asker = threading.Thread(target=ask)
    asker.start()
    try:
        for _ in range(30):
            with workspace.lock_run(run.id):
                assert workspace.live_status(row) == "running"
    finally:
        over.set()
        asker.join()


def test_those_who_ask_are_not_taken_for_a_holder(tmp_path: Path):
    workspace = Workspace(tmp_path)
    run = make_run(workspace)
    runs.begin_attempt(workspace.database, run.id, 0)
    row = runs.get_run(workspace.database, run.id)
    with workspace.lock_run(run.id):
        pass
    told: set[str] = set()

    def ask() -> None:
        for _ in range(400):
            told.add(workspace.live_status(row))

    askers = [threading.Thread(target=ask) for _ in range(4)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert told == {"interrupted"}
