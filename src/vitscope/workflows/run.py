"""`Run`: a handle on one run of a workspace, as Python users see it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from vitscope.storage import runs
from vitscope.storage.workspace import Workspace, as_workspace

if TYPE_CHECKING:
    import pandas as pd


class Run:
    """A run by id, unique id prefix, name or `latest`. Raises `RequestError` when there is none."""

    def __init__(self, ref: str = "latest", workspace: Workspace | str | Path | None = None):
        self.workspace = as_workspace(workspace)
        self.id: str = self.workspace.find_run(ref).id

    def __repr__(self) -> str:
        return f"Run(id={self.id!r}, name={self.name!r}, status={self.status!r})"

    @property
    def name(self) -> str:
        return runs.get_run(self.workspace.database, self.id).name

    @property
    def status(self) -> str:
        """created, running, finished, interrupted or failed."""
        return self.workspace.live_status(runs.get_run(self.workspace.database, self.id))

    @property
    def folder(self) -> Path:
        """Where its files lie."""
        return self.workspace.run_folder(self.id)

    def metrics(self) -> pd.DataFrame:
        """Everything recorded that counts: columns step, epoch, split, name, value, time."""
        from vitscope.metrics import query

        return query.frame(self.workspace.database, self.id)

    def log(self, name: str, value: float, *, step: int | None = None, split: str = "") -> None:
        """Add a number of your own, committed on return. `step` is by default the run's newest."""
        from vitscope.metrics import recorder

        recorder.log(self.workspace.database, self.id, name, value, step=step, split=split)
