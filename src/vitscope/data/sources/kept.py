"""The index of a large folder or table, kept in the workspace: opened again by its folders' times, not the files'.

The time of a folder changes when something is added to it, removed from it or renamed in it. So where the times of all
folders are what they were, so are the names in them. A file that was written over in place does not show by that: who
takes a kept index compares the files themselves later (`workflows/verify.py`).
"""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from vitscope.data.manifest import Manifest, sample_id, texts_beside
from vitscope.data.sources.folder import FolderSource
from vitscope.data.sources.made import MadeSource
from vitscope.data.sources.scan import Source
from vitscope.data.sources.table import TableSource
from vitscope.data.sources.walk import Folder
from vitscope.errors import RequestError

LARGE = 50_000  # pictures from which on an index is kept; a look at fewer takes a second
SETTLED_NS = 3_000_000_000  # a folder changed so shortly before it was read could change again and keep its time
VERSION = "1"


class Indexed(NamedTuple):
    """The samples of a source, and what a person should be told about it."""

    manifest: Manifest
    notices: list[str]


def index(source: Source, place: Path | None) -> Indexed:
    """The pictures of a source: looked at now; many in folders are kept in the folder `place`, and taken from there.

    Raises `RequestError` as the source's `scan` does.
    """
    if isinstance(source, MadeSource):
        opened = source.opened()
        try:
            manifest, notices = index(opened.source, place)
        except RequestError as error:
            raise source.about(error, opened) from None
        return Indexed(manifest, [*opened.notices, *notices])
    if not isinstance(source, (FolderSource, TableSource)):
        records, classes, notices = source.scan()
        return Indexed(Manifest.from_records(records, classes, source.name), notices)
    file = None if place is None else place / f"{sample_id(source.name, '', source.location)}.parquet"
    if file is not None and (found := _open(file)) is not None:
        return found
    began_ns = time.time_ns()
    (records, classes, notices), folders = source.walk()
    manifest = Manifest.from_records(records, classes, source.name)
    if file is not None and len(manifest) >= LARGE and folders is not None:
        _keep(file, manifest, notices, folders, began_ns)
    return Indexed(manifest, notices)


def _keep(file: Path, manifest: Manifest, notices: list[str], folders: list[Folder], began_ns: int) -> None:
    if max(folder.mtime_ns for folder in folders) > began_ns - SETTLED_NS:
        return
    seen = {folder.path: [folder.identity[1], folder.mtime_ns] for folder in folders}
    beside = {"version": VERSION, "notices": json.dumps(notices), "folders": json.dumps(seen)}
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        manifest.save(file, beside=beside)
    except OSError:  # a full disk: the next time looks again
        return


def _open(file: Path) -> Indexed | None:
    """What was kept, where every folder is as it was."""
    try:
        beside = texts_beside(file)
        if beside.get("version") != VERSION:
            return None
        for path, was in json.loads(beside["folders"]).items():
            now = Path(path).stat()
            if [now.st_ino, now.st_mtime_ns] != was:
                return None
        return Indexed(replace(Manifest.load(file), kept=(file,)), json.loads(beside["notices"]))
    except (OSError, KeyError, ValueError, pa.ArrowException, RequestError):
        return None
