"""The dashboard as one ASGI application.

A request passes the guard (security.py), what catches the unexpected, compression, bounds.py, and then its route.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vitscope import __version__
from vitscope.dashboard.bounds import Bounded
from vitscope.dashboard.live import Busy
from vitscope.dashboard.parts import NotThere, Parts
from vitscope.dashboard.routes import images, inside, jobs, live, runs, series, session
from vitscope.dashboard.security import Access, Guard
from vitscope.dashboard.uploads import TooLarge
from vitscope.dashboard.worker import TooMany
from vitscope.errors import Conflict, RequestError, ViTScopeError
from vitscope.storage.workspace import Workspace

GZIP_FROM = 1_000  # bytes; event streams are never compressed: what is told must leave at once

# HTTP's word for each kind of error; the first that fits.
STATUS: dict[type[Exception], int] = {
    NotThere: 404,
    TooLarge: 413,
    jobs.Wrong: 422,
    Conflict: 409,
    RequestError: 400,
    TooMany: 429,
    Busy: 429,
    ViTScopeError: 503,  # the database is locked, the disk is full, …
}


class Refused(BaseModel):
    """Why something was not done, in words for a person."""

    error: str


# What any request may be answered, beside what its route says itself; for the schema.
REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": Refused, "description": "The request cannot be right."},
    401: {"model": Refused, "description": "The token is missing."},
    403: {"model": Refused, "description": "From another page, or the dashboard is read-only."},
    404: {"model": Refused, "description": "There is nothing of this name."},
    408: {"model": Refused, "description": "It did not arrive in time."},
    409: {"model": Refused, "description": "It does not fit what is going on now."},
    413: {"model": Refused, "description": "It brings more than it may."},
    422: {"model": Refused, "description": "A parameter or the body is not right."},
    429: {"model": Refused, "description": "Too much is asked at once; Retry-After says when to come back."},
    503: {"model": Refused, "description": "Not now: the database is locked, say."},
}

# Nothing is told to anybody outside, whatever the environment says.
_NO_TELEMETRY = {"tracing": False, "metrics": False, "logs": False, "operation_spans": False, "auto_configure": False}


def create_app(
    workspace: Workspace,
    *,
    token: str,
    read_only: bool = False,
    hosts: Collection[str] = (),
    access: Access | None = None,
) -> FastAPI:
    """The application that serves a workspace. `hosts`: names under which it may be asked for, loopback aside."""
    access = access or Access(token, hosts=hosts, is_read_only=read_only)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.parts = Parts(workspace, access)
        try:
            yield
        finally:
            await app.state.parts.close()

    app = FastAPI(
        title="ViTScope",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
        lifespan=lifespan,
        responses=REFUSALS,
        telemetry=_NO_TELEMETRY,  # type: ignore[arg-type]
    )
    for part in (session, runs, series, live, jobs, images, inside):
        app.include_router(part.router)
    app.add_api_route("/{path:path}", _page, methods=["GET"], include_in_schema=False)
    app.add_middleware(Bounded)
    app.add_middleware(GZipMiddleware, minimum_size=GZIP_FROM, compresslevel=1)
    app.add_middleware(Unexpected)
    app.add_middleware(Guard, access=access)
    app.add_exception_handler(ViTScopeError, _told)
    app.add_exception_handler(HTTPException, _told_plainly)
    app.add_exception_handler(RequestValidationError, _told_invalid)
    return app


def _page(path: str, request: Request) -> Response:
    if path.startswith("api/") or path == "api":
        return JSONResponse({"error": "There is nothing here."}, 404)
    return request.app.state.parts.pages.answer(path, request)


def _told(_: Request, error: Exception) -> Response:
    status = next(code for kind, code in STATUS.items() if isinstance(error, kind))
    headers = {"retry-after": str(getattr(error, "retry_s", 2))} if status in (429, 503) else None
    return JSONResponse({"error": str(error)}, status, headers)


def _told_plainly(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    text = {404: "There is nothing here.", 405: "This cannot be done here."}
    return JSONResponse({"error": text.get(error.status_code, error.detail)}, error.status_code, error.headers)


def _told_invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    told = [f"{'.'.join(str(part) for part in e['loc'][1:]) or 'body'}: {e['msg']}" for e in error.errors()]
    return JSONResponse({"error": f"This request is not right: {'; '.join(told)}."}, 422)


class Unexpected:
    """ASGI middleware: a fault of the program is logged, and told without its inside."""

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        has_begun = False

        async def sending(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except ClientDisconnect:
            pass
        except Exception:
            if scope["type"] != "http":
                raise
            logging.getLogger("vitscope.dashboard").exception("%s %s", scope["method"], scope["path"])
            if has_begun:
                raise
            text = "This went wrong in a way that nobody foresaw; the dashboard's terminal says more."
            await JSONResponse({"error": text}, 500)(scope, receive, send)
