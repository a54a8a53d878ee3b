"""What the routes work with, made once for a server; and how a route says which run it is about."""

from __future__ import annotations

import os
from typing import Annotated

from fastapi import Depends, Request

from vitscope.dashboard.documents import Documents
from vitscope.dashboard.live import Hub
from vitscope.dashboard.pages import Pages
from vitscope.dashboard.run_table import RunTable
from vitscope.dashboard.security import Access
from vitscope.dashboard.series import SeriesCache
from vitscope.dashboard.settling import Settling
from vitscope.dashboard.uploads import Uploads
from vitscope.dashboard.worker import Worker
from vitscope.errors import RequestError
from vitscope.storage.runs import RunRow
from vitscope.storage.workspace import Workspace


class NotThere(RequestError):
    """What is asked for is not here."""


class Parts:
    """Belongs to one event loop; `close` ends what it started.

    Two processes may be beside the dashboard, each started when needed: the inspector, whose answers may take a while,
    and the clerk, who is quick, so that pictures to choose from do not wait for a model.
    """

    def __init__(self, workspace: Workspace, access: Access):
        self.workspace, self.access = workspace, access
        self.table = RunTable(workspace)
        self.series = SeriesCache(workspace)
        self.settling = Settling(workspace, is_off=access.is_read_only)
        self.hub = Hub(workspace, self.table, self.series, self.settling)
        where = workspace.whereabouts
        self.clerk, self.inspector = Worker(where), Worker(where)
        self.documents = Documents(workspace, self.inspector, self.threads)
        self.uploads = Uploads(workspace)
        self.pages = Pages()

    def threads(self) -> int:
        """Threads that looking inside a model may use now: one while anything trains."""
        return 1 if self.table.refresh().at_work() else cores()

    async def close(self) -> None:
        self.hub.close()
        await self.clerk.close()
        await self.inspector.close()
        self.documents.close()
        self.hub.end()


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _parts(request: Request) -> Parts:
    return request.app.state.parts


Here = Annotated[Parts, Depends(_parts)]


def _run(run: str, here: Here) -> RunRow:
    try:
        return here.workspace.find_run(run)
    except RequestError as error:
        raise NotThere(str(error)) from None


TheRun = Annotated[RunRow, Depends(_run)]
