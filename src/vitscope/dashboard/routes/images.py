"""Pictures: those of a run to choose from, and those that people bring."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Path, Query, Request, Response

from vitscope.dashboard.caching import kept_by_the_browser
from vitscope.dashboard.connected import while_connected
from vitscope.dashboard.parts import Here, TheRun

router = APIRouter()

UPLOAD_S = 300.0
PICTURE = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in ("image/png", "image/jpeg")}
ImageId = Annotated[str, Path(pattern=r"^(sample:[0-9a-f]{16}|upload:[0-9a-f]{64})$")]


@router.get("/api/runs/{run}/images")
async def images(
    here: Here,
    row: TheRun,
    request: Request,
    split: Literal["train", "val", "test"] = "test",
    offset: Annotated[int, Query(ge=0, le=10**9)] = 0,
    limit: Annotated[int, Query(ge=1, le=500)] = 24,
) -> Response:
    """Ids and classes of a split's pictures."""
    asked = here.clerk.ask(ask="images", run=row.id, split=split, offset=offset, limit=limit)
    reply = await while_connected(request, asked)
    return Response(reply.plain, reply.status, media_type=reply.type)


@router.get(
    "/api/runs/{run}/images/{image}",
    response_class=Response,
    responses={200: {"content": {"image/png": {}, "image/jpeg": {}}}},
)
async def thumbnail(
    here: Here, row: TheRun, image: ImageId, request: Request, side: Annotated[int, Query(ge=16, le=512)] = 96
) -> Response:
    """A small picture, PNG or JPEG."""
    reply = await while_connected(request, here.clerk.ask(ask="thumbnail", run=row.id, image=image, side=side))
    if reply.status != 200:
        return Response(reply.plain, reply.status, media_type=reply.type)
    return await kept_by_the_browser(request, reply)


@router.post("/api/images", status_code=201, openapi_extra={"requestBody": {"required": True, "content": PICTURE}})
async def upload(here: Here, request: Request) -> Any:
    """Take a picture in, the body being its file; gives its id and its size."""
    length = request.headers.get("content-length", "")
    try:
        async with asyncio.timeout(UPLOAD_S):
            name = await here.uploads.take(request.stream(), int(length) if length.isdigit() else None)
    except TimeoutError:
        raise HTTPException(408, f"The picture did not arrive within {UPLOAD_S:.0f} s. Send it again.") from None
    reply = await here.clerk.ask(ask="upload", sum=name)
    if reply.status != 200:
        here.uploads.drop(name)
        return Response(reply.plain, reply.status, media_type=reply.type)
    return {"id": f"upload:{name}", **reply.json}
