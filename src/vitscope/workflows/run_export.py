"""Export a run: all that there is of it, the pictures aside, as one file that `run_import.py` takes elsewhere."""

from __future__ import annotations

import errno
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from vitscope.errors import Conflict, RequestError, WorkFailed
from vitscope.metrics import portable
from vitscope.storage import archive, runs
from vitscope.storage.artifacts import files_below, pointed
from vitscope.storage.workspace import LOCK, Workspace

ENDING = ".vitscope.tar"
FOLDER = "run/"  # of the archive, in which the files of the run's folder are
CHECKPOINTS = "checkpoints"
POINTERS = ("best", "last")

Progress = Callable[[int, int], None]  # bytes done, of how many


class Exported(NamedTuple):
    """The archive of a run, and how many pictures its manifest names, which are not in it (None: it has none yet).

    `left_out`: links in the run's folder that are not its own.
    """

    id: str
    name: str
    file: Path
    files: int
    size_bytes: int
    pictures: int | None
    left_out: list[str]


def export_run(
    workspace: Workspace,
    ref: str,
    output: str | Path | None = None,
    progress: Progress = lambda done, total: None,
) -> Exported:
    """Write a run's folder, its rows and the sums of all into one file: `output`, or `NAME-ID.vitscope.tar` here.

    `output` may be a folder. The file appears whole or not at all. Raises `RequestError` for a run that is not there,
    that has not begun, or that is being trained: its rows would be ahead of its last checkpoint.
    """
    row = workspace.find_run(ref)
    folder, title = workspace.run_folder(row.id), f"Run {row.name} ({row.id})"
    target = _target(row, output)
    if not folder.is_dir():
        raise RequestError(f"{title}: its files are not in {folder}: export it in the workspace that holds them.")
    if workspace.live_status(row) == "created":
        raise RequestError(f"{title} has not begun to train: there is nothing to export yet.")
    try:
        with workspace.lock_run(row.id), tempfile.TemporaryDirectory(prefix="vitscope-export-") as place:
            rows = {name: Path(place) / name for name in portable.write(workspace.database, row.id, Path(place))}
            pointers = _pointers(folder)
            files = {FOLDER + path: folder / path for path in files_below(folder) if path not in (LOCK, *pointers)}
            files |= rows
            total, done = 2 * sum(file.stat().st_size for file in files.values()), 0

            def advance(more: int) -> None:
                nonlocal done
                done += more
                progress(done, total)

            pictures = _pictures(folder)
            about = {"run": {"id": row.id, "name": row.name}, "pictures": pictures, "pointers": pointers}
            archive.write(target, about, files, advance)
    except Conflict:
        pid = workspace.holder_pid(row.id)
        raise Conflict(
            f"{title} is being trained{f' (pid {pid})' if pid else ''}: an archive of it would be of no one moment. "
            "Export it once it has ended; Ctrl-C ends it with a checkpoint, and it can be resumed afterwards."
        ) from None
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise
        raise WorkFailed(f"{error.filename or target}: {error.strerror or error}. Nothing was exported.") from None
    links = (path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_symlink())
    left_out = [path for path in links if path not in pointers]
    return Exported(row.id, row.name, target, len(files), target.stat().st_size, pictures, left_out)


def _target(row: runs.RunRow, output: str | Path | None) -> Path:
    plain = re.sub(r"[^\w.-]+", "-", row.name)[:60].strip("-.")
    name = f"{plain or 'run'}-{row.id}{ENDING}"
    target = Path(name) if output is None else Path(output).expanduser()
    target = target / name if target.is_dir() else target
    if not target.parent.is_dir():
        raise RequestError(f"{target}: there is no folder {target.parent}.")
    return target


def _pointers(folder: Path) -> dict[str, str]:
    """Which checkpoints `best` and `last` are, by the path of the pointer: links are not put into an archive."""
    links = {f"{CHECKPOINTS}/{name}": folder / CHECKPOINTS / name for name in POINTERS}
    targets = {path: pointed(link) for path, link in links.items() if link.is_symlink() or not link.is_dir()}
    return {path: target.name for path, target in targets.items() if target is not None}


def _pictures(folder: Path) -> int | None:
    import pyarrow.parquet as pq

    manifest = folder / "manifest.parquet"
    return pq.read_metadata(manifest).num_rows if manifest.is_file() else None
