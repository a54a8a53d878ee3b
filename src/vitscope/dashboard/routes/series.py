"""What was recorded: as few points as are drawn, or every value as a file."""

from __future__ import annotations

import re
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import StreamingResponse

from vitscope.dashboard import series
from vitscope.dashboard.cursor import Cursor, RunCursor
from vitscope.dashboard.parts import Here, TheRun
from vitscope.metrics.columns import RunColumns
from vitscope.metrics.downsample import Axis

router = APIRouter()

Names = Annotated[list[str] | None, Query(max_length=1_000, description="split/name, several with commas")]
End = Annotated[float | None, Query(allow_inf_nan=False)]


@router.get("/api/runs/{run}/series")
def points_of(
    here: Here,
    row: TheRun,
    points: Annotated[int, Query(ge=1, le=20_000)] = 1_000,
    axis: Axis = "step",
    from_: Annotated[End, Query(alias="from")] = None,
    to: End = None,
    names: Names = None,
) -> dict[str, Any]:
    """Each series as at most `points` points, of those between `from` and `to` on the axis; and the cursor from which
    `/api/live` goes on."""
    columns = here.series.get(row.id)
    with columns.lock:
        cursor = Cursor(run=RunCursor(row.id, columns.place, here.hub.newest_snapshot(row.id)))
        wanted = _chosen(columns, names)
        told = series.whole(columns, points=points, axis=axis, first=from_, last=to, names=wanted)
    return {"cursor": str(cursor), **told}


@router.get(
    "/api/runs/{run}/series.csv",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}},
)
def table(here: Here, row: TheRun, names: Names = None) -> StreamingResponse:
    """Every recorded value that counts."""
    columns = here.series.get(row.id)
    chosen = _chosen(columns, names)
    headers = {"content-disposition": f'attachment; filename="{_file_name(row.id, chosen)}"'}
    return StreamingResponse(series.as_csv(columns, chosen), media_type="text/csv", headers=headers)


def _file_name(run_id: str, chosen: list[str] | None) -> str:
    """With the metric's name, where it is one alone (of some splits)."""
    metrics = {name.partition("/")[2] or name for name in chosen or []}
    metric = re.sub(r"[^A-Za-z0-9._-]+", "-", metrics.pop()) if len(metrics) == 1 else ""
    return "-".join(part for part in ("vitscope", run_id, metric.strip("-")) if part) + ".csv"


def _chosen(columns: RunColumns, names: list[str] | None) -> list[str] | None:
    """The series that are meant; a name may hold commas itself."""
    if names is None:
        return None
    return [part for text in names for part in ([text] if text in columns.series else text.split(","))]
