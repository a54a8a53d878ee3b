"""A workspace on a file system that other machines share: no write-ahead log there, told (fault 55)."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.namespaces import in_namespace
from vitscope.storage import network, runs
from vitscope.storage.workspace import Workspace

LOCAL = "24 1 259:1 / / rw,relatime shared:1 - ext4 /dev/root rw"

SCRIPT = """
import json, sys
from pathlib import Path
from vitscope.storage import runs
from vitscope.storage.workspace import Workspace
place = Path(sys.argv[1])
for name in sys.argv[2:]:
    workspace = Workspace(place)
    runs.create_run(workspace.database, name=name, source="s", model="m")
    workspace.database.close()
print(json.dumps([run.name for run in runs.list_runs(Workspace(place).database)]))
print(json.dumps(sorted(file.name for file in place.iterdir() if file.is_file())))
"""


def journal(workspace: Path) -> str:
    with closing(sqlite3.connect(workspace / "vitscope.db")) as plain:
        return plain.execute("PRAGMA journal_mode").fetchone()[0]


def on_nfs(place: Path, table: Path, *names: str) -> subprocess.CompletedProcess[str]:
    """Runs made there by a process whose table of mounts says that it is NFS (there is no server here to mount)."""
    table.write_text(f"{LOCAL}\n36 24 0:52 / {place} rw,relatime shared:2 - nfs4 nas:/share rw,vers=4.2\n")
    command = [sys.executable, "-c", SCRIPT, str(place), *names]
    return in_namespace(f'mount --bind "{table}" /proc/$$/mountinfo', command)


def test_fault_55_on_a_network_file_system_there_is_no_write_ahead_log_and_that_is_told(tmp_path: Path) -> None:
    place = tmp_path / "share"
    place.mkdir()
    done = on_nfs(place, tmp_path / "mounts", "one", "two")
    assert done.returncode == 0, done.stderr
    there, files = map(json.loads, done.stdout.splitlines())
    assert there == ["two", "one"]
    assert [name for name in files if "-wal" in name or "-shm" in name] == []
    assert journal(place) == "delete"
    (told,) = [line for line in done.stderr.splitlines() if "network file system" in line]
    assert told.startswith(f"{place}/vitscope.db: lies on a network file system (nfs4)")
    assert "--database postgresql://" in told


def test_fault_55_a_workspace_moved_onto_one_and_back_keeps_its_rows(tmp_path: Path) -> None:
    here, share = tmp_path / "here", tmp_path / "share"
    workspace = Workspace(here)
    runs.create_run(workspace.database, name="before", source="s", model="m")
    workspace.database.close()
    assert journal(here) == "wal"
    shutil.move(here, share)
    done = on_nfs(share, tmp_path / "mounts", "there")
    assert done.returncode == 0, done.stderr
    assert journal(share) == "delete"
    assert "nfs4" in done.stderr
    shutil.move(share, here)
    again = Workspace(here)
    assert [run.name for run in runs.list_runs(again.database)] == ["there", "before"]
    again.database.close()
    assert journal(here) == "wal"


@pytest.mark.parametrize(
    ("mounts", "kind"),
    [
        ("36 24 0:52 / /home rw - nfs nas:/home rw", "nfs"),
        ("36 24 0:52 / /home/me/my\\040runs rw - cifs //nas/runs rw", "cifs"),
        ("36 24 0:52 / /home rw - fuse.sshfs me@far: rw", "fuse.sshfs"),
        ("36 24 0:52 / /home rw - 9p C:\\134 rw", "9p"),
        ("36 24 0:52 / /home rw - nfs nas:/home rw\n37 36 8:1 / /home/me rw - xfs /dev/sda1 rw", None),
        ("36 24 0:52 / /home rw - nfs nas:/home rw\n37 36 8:1 / /home rw - btrfs /dev/sda1 rw", None),
        ("36 24 0:52 / /homes rw - nfs nas:/home rw", None),
        ("36 24 0:52 / /home rw - fuseblk /dev/sdb1 rw", None),
        ("36 24 0:52 / /home rw master:1 propagate_from:2 - overlay overlay rw", None),
        ("36 24 0:52 / /home rw - fuse.fuse-overlayfs fuse-overlayfs rw", None),
        ("garbage\n\n36 24", None),
    ],
)
def test_by_the_kernels_table_of_mounts(
    mounts: str, kind: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(f"{LOCAL}\n{mounts}\n")
    monkeypatch.setattr(network, "MOUNTS", table)
    assert network.network_file_system(Path("/home/me/my runs")) == kind


def test_where_there_is_no_such_table_nothing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "MOUNTS", tmp_path / "none")
    assert network.network_file_system(tmp_path) is None
