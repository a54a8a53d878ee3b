"""The stream of what happens now."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Query
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from vitscope.dashboard.cursor import Cursor
from vitscope.dashboard.parts import Here, NotThere
from vitscope.dashboard.stream import EventStream
from vitscope.errors import RequestError

router = APIRouter()


@router.get("/api/live", response_class=StreamingResponse)
async def live(
    here: Here,
    run: Annotated[str | None, Query(max_length=200)] = None,
    since: Annotated[str, Query(max_length=200)] = "",
    last_event_id: Annotated[str, Header(max_length=200)] = "",
) -> EventStream:
    """Server-sent events: runs, and of `run` points, attempt, notices and moment; bye when the server stops."""
    cursor = Cursor.parse(last_event_id or since)
    run_id = None
    if run is not None:
        try:
            run_id = (await run_in_threadpool(here.workspace.find_run, run)).id
        except RequestError as error:
            raise NotThere(str(error)) from None
        here.inspector.warm()  # its page is open: a look inside is likely the next thing that is asked for
    return EventStream(here.hub, run_id, cursor)
