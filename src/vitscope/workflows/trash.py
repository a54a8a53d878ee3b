"""The trash: a deleted run is marked in the database and its folder moved aside, so that it can be brought back whole.

A run that is not marked has its folder in `runs/`, always: marking comes before moving, and moving back before the mark
is taken off. A process that dies in between leaves a marked run whose folder is in either place, and both ways on from
there work.
"""

from __future__ import annotations

import errno
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from vitscope.errors import RequestError, WorkFailed
from vitscope.storage import runs
from vitscope.storage.workspace import LOCK, Workspace


class Moved(NamedTuple):
    """A run that was deleted or restored; `size_bytes` is what its files take on the disk."""

    id: str
    name: str
    size_bytes: int


def delete_runs(workspace: Workspace, refs: Iterable[str], *, forever: bool = False) -> Iterator[Moved]:
    """Move runs to the trash, each as it is asked for; with `forever` erase them and their files, from the trash too.

    Raises `RequestError` for one that is not there, before any is touched, and at one that a process is training.
    """
    rows = [_find_one(workspace, ref, and_trash=forever) for ref in refs]
    return (_delete(workspace, row, forever) for row in dict.fromkeys(rows))


def restore_runs(workspace: Workspace, refs: Iterable[str]) -> Iterator[Moved]:
    """Bring runs back from the trash, each as it is asked for. Raises `RequestError` for one that is not in it."""
    rows = [_find_deleted(workspace, ref) for ref in refs]
    return (_restore(workspace, row) for row in dict.fromkeys(rows))


def size_of(folder: Path) -> int:
    """Bytes of the files below a folder, the lock aside; 0 where there is none."""
    files = (file for file in folder.rglob("*") if file.is_file() and not file.is_symlink() and file.name != LOCK)
    return sum(file.stat().st_size for file in files)


def _find_one(workspace: Workspace, ref: str, and_trash: bool) -> runs.RunRow:
    """The run that is meant. Raises `RequestError` where a name is that of several: elsewhere the newest is taken."""
    row = _find(workspace, ref, and_trash)
    namesakes = [r.id for r in runs.list_runs(workspace.database, deleted=row.deleted_at is not None) if r.name == ref]
    if row.id != ref and len(namesakes) > 1:
        raise RequestError(f"Several runs are called '{ref}' ({', '.join(namesakes)}). Give the id of the one meant.")
    return row


def _find(workspace: Workspace, ref: str, and_trash: bool) -> runs.RunRow:
    try:
        return workspace.find_run(ref)
    except RequestError:
        if and_trash and workspace.existing_database is not None:
            with suppress(RequestError):
                return _find_deleted(workspace, ref)
        raise


def _find_deleted(workspace: Workspace, ref: str) -> runs.RunRow:
    if (database := workspace.existing_database) is None:
        raise RequestError(f"There is no run '{ref}' in the trash: {workspace.root} holds no runs yet.")
    return runs.find_run(database, ref, deleted=True)


def _delete(workspace: Workspace, row: runs.RunRow, forever: bool) -> Moved:
    if row.deleted_at is None:
        _to_trash(workspace, row)
    folders = [f for f in (workspace.trashed_folder(row.id), workspace.run_folder(row.id)) if f.is_dir()]
    moved = Moved(row.id, row.name, sum(map(size_of, folders)))
    if forever:
        for folder in folders:
            _remove(folder)
        runs.remove_run(workspace.database, row.id)  # last: as long as it is listed it can be deleted again
    return moved


def _restore(workspace: Workspace, row: runs.RunRow) -> Moved:
    folder, place = workspace.trashed_folder(row.id), workspace.run_folder(row.id)
    if folder.is_dir() and not place.exists():
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            folder.rename(place)
        except OSError as error:
            if not place.is_dir():  # else another process was quicker
                raise WorkFailed(f"{folder}: could not be moved to {place} ({error.strerror}).") from None
    runs.update_run(workspace.database, row.id, deleted_at=None, updated_at=row.updated_at)
    return Moved(row.id, row.name, size_of(place))


def _to_trash(workspace: Workspace, row: runs.RunRow) -> None:
    place, folder = workspace.run_folder(row.id), workspace.trashed_folder(row.id)
    if not place.is_dir():  # a database shared with others: its files are elsewhere, or were removed by hand
        runs.update_run(workspace.database, row.id, deleted_at=time.time(), updated_at=row.updated_at)
        return
    with workspace.lock_run(row.id):  # refused while somebody trains it; nobody begins meanwhile
        runs.update_run(workspace.database, row.id, deleted_at=time.time(), updated_at=row.updated_at)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        place.rename(folder)
    except OSError as error:
        if error.errno == errno.EXDEV:  # runs/ is a disk of its own: the files stay, the mark alone hides them
            return
        runs.update_run(workspace.database, row.id, deleted_at=None, updated_at=row.updated_at)
        raise WorkFailed(f"{place}: could not be moved to {folder} ({error.strerror}). Nothing was deleted.") from None


def _remove(folder: Path) -> None:
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise WorkFailed(f"{folder}: could not be removed whole ({error.strerror}). Delete it again.") from None
