"""What archives and fetched sets took on the disk of a workspace: seen, and given back where no run reads it."""

from __future__ import annotations

from typing import NamedTuple

from vitscope.data.manifest import Manifest
from vitscope.data.sources import places
from vitscope.data.sources.made import Made, discard, is_used_by, made_in
from vitscope.storage import runs
from vitscope.storage.workspace import Workspace
from vitscope.workflows.load import MANIFEST


class Cleared(NamedTuple):
    """What was removed, and what a run that is being trained holds."""

    removed: list[Made]
    in_use: list[Made]


def list_(workspace: Workspace) -> list[Made]:
    """What the workspace made of archives and downloaded sets, the one used last first."""
    return sorted((each for place in places(workspace) for each in made_in(place)), key=lambda each: -each.used_at)


def clear(workspace: Workspace) -> Cleared:
    """Remove what no run at work reads; it is made again when it is next wanted, by a resume too."""
    found = list_(workspace)
    read = _read_now(workspace) if found else []
    in_use = [each for each in found if any(is_used_by(each, manifest) for manifest in read)]
    removed = [each for each in found if each not in in_use]
    for each in removed:
        discard(each)
    return Cleared(removed, in_use)


def _read_now(workspace: Workspace) -> list[Manifest]:
    """The manifests of the runs that are being trained."""
    if (database := workspace.existing_database) is None:
        return []
    files = [
        workspace.run_folder(row.id) / MANIFEST
        for row in runs.list_runs(database)
        if workspace.live_status(row) == "running"
    ]
    return [Manifest.load(file) for file in files if file.is_file()]
