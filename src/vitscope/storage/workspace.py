"""The workspace: the folder that holds the database and the files of runs, data sets and models.

Importing this file is quick; SQLAlchemy is imported when the database is first opened. All paths stored anywhere are
relative to the root, so that the whole may move.
"""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from vitscope.errors import Conflict, RequestError

if TYPE_CHECKING:
    from vitscope.storage.database import Database
    from vitscope.storage.runs import RunRow, Status

VARIABLE = "VITSCOPE_WORKSPACE"
DEFAULT = "vitscope-workspace"
DATABASE = "vitscope.db"
LOCK = "run.lock"
DATA_COPIES = 3  # disk that a data set needs, in its own size: itself, its cache, exports and reports

# Asking whether a lock is held takes it for an instant: one who wants to hold it waits for longer than that.
_LOCK_PATIENCE_S = 0.5


class Workspace:
    """`root`: the argument, else $VITSCOPE_WORKSPACE, else ./vitscope-workspace; created on the first write.

    `database_url` takes the place of the SQLite file `vitscope.db` in the root.
    """

    def __init__(self, root: str | Path | None = None, database_url: str | None = None):
        self._given_root, self._given_url = root, database_url
        chosen = root if root is not None else os.environ.get(VARIABLE) or DEFAULT
        self.root = Path(chosen).expanduser().absolute()
        self.runs_folder = self.root / "runs"
        self.datasets_folder = self.root / "datasets"
        self.cache_folder = self.root / "cache"
        self.models_folder = self.root / "models"
        self.trash_folder = self.root / "trash"

    def __repr__(self) -> str:
        return f"Workspace({str(self.root)!r})"

    @cached_property
    def database(self) -> Database:
        """The database, created where there is none and brought up to date. Raises as `Database` does."""
        from vitscope.storage.database import Database

        if self._given_url is not None:
            return Database(self._given_url)
        file = self.root / DATABASE
        if not file.exists():
            self._refuse_if_lost(file)
            try:
                self.root.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise RequestError(
                    f"{self.root}: the workspace cannot be created ({error.strerror}). "
                    f"Choose another with --workspace or ${VARIABLE}."
                ) from None
        return Database.at(file)

    @property
    def existing_database(self) -> Database | None:
        """The database, or None where nothing was ever written: looking at an empty workspace does not create it."""
        file = self.root / DATABASE
        if self._given_url is None and "database" not in self.__dict__ and not file.exists():
            self._refuse_if_lost(file)
            return None
        return self.database

    @property
    def existing_folder(self) -> Path:
        """The root, or the folder in which it would be made."""
        return next(p for p in (self.root, *self.root.parents) if p.exists())

    @property
    def free_bytes(self) -> int:
        """Free room on the disk where the workspace is, or would be made."""
        return shutil.disk_usage(self.existing_folder).free

    def run_folder(self, run_id: str) -> Path:
        """Where the files of a run lie."""
        return self.runs_folder / run_id

    def trashed_folder(self, run_id: str) -> Path:
        """Where the files of a run in the trash lie."""
        return self.trash_folder / "runs" / run_id

    def find_run(self, ref: str) -> RunRow:
        """The run that `ref` names: an id, the beginning of one, a name (its newest) or `latest`.

        Raises `RequestError` with the closest match.
        """
        if (database := self.existing_database) is None:
            raise RequestError(
                f"Unknown run '{ref}': there is none in {self.root} yet. Start one with 'vitscope train SOURCE'."
            )
        from vitscope.storage.runs import find_run

        return find_run(database, ref)

    @contextmanager
    def lock_run(self, run_id: str) -> Iterator[None]:
        """Hold the run for this process: whoever trains it does so alone. Raises `Conflict` when another does.

        The system releases the lock when the process ends, however it ends.
        """
        from filelock import FileLock, Timeout

        file = self.run_folder(run_id) / LOCK
        file.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(file, timeout=_LOCK_PATIENCE_S, thread_local=False)
        try:
            lock.acquire()
        except Timeout:
            pid = self.holder_pid(run_id)
            raise Conflict(
                f"Run {run_id} is being trained by another process{f' (pid {pid})' if pid else ''}. "
                "Wait for it, or stop it with Ctrl-C; then resume."
            ) from None
        try:
            with suppress(OSError):  # a locked file cannot be written everywhere; the number is for people only
                file.write_text(f"{os.getpid()}\n")
            yield
        finally:
            lock.release()

    def live_status(self, row: RunRow) -> Status:
        """The status of a run now: one that says it is at work, but that no process holds, has been interrupted."""
        file = self.run_folder(row.id) / LOCK
        if row.status == "running" and row.deleted_at is not None:  # nobody trains what is in the trash
            return "interrupted"
        if row.status not in ("created", "running") or not file.parent.is_dir():
            return row.status
        if not file.exists():
            return "created" if row.status == "created" else "interrupted"
        return row.status if _is_held(file) else "interrupted"

    def is_locked(self, run_id: str) -> bool:
        """Whether a process holds the run now."""
        file = self.run_folder(run_id) / LOCK
        return file.exists() and _is_held(file)

    def holder_pid(self, run_id: str) -> int | None:
        """The process that holds the run, or held it last, as it wrote down itself."""
        try:
            return int((self.run_folder(run_id) / LOCK).read_text())
        except (OSError, ValueError):
            return None

    @property
    def whereabouts(self) -> dict[str, str | None]:
        """What another process makes the same workspace of. The database's URL may hold a password."""
        return {"workspace": str(self.root), "database": self._given_url}

    def command(self, *words: str) -> str:
        """A `vitscope` command line that works on this workspace, to be shown to a person."""
        options = [] if self._given_root is None else ["--workspace", str(self._given_root)]
        if self._given_url is not None:
            from vitscope.storage.dialects import parse

            options += ["--database", parse(self._given_url).render_as_string(hide_password=True)]
        return shlex.join(["vitscope", *options, *words])

    def _refuse_if_lost(self, file: Path) -> None:
        if self.runs_folder.is_dir() and any(self.runs_folder.iterdir()):
            raise RequestError(
                f"{file}: the database is missing, though {self.runs_folder} holds runs. "
                "Put it back from a backup, or choose another --workspace."
            )


def as_workspace(workspace: Workspace | str | Path | None) -> Workspace:
    """A workspace as callers give it: itself, its folder, or None for the usual one."""
    return workspace if isinstance(workspace, Workspace) else Workspace(workspace)


def _is_held(file: Path) -> bool:
    """Whether a process holds the lock. Those who ask share it, so that none of them is taken for its holder."""
    try:
        import fcntl
    except ImportError:  # Windows
        return _is_held_by_anybody(file)
    try:
        with file.open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
    except OSError:  # held; or it cannot be asked, and what the row says is all that is known
        return True


def _is_held_by_anybody(file: Path) -> bool:
    from filelock import FileLock, Timeout

    try:
        with FileLock(file, blocking=False):
            return False
    except (Timeout, OSError):
        return True
