"""Who is asked: what a page needs to know first, and whether the server is there."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from vitscope import __version__
from vitscope.dashboard.parts import Here, cores

router = APIRouter()


@router.get("/api/session")
async def session(here: Here) -> dict[str, Any]:
    return {
        "version": __version__,
        "read_only": here.access.is_read_only,
        "workspace": str(here.workspace.root),
        "command": here.workspace.command(),
        "host_cores": cores(),
    }
