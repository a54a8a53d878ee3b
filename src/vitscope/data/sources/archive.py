"""Zip and tar archives: unpacked once into the workspace, then read as the folder, or the table, that they hold.

What is unpacked lies under a hash of the archive's content, so that it is never that of an earlier archive of the same
name. The content is read for this once, and again only when the file's size, times or inode say that it was touched.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa

from vitscope.data.manifest import Manifest, compute
from vitscope.data.sources import table
from vitscope.data.sources.columns import NEEDED, has_needed
from vitscope.data.sources.folder import FolderSource
from vitscope.data.sources.grid import header_of
from vitscope.data.sources.names import EXTENSIONS, extension, is_ignored
from vitscope.data.sources.scan import Scan
from vitscope.data.sources.table import TableSource
from vitscope.data.sources.unpack import unpack
from vitscope.errors import RequestError
from vitscope.storage.artifacts import files_below, new_folder, write_json
from vitscope.text import shown, some

if TYPE_CHECKING:
    from vitscope.storage.workspace import Workspace

ENDINGS = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
FORMAT = 1
FILES, ABOUT = "files", "about.json"
KEY_CHARACTERS = 32
SETTLED_NS = 3_000_000_000  # a file changed so shortly before it was read could change again and keep its time


@dataclass(frozen=True)
class ArchiveSource:
    """What `file` holds, named after it without its ending."""

    workspace: Workspace
    file: Path  # absolute, the links of its folder resolved
    name: str

    @classmethod
    def at(cls, path: str | Path, workspace: Workspace) -> ArchiveSource:
        """The source at `path`."""
        written = Path(os.path.normpath(Path(path).expanduser().absolute()))
        ending = max((e for e in ENDINGS if written.name.lower().endswith(e)), key=len, default="")
        name = written.name[: len(written.name) - len(ending)]
        return cls(workspace, written.parent.resolve() / written.name, name or "images")

    @property
    def location(self) -> str:
        return str(self.file)

    def scan(self) -> Scan:
        opened = self.opened()
        try:
            records, classes, notices = opened.source.scan()
        except RequestError as error:
            raise self.about(error, opened) from None
        return Scan(records, classes, [*opened.notices, *notices])

    def opened(self) -> Opened:
        """The folder or the table in it, unpacked now if it is not yet. Raises `RequestError`."""
        folder = self.folder()
        try:
            told = json.loads((folder / ABOUT).read_text(encoding="utf-8"))["notices"]
        except (OSError, ValueError, KeyError):
            told = []
        inside, notices = _inside(folder / FILES, self.name)
        return Opened(inside, [f"{shown(self.file.name)}: {text}" for text in [*told, *notices]])

    def about(self, error: RequestError, opened: Opened) -> RequestError:
        """An error about what is in it, as one that names the archive."""
        return RequestError(" ".join([f"{shown(self.file)}, unpacked: {error}", *opened.notices]))

    def folder(self) -> Path:
        """Where this content of it lies unpacked. Raises `RequestError` as `unpack` does, and where it cannot be."""
        try:
            place = archives_folder(self.workspace)
            key, stamp = self._key(place)
            if not (place / key / ABOUT).is_file():
                self._unpack(place / key, stamp)
            with suppress(OSError):
                os.utime(place / key / ABOUT)  # used now
        except OSError as error:
            raise RequestError(f"{shown(self.file)}: could not be unpacked ({error.strerror or error}).") from None
        return place / key

    def moved(self, manifest: Manifest) -> Manifest:
        """A manifest of an earlier content of it, with the paths that the same members have now."""
        place = f"{archives_folder(self.workspace)}{os.sep}"
        rest = compute.utf8_slice_codeunits(manifest.table["path"], len(place) + KEY_CHARACTERS)
        now = compute.binary_join_element_wise(f"{place}{self.folder().name}", rest, "")
        return manifest.with_column("path", compute.if_else(_is_below(manifest, place), now, manifest.table["path"]))

    def _unpack(self, folder: Path, stamp: list[int]) -> None:
        from filelock import FileLock

        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(f".{folder.name}.lock")):  # a second process waits for the first
            if (folder / ABOUT).is_file():
                return
            for left_over in folder.parent.glob(f".{folder.name}.*.tmp"):  # of a process that was killed
                shutil.rmtree(left_over, ignore_errors=True)
            with new_folder(folder, durable=False) as new:
                (new / FILES).mkdir()
                notices = unpack(self.file, new / FILES)
                sizes = files_below(new / FILES).values()
                described = {"format": FORMAT, "archive": str(self.file), "notices": notices}
                write_json(new / ABOUT, {**described, "files": len(sizes), "bytes": sum(sizes)})
                if hasattr(os, "sync"):
                    os.sync()  # once for all of them, before they count as whole
                if _stamp(self.file) != stamp:
                    raise RequestError(f"{shown(self.file)}: changed while it was read. Try again when it is finished.")

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


class Opened(NamedTuple):
    """What an archive holds, and what a person should be told about it."""

    source: FolderSource | TableSource
    notices: list[str]


def archives_folder(workspace: Workspace) -> Path:
    """Where a workspace keeps what archives held."""
    return workspace.cache_folder.resolve() / "archives"


def _stamp(file: Path) -> list[int]:
    found = file.stat()
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]


def _hash(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=KEY_CHARACTERS // 2).hexdigest()


def _is_below(manifest: Manifest, place: str) -> pa.ChunkedArray:
    return compute.starts_with(manifest.table["path"], place)


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


class Unpacked(NamedTuple):
    """What an archive held, on disk; `used_at` in seconds since 1970."""

    folder: Path
    archive: str
    files: int
    bytes: int
    used_at: float


def unpacked(workspace: Workspace) -> list[Unpacked]:
    """What archives take in a workspace, the one used last first."""
    found = []
    for about in archives_folder(workspace).glob(f"[!.]*/{ABOUT}"):
        with suppress(OSError, ValueError, KeyError):
            told = json.loads(about.read_text(encoding="utf-8"))
            found.append(Unpacked(about.parent, told["archive"], told["files"], told["bytes"], about.stat().st_mtime))
    return sorted(found, key=lambda each: -each.used_at)


def discard(each: Unpacked) -> None:
    """Remove what an archive held: it is unpacked again when it is next read."""
    doomed = each.folder.with_name(f".{each.folder.name}.{os.getpid()}.removed")
    with suppress(FileNotFoundError):
        each.folder.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)


def is_used_by(each: Unpacked, manifest: Manifest) -> bool:
    """Whether samples of a manifest lie there."""
    return bool(compute.any(_is_below(manifest, f"{each.folder}{os.sep}")).as_py())


def restore(manifest: Manifest, workspace: Workspace) -> None:
    """Unpack again what a manifest needs and was discarded, where the archives are as they were."""
    place = f"{archives_folder(workspace)}{os.sep}"
    paths = manifest.table["path"].filter(_is_below(manifest, place))
    keys = compute.utf8_slice_codeunits(paths, len(place), len(place) + KEY_CHARACTERS).unique().to_pylist()
    gone = {key for key in keys if not (Path(place) / key).is_dir()}
    for file, key in _remembered(Path(place)) if gone else ():
        if key in gone:
            with suppress(RequestError):  # what is missing is told by whoever reads the pictures
                ArchiveSource.at(file, workspace).folder()


def _remembered(place: Path) -> Iterator[tuple[str, str]]:
    for memory in place.glob("*.json"):
        with suppress(OSError, ValueError, KeyError):
            known = json.loads(memory.read_text(encoding="utf-8"))
            yield known["archive"], known["key"]
