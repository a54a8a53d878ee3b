"""Answers that the browser keeps, and asks whether they are still the same."""

from __future__ import annotations

import gzip
import hashlib

from fastapi import Request, Response
from starlette.concurrency import run_in_threadpool

from vitscope.dashboard.worker import Reply


async def kept_by_the_browser(request: Request, reply: Reply) -> Response:
    """The reply, or the word that the browser has it already. Large ones are summed and unpacked beside the event loop.

    Compressed only where the browser takes that.
    """
    takes_gzip = "gzip" in request.headers.get("accept-encoding", "")
    etag, data = await run_in_threadpool(_ready, reply, takes_gzip)
    headers = {"cache-control": "private, no-cache", "etag": etag}
    if etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    if reply.is_gzip and takes_gzip:
        headers |= {"content-encoding": "gzip", "vary": "accept-encoding"}
    return Response(data, headers=headers, media_type=reply.type)


def _ready(reply: Reply, takes_gzip: bool) -> tuple[str, bytes]:
    data = reply.data if takes_gzip or not reply.is_gzip else gzip.decompress(reply.data)
    return f'W/"{hashlib.blake2b(data, digest_size=12).hexdigest()}"', data
