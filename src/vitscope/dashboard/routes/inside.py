"""Documents about the inside of a run's model."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from vitscope.dashboard.caching import kept_by_the_browser
from vitscope.dashboard.connected import while_connected
from vitscope.dashboard.documents import KEY, OPTION, VALUE
from vitscope.dashboard.parts import Here, NotThere, TheRun
from vitscope.errors import RequestError

router = APIRouter()


@router.get("/api/runs/{run}/inside/{key:path}")
async def document(here: Here, row: TheRun, key: str, request: Request) -> Response:
    """What docs/documents.md describes under this key; its options are the query."""
    if not KEY.fullmatch(key):
        raise NotThere("There is no document of this name.")
    query = dict(request.query_params)
    for name, value in query.items():
        if not OPTION.fullmatch(name) or not VALUE.fullmatch(value):
            raise RequestError("An option of this document is not one that it could take.")
    reply = await while_connected(request, here.documents.get(row.id, key, query))
    if reply.status != 200:
        return Response(reply.plain, reply.status, media_type=reply.type)
    return await kept_by_the_browser(request, reply)
