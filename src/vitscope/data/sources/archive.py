"""Zip and tar archives: unpacked once into the workspace, then read as the folder, or the table, that they hold.

What is unpacked lies under a hash of the archive's content, so that it is never that of an earlier archive of the same
name. The content is read for this once, and again only when the file's size, times or inode say that it was touched.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vitscope.data.manifest import Manifest
from vitscope.data.sources import table
from vitscope.data.sources.columns import NEEDED, has_needed
from vitscope.data.sources.folder import FolderSource
from vitscope.data.sources.grid import header_of
from vitscope.data.sources.made import FORMAT, MadeSource, Opened, gone, made_again, make, told
from vitscope.data.sources.names import EXTENSIONS, extension, is_ignored
from vitscope.data.sources.table import TableSource
from vitscope.data.sources.unpack import unpack
from vitscope.errors import RequestError
from vitscope.storage.artifacts import write_json
from vitscope.text import shown, some

if TYPE_CHECKING:
    from vitscope.storage.workspace import Workspace

ENDINGS = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
FILES = "files"
KEY_CHARACTERS = 32
SETTLED_NS = 3_000_000_000  # a file changed so shortly before it was read could change again and keep its time


@dataclass(frozen=True)
class ArchiveSource(MadeSource):
    """What `file` holds, named after it without its ending."""

    file: Path  # absolute, the links of its folder resolved

    @classmethod
    def at(cls, path: str | Path, workspace: Workspace) -> ArchiveSource:
        """The source at `path`."""
        written = Path(os.path.normpath(Path(path).expanduser().absolute()))
        return cls(workspace, written.parent.resolve() / written.name)

    @property
    def name(self) -> str:
        ending = max((e for e in ENDINGS if self.file.name.lower().endswith(e)), key=len, default="")
        return self.file.name[: len(self.file.name) - len(ending)] or "images"

    @property
    def location(self) -> str:
        return str(self.file)

    @property
    def place(self) -> Path:
        return place_in(self.workspace)

    def opened(self) -> Opened:
        """The folder or the table in it, unpacked now if it is not yet. Raises `RequestError`."""
        folder = self.folder()
        inside, notices = _inside(folder / FILES, self.name)
        return Opened(inside, [f"{shown(self.file.name)}: {text}" for text in [*told(folder), *notices]])

    def about(self, error: RequestError, opened: Opened) -> RequestError:
        return RequestError(" ".join([f"{shown(self.file)}, unpacked: {error}", *opened.notices]))

    def folder(self) -> Path:
        """Where this content of it lies unpacked. Raises `RequestError` as `unpack` does, and where it cannot be."""
        try:
            key, stamp = self._key(self.place)
            make(self.place / key, self.location, lambda new: self._unpack(new, stamp))
        except OSError as error:
            raise RequestError(f"{shown(self.file)}: could not be unpacked ({error.strerror or error}).") from None
        return self.place / key

    def _unpack(self, new: Path, stamp: list[int]) -> list[str]:
        (new / FILES).mkdir()
        notices = unpack(self.file, new / FILES)
        if _stamp(self.file) != stamp:
            raise RequestError(f"{shown(self.file)}: changed while it was read. Try again when it is finished.")
        return notices

    def _key(self, place: Path) -> tuple[str, list[int]]:
        """The hash of its content, as remembered or found out now; and the state of the file that it belongs to."""
        stamp = _stamp(self.file)
        memory = place / f"{_hash(str(self.file).encode(errors='surrogateescape'))}.json"
        with suppress(OSError, ValueError, KeyError):
            known = json.loads(memory.read_text(encoding="utf-8"))
            if known["stamp"] == stamp and known["format"] == FORMAT:
                return known["key"], stamp
        began_ns = time.time_ns()
        with self.file.open("rb") as stream:
            digest = hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=KEY_CHARACTERS // 2)).hexdigest()
        if max(stamp[1:3]) < began_ns - SETTLED_NS and _stamp(self.file) == stamp:
            with suppress(OSError):  # a full or a read-only disk: the next time reads it again
                place.mkdir(parents=True, exist_ok=True)
                write_json(memory, {"format": FORMAT, "archive": str(self.file), "stamp": stamp, "key": digest})
        return digest, stamp


def place_in(workspace: Workspace) -> Path:
    """Where a workspace keeps what archives held."""
    return workspace.cache_folder.resolve() / "archives"


def _stamp(file: Path) -> list[int]:
    found = file.stat()
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]


def _hash(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=KEY_CHARACTERS // 2).hexdigest()


# ---------------------------------------------------------------------------------------------- folder or table


def _inside(root: Path, name: str) -> Opened:
    """A table where there is one at the root, or in the single folder there, and no other; else the folder."""
    folder = root
    while True:
        visible = sorted((p for p in folder.iterdir() if not is_ignored(p.name)), key=lambda p: p.name)
        tables = [p for p in visible if p.is_file() and p.name.lower().endswith(table.ENDINGS)]
        folders = [p for p in visible if p.is_dir()]
        if tables or len(folders) != 1 or any(extension(p.name) in EXTENSIONS for p in visible if p.is_file()):
            break
        folder = folders[0]
    if len(tables) == 1 and _is_of_pictures(tables[0]):
        return Opened(TableSource(tables[0], name, within=root), [f"read by its table '{shown(tables[0].name)}'."])
    notices = []
    if tables:
        why = f"no columns {some(NEEDED)}" if len(tables) == 1 else "one at a time can be: unpack it to use them"
        notices = [f"its {'table' if len(tables) == 1 else 'tables'} {some(t.name for t in tables)} not read, {why}."]
    return Opened(FolderSource(root, name), notices)


def _is_of_pictures(file: Path) -> bool:
    try:
        return has_needed(header_of(file).names)
    except RequestError:
        return False


# ---------------------------------------------------------------------------------------------- on disk


def restore(manifest: Manifest, workspace: Workspace) -> list[RequestError]:
    """Unpack again what a manifest needs and was discarded, where the archives are as they were; else why not."""
    place = place_in(workspace)
    needed = gone(manifest, place)
    files = [file for file, key in _remembered(place) if key in needed] if needed else []
    return made_again(ArchiveSource.at(file, workspace) for file in files)


def _remembered(place: Path) -> Iterator[tuple[str, str]]:
    for memory in place.glob("*.json"):
        with suppress(OSError, ValueError, KeyError):
            known = json.loads(memory.read_text(encoding="utf-8"))
            yield known["archive"], known["key"]
