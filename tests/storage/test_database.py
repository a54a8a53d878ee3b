from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from sqlalchemy import text

from vitscope.errors import RequestError, ViTScopeError, WorkFailed
from vitscope.storage import runs
from vitscope.storage.database import Database


def content(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir()) if p.is_file()}


def make_run(database: Database) -> runs.RunRow:
    return runs.create_run(database, name="r", source="s", model="m")


def refused(file: Path) -> str:
    """The text with which opening the file is refused, nothing in its folder having changed."""
    before = content(file.parent)
    with pytest.raises(ViTScopeError) as caught:
        Database.at(file, busy_timeout_s=0.1)
    assert content(file.parent) == before
    assert "\n" not in str(caught.value)
    assert str(file) in str(caught.value)
    return f"{type(caught.value).__name__}: {caught.value}"


def test_commits_are_on_the_disk_and_keys_are_checked(tmp_path: Path):
    with Database.at(tmp_path / "v.db").reading() as connection:
        names = ("journal_mode", "synchronous", "foreign_keys")
        pragma = {name: connection.execute(text(f"PRAGMA {name}")).scalar() for name in names}
        assert pragma == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}  # 2: FULL
        assert connection.execute(text("PRAGMA busy_timeout")).scalar() == 30_000


def test_exception_undoes_the_transaction(tmp_path: Path):
    database = Database.at(tmp_path / "v.db")
    run = make_run(database)
    with pytest.raises(ZeroDivisionError), database.writing() as connection:
        connection.execute(text("DELETE FROM vs_runs"))
        _ = 1 / 0
    assert runs.list_runs(database) == [run]


def test_reading_sees_one_state_throughout(tmp_path: Path):
    database = Database.at(tmp_path / "v.db")
    count = text("SELECT count(*) FROM vs_runs")
    with database.reading() as connection:
        assert connection.execute(count).scalar() == 0
        make_run(database)
        assert connection.execute(count).scalar() == 0
    with database.reading() as connection:
        assert connection.execute(count).scalar() == 1


def test_writer_that_reads_first_waits_for_its_turn(tmp_path: Path):
    database = Database.at(tmp_path / "v.db")
    with database.writing() as connection:
        connection.execute(text("SELECT count(*) FROM vs_runs")).scalar()
        with pytest.raises(WorkFailed, match="locked"):
            make_run(Database.at(tmp_path / "v.db", busy_timeout_s=0.1))  # else the next line could not be committed
        connection.execute(text("DELETE FROM vs_runs"))


def test_up_to_date_database_is_opened_without_alembic(tmp_path: Path):
    Database.at(tmp_path / "v.db").close()
    code = "import sys; from pathlib import Path; from vitscope.storage.database import Database\n"
    code += "Database.at(Path(sys.argv[1])); print('alembic' in sys.modules, 'pandas' in sys.modules)"
    command = [sys.executable, "-c", code, str(tmp_path / "v.db")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "False False\n"


def test_processes_opening_a_fresh_workspace_at_once_all_succeed(tmp_path: Path):
    code = """
import sys, time
from pathlib import Path
import vitscope.storage.migrations
from vitscope.storage import runs
from vitscope.storage.workspace import Workspace
root = Path(sys.argv[1])
print("ready", flush=True)
while not (root.parent / "go").exists():
    time.sleep(0.001)
runs.create_run(Workspace(root).database, name=sys.argv[2], source="s", model="m")
"""
    command = [sys.executable, "-c", code, str(tmp_path / "fresh")]
    processes = [subprocess.Popen([*command, str(i)], stdout=subprocess.PIPE, text=True) for i in range(4)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    (tmp_path / "go").touch()
    for process in processes:
        process.communicate(timeout=60)
    assert [process.returncode for process in processes] == [0] * 4
    stored = Database.at(tmp_path / "fresh" / "vitscope.db")
    assert {run.name for run in runs.list_runs(stored)} == {"0", "1", "2", "3"}


def test_forked_child_writes_by_a_connection_of_its_own(tmp_path: Path):
    database = Database.at(tmp_path / "v.db")
    first = make_run(database)
    child = os.fork()
    if child == 0:
        try:
            make_run(database)
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    second = make_run(database)
    found = runs.list_runs(database)
    assert len(found) == 3
    assert found[0] == second
    assert found[2] == first
    with sqlite3.connect(tmp_path / "v.db") as plain:
        assert plain.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


# ---------------------------------------------------------------------------------------------- FAULTS 53


def test_fault_53_newer_version_is_told_and_untouched(tmp_path: Path):
    Database.at(tmp_path / "v.db").close()
    plain = sqlite3.connect(tmp_path / "v.db", isolation_level=None)
    plain.execute("UPDATE vs_alembic_version SET version_num = '0917'")
    plain.close()
    told = refused(tmp_path / "v.db")
    assert told.startswith("RequestError")
    assert "0917" in told
    assert "Update vitscope" in told


@pytest.mark.parametrize("bytes_", [b"\x89PNG\r\n" + b"x" * 5000, b"SQLite format 3\0" + b"\xff" * 5000, b"hello"])
def test_fault_53_not_a_database_is_told_and_untouched(tmp_path: Path, bytes_: bytes):
    (tmp_path / "v.db").write_bytes(bytes_)
    assert "left as it is" in refused(tmp_path / "v.db")


def test_fault_53_folder_in_its_place_is_told(tmp_path: Path):
    (tmp_path / "v.db").mkdir()
    assert "cannot be opened" in refused(tmp_path / "v.db")


def test_fault_53_missing_folder_is_told(tmp_path: Path):
    with pytest.raises(RequestError, match="Its folder must exist"):
        Database(f"sqlite:///{tmp_path}/nowhere/v.db")


def test_fault_53_locked_is_told_and_untouched(tmp_path: Path):
    database = Database.at(tmp_path / "v.db", busy_timeout_s=0.1)
    run = make_run(database)
    other = sqlite3.connect(tmp_path / "v.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(WorkFailed, match=r"v\.db: the database is locked by another process"):
        make_run(database)
    assert runs.list_runs(database) == [run]  # reading goes on beside the one that writes
    other.execute("COMMIT")
    make_run(database)


def test_fault_53_locked_while_opened_is_told(tmp_path: Path):
    other = sqlite3.connect(tmp_path / "v.db", isolation_level=None)
    other.execute("CREATE TABLE something (x)")
    other.execute("BEGIN EXCLUSIVE")
    assert refused(tmp_path / "v.db").startswith("WorkFailed")


READ_ONLY = """
import os, sys
from pathlib import Path
from vitscope.storage.workspace import Workspace
from vitscope.storage import runs
from vitscope.errors import ViTScopeError
root = Path(sys.argv[1])
run = lambda w: runs.create_run(w.database, name="r", source="s", model="m")
run(Workspace(root / "other"))  # everything is imported now
if os.getuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
workspace = Workspace(root / "store")
try:
    print(len(runs.list_runs(workspace.database)))
except ViTScopeError as error:
    print(type(error).__name__, error)
try:
    run(workspace)
except ViTScopeError as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize("is_folder_read_only", [False, True])
def test_fault_53_read_only_is_told_and_untouched(is_folder_read_only: bool):
    folder = Path(tempfile.mkdtemp())  # tmp_path lies in folders that only their owner may enter
    try:
        store = folder / "store"
        store.mkdir()
        database = Database.at(store / "vitscope.db")
        make_run(database)
        database.close()
        (store / "vitscope.db").chmod(0o444)
        store.chmod(0o555 if is_folder_read_only else 0o777)
        folder.chmod(0o777)
        before = (store / "vitscope.db").read_bytes()
        command = [sys.executable, "-c", READ_ONLY, str(folder)]
        lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
        assert len(lines) == 2
        assert lines[1].startswith("RequestError")
        assert "vitscope.db: the database" in lines[1]
        assert "writable" in lines[1]
        assert (store / "vitscope.db").read_bytes() == before
    finally:
        shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("runs.db", "not a URL"),
        ("mysql://me:secret@host/db", "'mysql' is not supported"),
        ("sqlite://", "lost with the process"),
        ("sqlite:///:memory:", "lost with the process"),
    ],
)
def test_other_urls_are_refused(url: str, told: str):
    with pytest.raises(RequestError, match=told) as caught:
        Database(url)
    assert "secret" not in str(caught.value)


def test_waiting_for_a_lock_ends_when_it_is_released(tmp_path: Path):
    database = Database.at(tmp_path / "v.db")
    code = "import sqlite3, sys, time; c = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
    code += "c.execute('BEGIN IMMEDIATE'); print('locked', flush=True); time.sleep(0.5)"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "v.db")], stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        begun = time.monotonic()
        make_run(database)
        assert time.monotonic() - begun > 0.2


def test_changes_are_told_once_whoever_made_them(tmp_path: Path):
    from vitscope.storage.changes import Changes

    database = Database.at(tmp_path / "v.db")
    changes = Changes(database)
    assert changes.seen()
    assert not changes.seen()
    with database.writing() as connection:
        connection.exec_driver_sql("UPDATE vs_runs SET step = 1")
    assert not changes.seen()  # nothing was written
    for writer in (database, Database.at(tmp_path / "v.db")):
        runs.create_run(writer, name="r", source="s", model="m")
        assert changes.seen()
        assert not changes.seen()
    with sqlite3.connect(tmp_path / "v.db") as plain:
        plain.execute("UPDATE vs_runs SET step = 5")
    assert changes.seen()
    changes.close()


def test_changes_that_cannot_be_asked_for_are_told_in_words_and_can_be_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from sqlalchemy import Engine
    from sqlalchemy.exc import OperationalError

    from vitscope.storage.changes import Changes

    database = Database.at(tmp_path / "v.db")

    def broken(*_: object) -> None:
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorname = "SQLITE_IOERR"
        raise OperationalError("SELECT 1", {}, error)

    changes = Changes(database)
    with monkeypatch.context() as gone:
        gone.setattr(Engine, "connect", broken)
        with pytest.raises(WorkFailed, match="the disk reports an error"):
            changes.seen()
    assert changes.seen()
    changes.close()
    changes.close()
