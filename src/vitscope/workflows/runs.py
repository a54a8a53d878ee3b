"""What there is to know of runs, as plain data: what `runs list` and `runs show` print, and their `--json` whole.

Their way into the trash and out of it is in `workflows/trash.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitscope.errors import ViTScopeError
from vitscope.storage.artifacts import files_below, pointed
from vitscope.storage.workspace import LOCK, Workspace

if TYPE_CHECKING:
    from vitscope.metrics.query import Value
    from vitscope.storage.runs import RunRow


CHECKPOINT = re.compile(r"step-(\d+)(-evaluated)?")  # as training/checkpoint.py names them; importing it is slow


def list_runs(workspace: Workspace, *, deleted: bool = False) -> list[dict[str, Any]]:
    """All runs (or those in the trash), newest first, with these keys:

    id, name, status (created, running, interrupted, finished, failed), source, model, created_at and updated_at
    (ISO 8601, UTC), epochs, step, total_steps, progress (0–1), best_val_top1, test_top1 (of that best model; 0–1),
    message (why, where it failed), parent (id of the run it continues), deleted_at (null but in the trash).
    What is not known is null.
    """
    if (database := workspace.existing_database) is None:
        return []
    from vitscope.storage import runs

    _settle_jobs(workspace)
    return [describe(workspace, row) for row in runs.list_runs(database, deleted=deleted)]


def show_run(
    workspace: Workspace, ref: str, newest: Iterable[Value] | None = None, *, settles: bool = True
) -> dict[str, Any]:
    """One run: the keys of `list_runs`, and

    folder; resume (the command that goes on with it; null for a run that is running or finished);
    attempts: attempt, from_step, status, started_at, ended_at, host, pid;
    metrics, the newest value of each: split, name, value, step, epoch (NaN and the infinities as texts);
    checkpoints, oldest first: name, step, is_best, is_last, size_bytes;
    files, checkpoints aside: path (within the folder), size_bytes;
    notices, what was told, warned of and went wrong: time, step, level, text, alert (the kind of one, or null).

    `newest`: the newest values, where they are known already: reading them takes a while where millions are recorded.
    `settles`: write down first how jobs have ended that died without a word; not where the caller sees to it.
    Raises `RequestError` for a run that is not there.
    """
    workspace.find_run(ref)  # first: it tells of a workspace without any run, and creates none
    if settles:
        _settle_jobs(workspace)
    row = workspace.find_run(ref)

    from vitscope.metrics import query
    from vitscope.storage import runs

    database, folder = workspace.database, workspace.run_folder(row.id)
    run = describe(workspace, row)
    attempts = [_dated(asdict(attempt)) for attempt in runs.list_attempts(database, row.id)]
    if attempts and attempts[-1]["status"] == "running":
        attempts[-1]["status"] = run["status"]
    metrics = [value._asdict() for value in (query.latest(database, row.id) if newest is None else newest)]
    return {
        **run,
        "folder": str(folder),
        "resume": workspace.command("resume", row.id) if run["status"] in runs.RESUMABLE else None,
        "attempts": attempts,
        "metrics": [
            {"split": m["split"], "name": m["name"], "value": query.json_value(m["value"])}
            | {"step": m["step"], "epoch": query.json_value(m["epoch"])}
            for m in metrics
        ],
        "checkpoints": _checkpoints(folder / "checkpoints"),
        "files": _files(folder),
        "notices": [
            {"time": iso(event.time), "step": event.step, "level": event.level, "text": event.text}
            | {"alert": event.data.get("kind") if event.kind == "alert" else None}
            for event in query.events(database, row.id)
            if event.kind == "notice" or event.level != "info"
        ],
    }


def _settle_jobs(workspace: Workspace) -> None:
    """See whether a job has died without a word, so that what is told of its run is true."""
    from vitscope.storage import jobs

    with suppress(ViTScopeError):  # a workspace that may only be read
        if jobs.open_jobs(workspace.database):  # else nothing more is imported
            from vitscope.workflows.jobs import settle

            settle(workspace)


def describe(workspace: Workspace, row: RunRow) -> dict[str, Any]:
    """A run with the keys of `list_runs`."""
    return {
        "id": row.id,
        "name": row.name,
        "status": workspace.live_status(row),
        "source": row.source,
        "model": row.model,
        "created_at": iso(row.created_at),
        "updated_at": iso(row.updated_at),
        "epochs": row.epochs,
        "step": row.step,
        "total_steps": row.total_steps,
        "progress": min(1.0, row.step / row.total_steps) if row.total_steps else None,
        "best_val_top1": row.best,
        "test_top1": row.test,
        "message": row.message,
        "parent": row.parent,
        "deleted_at": iso(row.deleted_at),
    }


def _checkpoints(folder: Path) -> list[dict[str, Any]]:
    pointers = {"is_best": pointed(folder / "best"), "is_last": pointed(folder / "last")}
    target_of = {name: path.resolve() if path else None for name, path in pointers.items()}
    return [
        {
            "name": path.name,
            "step": int(found[1]),
            **{name: target == path.resolve() for name, target in target_of.items()},
            "size_bytes": sum(files_below(path).values()),
        }
        for path in sorted(folder.glob("step-*"))
        if (found := CHECKPOINT.fullmatch(path.name)) and path.is_dir()
    ]


def _files(folder: Path) -> list[dict[str, Any]]:
    found = files_below(folder)
    return [
        {"path": path, "size_bytes": size}
        for path, size in found.items()
        if not path.startswith("checkpoints/") and path.rpartition("/")[2] != LOCK
    ]


def _dated(attempt: dict[str, Any]) -> dict[str, Any]:
    return attempt | {name: iso(attempt[name]) for name in ("started_at", "ended_at")}


def iso(unix_s: float | None) -> str | None:
    """A time as JSON holds it: ISO 8601 in UTC."""
    return None if unix_s is None else datetime.fromtimestamp(unix_s, UTC).isoformat(timespec="seconds")
