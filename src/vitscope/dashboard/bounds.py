"""No request brings more than it may: told at its beginning where it says how much, else as soon as it is too much."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_BYTES = 1_000_000
WITH_BOUNDS_OF_THEIR_OWN = ("/api/images",)  # see uploads.py

TOO_MUCH = f"That is too large: a request may bring {MOST_BYTES // 1_000_000} MB at most."


class Bounded:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in WITH_BOUNDS_OF_THEIR_OWN:
            await self._app(scope, receive, send)
            return
        told = Headers(scope=scope).get("content-length", "0")
        if not told.isdigit() or int(told) > MOST_BYTES:
            await JSONResponse({"error": TOO_MUCH}, 413)(scope, receive, send)
            return
        total = 0

        async def counting() -> Message:
            nonlocal total
            message = await receive()
            total += len(message.get("body", b""))
            if total > MOST_BYTES:
                raise HTTPException(413, TOO_MUCH)
            return message

        await self._app(scope, counting, send)
