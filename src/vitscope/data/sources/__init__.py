"""Where pictures come from: a file here a kind of source, and the table of those that have a name of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from vitscope.data.manifest import Manifest
from vitscope.data.sources import archive, hub, table, torchvision
from vitscope.data.sources.archive import ArchiveSource
from vitscope.data.sources.digits import DigitsSource
from vitscope.data.sources.folder import FolderSource
from vitscope.data.sources.hub import HubSource
from vitscope.data.sources.imported import ImportedSource
from vitscope.data.sources.made import Place
from vitscope.data.sources.scan import Scan, Source
from vitscope.data.sources.shapes import ShapesSource
from vitscope.data.sources.table import TableSource
from vitscope.data.sources.torchvision import TorchvisionSource
from vitscope.errors import RequestError, closest
from vitscope.text import shown

if TYPE_CHECKING:
    from vitscope.storage.datasets import DatasetRow
    from vitscope.storage.workspace import Workspace

__all__ = ["SOURCES", "ImportedSource", "Scan", "Source", "imported", "open_source", "places", "restore"]

SOURCES: dict[str, Callable[[Workspace], Source]] = {"digits": DigitsSource, "shapes": ShapesSource}
_PREFIXES: dict[str, Callable[[Workspace, str], Source]] = {  # what stands before a colon
    "shapes": ShapesSource.of,
    torchvision.PREFIX: TorchvisionSource.of,
    hub.PREFIX: HubSource.of,
}
_MADE = {archive: "unpacked", torchvision: "fetched", hub: "fetched"}

_PLANNED_PREFIXES = {"wds": "shards"}
_PLANNED_FILES = {
    "archives of this kind": (".gz", ".bz2", ".xz", ".zst", ".7z", ".rar"),
    "tables of this kind": (".arrow", ".feather", ".json", ".jsonl", ".xls", ".xlsx", ".ods"),
}
_SUPPORTED = (
    "Supported are a folder with one folder a class, a table of paths and labels "
    f"({', '.join(table.ENDINGS)}), an archive of either ({', '.join(archive.ENDINGS)}), 'torchvision:NAME', "
    "'hf:OWNER/NAME', 'digits', 'shapes' and the names of imported data sets."
)


def open_source(text: str, workspace: Workspace) -> Source:
    """The source that `text` means: a builtin name or a prefix with what follows it, an imported data set, a path.

    A name wins over a folder of the same name (write `./digits` for the folder). Raises `RequestError` with the closest
    match.
    """
    if (source := _builtin(text, workspace)) is not None:
        return source
    known = imported(workspace)
    if text in known:
        row = known[text]
        return ImportedSource(row.name, _original(row, workspace), Manifest.load(workspace.root / row.manifest))
    try:
        path = Path(text).expanduser()
        if text and (path.is_dir() or (path.is_file() and _is_supported(path))):
            return _at(path, workspace)
        raise _not_found(text, path, [*SOURCES, *known])
    except (
        OSError,
        RuntimeError,
    ) as error:  # a folder above it that may not be entered, too long a name, no such ~user
        why = error.strerror if isinstance(error, OSError) else error
        raise RequestError(f"{shown(text)}: this data set cannot be reached ({why}).") from None


def imported(workspace: Workspace) -> dict[str, DatasetRow]:
    """The rows of the imported data sets by name; none where the workspace does not exist yet."""
    if (database := workspace.existing_database) is None:
        return {}
    from vitscope.storage import datasets

    return {row.name: row for row in datasets.list(database)}


def places(workspace: Workspace) -> list[Place]:
    """Where the workspace keeps what it makes of archives and downloaded sets."""
    return [Place(each.place_in(workspace), kind) for each, kind in _MADE.items()]


def restore(manifest: Manifest, workspace: Workspace) -> list[str]:
    """Make again what a manifest needs of these and was discarded, where it can be had; else why it cannot."""
    return [str(error) for each in _MADE for error in each.restore(manifest, workspace)]


def _builtin(text: str, workspace: Workspace) -> Source | None:
    """The source with a name of its own that `text` means, or one by its prefix. Raises `RequestError`."""
    if text in SOURCES:
        return SOURCES[text](workspace)
    name, colon, rest = text.partition(":")
    return _PREFIXES[name.lower()](workspace, rest) if colon and name.lower() in _PREFIXES else None


def _original(row: DatasetRow, workspace: Workspace) -> Source:
    return _builtin(row.source, workspace) or _at(Path(row.source), workspace)


def _at(path: Path, workspace: Workspace) -> Source:
    """What lies, or lay, at a path: a table or an archive by its ending, else a folder."""
    if path.is_dir() or not _is_supported(path):
        return FolderSource.at(path)
    return TableSource.at(path) if _ends(path, table.ENDINGS) else ArchiveSource.at(path, workspace)


def _is_supported(path: Path) -> bool:
    return _ends(path, (*table.ENDINGS, *archive.ENDINGS))


def _ends(path: Path, endings: tuple[str, ...]) -> bool:
    return path.name.lower().endswith(endings)


def _not_found(text: str, path: Path, names: list[str]) -> RequestError:
    kind, colon, _ = text.partition(":")
    if colon and kind.lower() in _PLANNED_PREFIXES:
        return RequestError(f"{shown(text)}: {_PLANNED_PREFIXES[kind.lower()]} are not supported yet. {_SUPPORTED}")
    if not text:
        return RequestError(f"The data set has an empty name. {_SUPPORTED}")
    for what, endings in _PLANNED_FILES.items():
        if _ends(path, endings) and not _is_supported(path):
            return RequestError(f"{shown(text)}: {what} are not supported as a source yet. {_SUPPORTED}")
    if path.exists():
        return RequestError(f"{shown(text)}: a file, not a data set. {_SUPPORTED}")
    hints = [closest(text, names) if "/" not in text else "", _nearest(path)]
    parts = [
        f"No data set '{shown(text)}': neither a folder, a table or an archive, nor a name known here.",
        *hints,
        _SUPPORTED,
    ]
    return RequestError(" ".join(part for part in parts if part))


def _nearest(path: Path) -> str:
    """Where the path stops existing, with the closest names there."""
    path = path.absolute()
    parent, missing = path.parent, path.name
    while not parent.is_dir() and parent != parent.parent:
        parent, missing = parent.parent, parent.name
    near = [child.name for child in parent.iterdir() if child.is_dir() or _is_supported(child)]
    match = closest(missing, near)
    if match.startswith("Did"):
        return f"{shown(match.rstrip('?'))} in {shown(parent)}?"
    return f"There is no '{shown(missing)}' in {shown(parent)}."
