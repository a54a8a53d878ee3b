"""The runs: listed, shown, moved to the trash and back."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any

from fastapi import APIRouter, Query

from vitscope import config
from vitscope.dashboard import series
from vitscope.dashboard.cursor import Cursor
from vitscope.dashboard.parts import Here, NotThere, TheRun
from vitscope.dashboard.run_table import described
from vitscope.errors import Conflict, RequestError
from vitscope.metrics import query
from vitscope.storage.workspace import Workspace
from vitscope.workflows.runs import show_run
from vitscope.workflows.trash import delete_runs, restore_runs

router = APIRouter()

SPARKLINE_POINTS = 60
MOST_SPARKLINES = 1_000
SETTLING_S = 1.0  # that a list waits for how jobs have ended to be written down


@router.get("/api/runs")
def list_runs(here: Here, deleted: bool = False) -> dict[str, Any]:
    """All runs, newest first, and the cursor from which `/api/live` goes on; or those in the trash."""
    here.settling.look(SETTLING_S)
    state = here.table.refresh()
    database = here.workspace.existing_database
    if deleted:
        rows = described(here.workspace, database, [], deleted=True) if database is not None else []
    else:
        rows = state.rows()
    return {"runs": rows, "cursor": str(Cursor(state.version))}


@router.get("/api/runs/sparklines")
def sparklines(here: Here, ids: Annotated[str, Query(max_length=20_000)]) -> dict[str, Any]:
    """Validation accuracy by epoch of some runs, at most 60 points each."""
    wanted = [run_id for run_id in ids.split(",")[:MOST_SPARKLINES] if re.fullmatch(r"[a-z][a-z2-7]{7}", run_id)]
    database = here.workspace.existing_database
    found = query.evaluations(database, wanted) if database is not None and wanted else {}
    return {run_id: _sparkline(points) for run_id, points in found.items()}


@router.get("/api/runs/{run}")
def show(here: Here, row: TheRun) -> dict[str, Any]:
    """One run: what `vitscope runs show` tells, the rest of its row in the list, its configuration."""
    here.settling.look(SETTLING_S)
    columns = here.series.get(row.id)
    told = show_run(here.workspace, row.id, newest=series.newest(columns), settles=False)
    (more,) = described(here.workspace, here.workspace.database, [row.id]) or [{}]
    return {**told, **more, "config": _mapping(here.workspace, row.id, "config.yaml")} | {
        "requested": _mapping(here.workspace, row.id, "requested.yaml")
    }


@router.delete("/api/runs/{run}")
def delete(here: Here, row: TheRun) -> dict[str, Any]:
    """Move a run to the trash."""
    try:
        (done,) = delete_runs(here.workspace, [row.id])
    except Conflict as error:
        raise Conflict(f"{error} A run that is being trained cannot be deleted.") from None
    return done._asdict()


@router.post("/api/runs/{run}/restore")
def restore(here: Here, run: str) -> dict[str, Any]:
    """Bring a run back from the trash."""
    try:
        (done,) = restore_runs(here.workspace, [run])
    except RequestError as error:
        raise NotThere(str(error)) from None
    return done._asdict()


def _sparkline(points: list[tuple[float, float]]) -> dict[str, Any]:
    """Every n-th point from the last one back: the newest is always there."""
    kept = points[:: -max(1, math.ceil(len(points) / SPARKLINE_POINTS))][::-1]
    return {name: [query.json_value(point[i]) for point in kept] for i, name in enumerate(("epoch", "top1"))}


def _mapping(workspace: Workspace, run_id: str, name: str) -> dict[str, Any] | None:
    """A description in the run's folder; None where there is none yet, or it cannot be read."""
    try:
        return config.read_file(workspace.run_folder(run_id) / name)
    except (RequestError, OSError):
        return None
