"""New runs and those that go on: started, stopped, resumed; each in a process of its own."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Annotated, Any

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from vitscope import config
from vitscope.dashboard.parts import Here, NotThere, Parts, TheRun
from vitscope.dashboard.worker import TooMany
from vitscope.errors import RequestError
from vitscope.training.recipes import RECIPES
from vitscope.workflows import jobs

router = APIRouter()

CHECK_S = 20.0  # for looking at names, pictures and model; beyond it the job itself will say what is wrong


class Wrong(RequestError):
    """The description of a new run cannot be right."""


class NewRun(BaseModel):
    """What to train on, and how: `options` is a description as in a YAML file."""

    model_config = ConfigDict(extra="forbid")

    source: Annotated[str, Field(min_length=1, max_length=4_096)]
    recipe: Annotated[str, Field(max_length=200)] | None = None
    name: Annotated[str, Field(max_length=200)] | None = None
    options: dict[str, Any] = {}


@router.get("/api/options")
def options(here: Here) -> dict[str, Any]:
    """The schema of a description, and the recipes and data to choose from: what is known without torch, at once."""
    from vitscope.data.sources import SOURCES, imported  # loads pyarrow: not before somebody wants to start a run

    sources = [{"name": name, "kind": "builtin", "count": None} for name in SOURCES]
    sources += [{"name": r.name, "kind": "imported", "count": r.count} for r in imported(here.workspace).values()]
    recipes = [
        {"name": name, "help": (recipe.__doc__ or "").partition("\n")[0], "options": recipe.OPTIONS}
        for name, recipe in RECIPES.items()
    ]
    return {"schema": config.schema(), "recipes": recipes, "sources": sources}


@router.get("/api/models")
async def models(here: Here) -> Response:
    """The models to choose from. Who asks first waits for the clerk to be there."""
    reply = await here.clerk.ask(ask="models")
    return Response(reply.plain, reply.status, media_type=reply.type)


@router.post("/api/runs", status_code=201)
async def start(here: Here, asked: NewRun) -> dict[str, str]:
    """Commit a new run and have a process train it."""
    try:
        requested = jobs.prepare(asked.source, recipe=asked.recipe, name=asked.name or None, options=asked.options)
    except RequestError as error:
        raise Wrong(str(error)) from None
    await _check(here, requested)
    return {"id": await run_in_threadpool(jobs.start, requested, here.workspace)}


@router.post("/api/runs/{run}/stop", status_code=202)
def stop(here: Here, row: TheRun) -> dict[str, str]:
    """Ask the process that trains a run to save and end."""
    jobs.stop(here.workspace, row.id)
    return {"id": row.id}


@router.post("/api/runs/{run}/resume", status_code=202)
def resume(here: Here, row: TheRun) -> dict[str, str]:
    """Have a process go on with a run."""
    jobs.resume(here.workspace, row.id)
    return {"id": row.id}


@router.get("/api/jobs/{run}/log")
def log(here: Here, row: TheRun) -> dict[str, str]:
    """The last lines of what the run's job printed, or of what training wrote down where it had none."""
    if (text := jobs.log(here.workspace, row.id)) is None:
        raise NotThere(f"Run {row.name} ({row.id}) has no log yet.")
    return {"text": text, "status": here.workspace.live_status(row)}


async def _check(here: Parts, requested: dict[str, Any]) -> None:
    with suppress(TimeoutError, TooMany):
        async with asyncio.timeout(CHECK_S):
            reply = await here.clerk.ask(ask="check", requested=requested, limit_s=CHECK_S)
        if reply.status == 422:
            raise Wrong(reply.json["error"])
