"""Import a run that `run_export.py` wrote, on this machine or another: all of it, or nothing.

An archive is read whole and every sum compared before anything is written. Then its files are unpacked beside the runs
under a hidden name; then, in one transaction, the rows are inserted and the folder takes its own name, as the last step
before the commit. So a run that is listed has its folder. A process that dies before the commit leaves a hidden folder,
which the next import removes, or, in the moment between renaming and commit, a folder without a run; the next import of
the same archive takes that one for its own once it has seen that every file in it is the archive's.
"""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
from sqlalchemy import select

from vitscope.errors import Conflict, RequestError, ViTScopeError, WorkFailed
from vitscope.metrics import portable
from vitscope.metrics.portable import Portable
from vitscope.storage import archive, schema
from vitscope.storage.archive import Archive, Entry
from vitscope.storage.artifacts import files_below, flush, point, sha256
from vitscope.storage.workspace import LOCK, Workspace
from vitscope.text import count, shown, size, some
from vitscope.workflows.run_export import CHECKPOINTS, FOLDER, POINTERS, Progress
from vitscope.workflows.runs import CHECKPOINT

UNFINISHED = ".import-"  # how the folders of imports that are not done begin
IMPORT_LOCK = ".import.lock"
_PATIENCE_S = 0.5


class Imported(NamedTuple):
    """A run that was imported, or (`is_new` is false) that was here already as it is in the archive; what to tell."""

    id: str
    name: str
    is_new: bool
    size_bytes: int
    notices: list[str]


def import_run(workspace: Workspace, file: str | Path, progress: Progress = lambda done, total: None) -> Imported:
    """Take a run's archive into the workspace, where it counts as the newest run.

    Raises `RequestError`, the workspace being untouched, for what is no archive, is damaged, altered, cut off, of a
    newer program, or would write outside the run's folder; and where another run of its id is here, in the trash too.
    """
    source = Path(file).expanduser()
    opened = archive.read(source)
    advance = _counted(progress, 2 * opened.size_bytes)
    opened.verify(advance)
    rows, pointers = _rows(opened), _pointers(opened)
    with _alone(workspace):
        if _is_here(workspace, opened, rows):
            return Imported(rows.run.id, rows.run.name, False, opened.size_bytes, [])
        if opened.size_bytes > workspace.free_bytes:
            raise WorkFailed(
                f"{shown(source)}: it takes {size(opened.size_bytes)}, and {workspace.root} has "
                f"{size(workspace.free_bytes)} left. Make room, or choose another --workspace."
            )
        _bring(workspace, opened, rows, pointers, advance)
    return Imported(rows.run.id, rows.run.name, True, opened.size_bytes, _about_pictures(workspace, rows.run.id))


def _counted(progress: Progress, total: int) -> Callable[[int], None]:
    done = 0

    def advance(more: int) -> None:
        nonlocal done
        done += more
        progress(done, total)

    return advance


# ---------------------------------------------------------------------------------------- what is in the archive


def _rows(opened: Archive) -> Portable:
    place, sizes = opened.places(), {entry.path: entry.size_bytes for entry in opened.entries}
    if missing := [name for name in (portable.ROWS, portable.METRICS) if name not in place]:
        raise _wrong(opened, f"{some(missing)} is not in it")
    with pa.memory_map(str(opened.file)) as mapped:
        mapped.seek(place[portable.METRICS])
        metrics = mapped.read_buffer(sizes[portable.METRICS])
    try:
        return portable.parse(opened.content(portable.ROWS), metrics)
    except portable.Wrong as error:
        raise _wrong(opened, str(error)) from None


def _pointers(opened: Archive) -> dict[str, str]:
    """Path of a pointer → name of the checkpoint beside it that it points to."""
    pointers: Any = opened.about.get("pointers", {})
    taken = {entry.path.removeprefix(FOLDER) for entry in opened.entries if entry.path.startswith(FOLDER)}
    folders = {path.rpartition("/")[0] for path in taken}
    is_sound = isinstance(pointers, dict) and all(
        path in {f"{CHECKPOINTS}/{name}" for name in POINTERS}
        and path not in taken | folders
        and isinstance(target, str)
        and CHECKPOINT.fullmatch(target)
        and f"{CHECKPOINTS}/{target}" in folders
        for path, target in pointers.items()
    )
    if not is_sound:
        raise _wrong(opened, "best and last in it do not lead to checkpoints of the run")
    return pointers


def _wrong(opened: Archive, what: str) -> RequestError:
    return RequestError(
        f"{shown(opened.file)}: refused: {shown(what)}. Nothing was imported. Export the run again where it comes from."
    )


# ------------------------------------------------------------------------------------------ what is here already


@contextmanager
def _alone(workspace: Workspace) -> Iterator[None]:
    """No other import into this workspace meanwhile. What a killed one left is removed."""
    from filelock import FileLock, Timeout

    workspace.database  # noqa: B018  made first: runs without a database are taken for a workspace that has lost it
    try:
        workspace.runs_folder.mkdir(parents=True, exist_ok=True)
        with FileLock(workspace.root / IMPORT_LOCK, timeout=_PATIENCE_S):
            for left in workspace.runs_folder.glob(f"{UNFINISHED}*"):
                shutil.rmtree(left)
            yield
    except Timeout:
        raise Conflict(f"{workspace.root}: another import is under way. Try again once it has ended.") from None
    except PermissionError as error:
        raise RequestError(f"{error.filename or workspace.root}: cannot be written ({error.strerror}).") from None


def _is_here(workspace: Workspace, opened: Archive, rows: Portable) -> bool:
    """True for the very same run. Raises `RequestError` for another one of its id, or a folder that is in the way."""
    run_id = rows.run.id
    with workspace.database.reading() as connection:
        deleted_at = connection.execute(select(schema.runs.c.deleted_at).where(schema.runs.c.id == run_id)).first()
        is_same = deleted_at is not None and rows.is_in(connection)
    folder = workspace.run_folder(run_id)
    title = f"Run {shown(rows.run.name)} ({run_id})"
    if deleted_at is None:
        if folder.exists() and (others := [*_beside(folder, opened), *_changed(folder, opened)]):
            raise RequestError(
                f"{folder}: there is such a folder without a run, and it is not this archive's ({some(others)} "
                f"{'differs' if len(others) == 1 else 'differ'}). Move it away and import again."
            )
        return False
    erase = workspace.command("runs", "delete", "--forever", run_id)
    if deleted_at[0] is not None:
        raise RequestError(
            f"{title} is in the trash. Bring it back with: {workspace.command('runs', 'restore', run_id)}; or erase it "
            f"and import again: {erase}"
        )
    if not folder.is_dir():
        raise RequestError(f"{title} is in the database already, with its files in another workspace.")
    others = _changed(folder, opened)
    if is_same and not others:
        return True
    how = f"{some(others)} {'differs' if len(others) == 1 else 'differ'}" if others else "it was trained further"
    raise RequestError(
        f"{title} is here already, in another state: {how}. Keep it, or put the archive in its place: {erase}, then "
        "import again."
    )


def _listed(opened: Archive) -> dict[str, Entry]:
    """The files of the run's folder, by their path in it."""
    return {entry.path.removeprefix(FOLDER): entry for entry in opened.entries if entry.path.startswith(FOLDER)}


def _changed(folder: Path, opened: Archive) -> list[str]:
    """Files of the archive that a folder does not hold as they are."""
    there = files_below(folder)
    return [
        path
        for path, entry in _listed(opened).items()
        if there.get(path) != entry.size_bytes or sha256(folder / path) != entry.sha256
    ]


def _beside(folder: Path, opened: Archive) -> list[str]:
    """Files that a folder holds and the archive does not, those aside that every run has of its own."""
    own = {LOCK, *(f"{CHECKPOINTS}/{name}" for name in POINTERS)}
    return [path for path in files_below(folder) if path not in own | _listed(opened).keys()]


# ------------------------------------------------------------------------------------------------- bringing it in


def _bring(
    workspace: Workspace,
    opened: Archive,
    rows: Portable,
    pointers: dict[str, str],
    advance: Callable[[int], None],
) -> None:
    folder = workspace.run_folder(rows.run.id)
    unfinished = folder.with_name(f"{UNFINISHED}{rows.run.id}")
    try:
        if not folder.exists():  # else it was found to be this very run's
            unfinished.mkdir()
            opened.unpack(unfinished, FOLDER, advance)
            _point(unfinished, pointers)
            for path in (*unfinished.rglob("*"), unfinished):
                if not path.is_symlink():
                    flush(path)
        else:
            _point(folder, pointers)
        with workspace.database.writing() as connection:
            portable.add(connection, rows)
            if unfinished.exists():
                unfinished.rename(folder)
                flush(folder.parent)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise
        raise WorkFailed(f"{error.filename or folder}: {error.strerror or error}. Nothing was imported.") from None
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _point(folder: Path, pointers: dict[str, str]) -> None:
    for path, target in pointers.items():
        point(folder / path, (folder / path).with_name(target))


# --------------------------------------------------------------------------------------------------- the pictures


def _about_pictures(workspace: Workspace, run_id: str) -> list[str]:
    """Whether the pictures are here, which no archive holds; those that come with the program are written."""
    from vitscope.data.manifest import Manifest

    folder = workspace.run_folder(run_id)
    if not (folder / "manifest.parquet").is_file():
        return []
    try:
        manifest = Manifest.load(folder / "manifest.parquet")
        if manifest.absent():
            _write_own(workspace, folder)
        absent = manifest.absent()
    except (ViTScopeError, OSError) as error:
        return [f"Its pictures could not be looked for: {error}"]
    if not absent:
        return []
    which = "None" if len(absent) == manifest.looked_at else "Not all"
    return [
        f"{which} of its {count(len(manifest), 'picture')} {'is' if which == 'None' else 'are'} here: an archive holds "
        f"none, and its manifest names places such as {some(absent, 1)}. It predicts without them; 'vitscope evaluate' "
        "takes others with --data; to resume it, bring them to those places."
    ]


def _write_own(workspace: Workspace, folder: Path) -> None:
    """The pictures of data sets that come with the program."""
    from vitscope.config import read_file
    from vitscope.data.sources import SOURCES, open_source

    data = read_file(folder / "config.yaml").get("data", {})
    for name in ("source", "val", "test"):
        text = data.get(name) if isinstance(data, dict) else None
        if isinstance(text, str) and text.partition(":")[0] in SOURCES:
            with suppress(RequestError):
                open_source(text, workspace).scan()
