"""What the workspace takes out of something else (an archive, a set of torchvision's or of the hub) and keeps.

Each content lies in a folder of its own in the workspace's cache, by a name that says what it is: whole, or not there.
It is made once, given back by `discard`, and made again when it is next wanted.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa

from vitscope.data.manifest import Manifest, compute
from vitscope.data.sources.scan import Scan, Source
from vitscope.errors import RequestError
from vitscope.storage.artifacts import files_below, new_folder, write_json
from vitscope.text import brief

if TYPE_CHECKING:
    from vitscope.storage.workspace import Workspace

ABOUT = "about.json"
FORMAT = 1
MADE_NS = 946_684_800 * 10**9  # time of every file, to which its sum is added: a changed file shows by its time


class Opened(NamedTuple):
    """What a made folder holds, and what a person should be told about it."""

    source: Source
    notices: list[str]


@dataclass(frozen=True)
class MadeSource(ABC):
    """A source whose pictures the workspace makes the first time they are looked at."""

    workspace: Workspace

    @property
    @abstractmethod
    def name(self) -> str: ...

    @property
    @abstractmethod
    def location(self) -> str: ...

    @property
    @abstractmethod
    def place(self) -> Path:
        """The folder of all that is made of this kind of source."""

    @abstractmethod
    def folder(self) -> Path:
        """Where its present content lies, made now if it is not there. Raises `RequestError` where it cannot be."""

    @abstractmethod
    def opened(self) -> Opened:
        """What is in that folder. Raises `RequestError`."""

    def about(self, error: RequestError, opened: Opened) -> RequestError:
        """An error about what is in it, as one that names the source."""
        return RequestError(" ".join([f"{self.location}: {error}", *opened.notices]))

    def scan(self) -> Scan:
        opened = self.opened()
        try:
            records, classes, notices = opened.source.scan()
        except RequestError as error:
            raise self.about(error, opened) from None
        return Scan(records, classes, [*opened.notices, *notices])

    def moved(self, manifest: Manifest) -> Manifest:
        """A manifest of an earlier content of it, with the paths that the same pictures have now."""
        earlier = f"^{re.escape(f'{self.place}{os.sep}')}[^/\\\\]+"
        now = str(self.folder()).replace("\\", "\\\\")
        return manifest.with_column(
            "path", compute.replace_substring_regex(manifest.table["path"], pattern=earlier, replacement=now)
        )


def make(folder: Path, source: str, fill: Callable[[Path], Sequence[str]]) -> None:
    """Have `fill` write into a new folder, which becomes `folder` in one step; nothing where that is there already.

    `source` is the text by which `open_source` finds again what it is made of. `fill` returns what a person should be
    told of it each time it is read. Raises as `fill` does, and `OSError` where nothing can be written.
    """
    from filelock import FileLock

    if not is_whole(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(f".{folder.name}.lock")):  # a second process waits for the first
            if not is_whole(folder):
                for left_over in folder.parent.glob(f".{folder.name}.*.tmp"):  # of a process that was killed
                    shutil.rmtree(left_over, ignore_errors=True)
                with new_folder(folder, durable=False) as new:
                    notices = list(fill(new))
                    sizes = files_below(new).values()
                    described = {"format": FORMAT, "source": source, "notices": notices}
                    write_json(new / ABOUT, {**described, "files": len(sizes), "bytes": sum(sizes)})
                    if hasattr(os, "sync"):
                        os.sync()  # once for all of them, before they count as whole
    with suppress(OSError):
        os.utime(folder / ABOUT)  # used now


def is_whole(folder: Path) -> bool:
    return (folder / ABOUT).is_file()


def reason_of(error: BaseException) -> str:
    """What a library's error says, on one line and no longer than a person reads."""
    return brief(" ".join(str(error).split()) or type(error).__name__)


def told(folder: Path) -> list[str]:
    """What its making told."""
    try:
        return list(json.loads((folder / ABOUT).read_text(encoding="utf-8"))["notices"])
    except (OSError, ValueError, KeyError):
        return []


# ---------------------------------------------------------------------------------------------- on disk


class Place(NamedTuple):
    """A folder of made folders, and what is said of them: unpacked or fetched."""

    folder: Path
    kind: str


class Made(NamedTuple):
    """A made folder on disk; `used_at` in seconds since 1970."""

    kind: str
    folder: Path
    source: str
    files: int
    bytes: int
    used_at: float


def made_in(place: Place) -> list[Made]:
    """What lies whole in a place."""
    found = []
    for about in place.folder.glob(f"[!.]*/{ABOUT}"):
        with suppress(OSError, ValueError, KeyError):
            known = json.loads(about.read_text(encoding="utf-8"))
            what = (known["source"], known["files"], known["bytes"])
            found.append(Made(place.kind, about.parent, *what, about.stat().st_mtime))
    return found


def discard(each: Made) -> None:
    """Remove it: it is made again when it is next read."""
    doomed = each.folder.with_name(f".{each.folder.name}.{os.getpid()}.removed")
    with suppress(FileNotFoundError):
        each.folder.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)


def is_used_by(each: Made, manifest: Manifest) -> bool:
    """Whether samples of a manifest lie there."""
    return bool(compute.any(_is_below(manifest, each.folder)).as_py())


def gone(manifest: Manifest, place: Path) -> set[str]:
    """The names of the folders in a place that samples of a manifest lie in and that are not there."""
    paths = manifest.table["path"].filter(_is_below(manifest, place))
    below = compute.utf8_slice_codeunits(paths, len(f"{place}{os.sep}"))
    names = compute.replace_substring_regex(below, pattern=r"[/\\].*", replacement="").unique().to_pylist()
    return {name for name in names if not (place / name).is_dir()}


def made_again(sources: Iterable[MadeSource]) -> list[RequestError]:
    """Make what these sources are of; what cannot be made, and why, is for whoever misses the pictures to tell."""
    failed = []
    for source in sources:
        try:
            source.folder()
        except RequestError as error:
            failed.append(error)
    return failed


def _is_below(manifest: Manifest, folder: Path) -> pa.ChunkedArray:
    return compute.starts_with(manifest.table["path"], f"{folder}{os.sep}")
