"""Many files as one, with their sums: a tar every byte of which follows from its list.

`contents.json` comes first and says path, size and SHA-256 of each file that follows; `contents.json.sha256` is its own
sum. A header holds nothing that the list does not, so a reader compares it and believes nothing: a link, a device, a
name that leads out, a file that is not listed, or a flipped bit is a difference and is refused. Nothing is compressed
(weights hardly can be), so an archive unpacks to its own size and is no bomb. Any tar program lists and unpacks it.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from vitscope._version import __version__
from vitscope.errors import RequestError, WorkFailed
from vitscope.storage.artifacts import new_file
from vitscope.text import count, shown

FORMAT = 1
FOLDER = "vitscope-run/"  # in which a tar program puts all of it
CONTENTS, SEAL = "contents.json", "contents.json.sha256"
MOST_CONTENTS = 64 * 2**20  # bytes of the list
MOST_NAME = 1000  # bytes of a path

_BLOCK = 512
_END = bytes(2 * _BLOCK)
_PIECE = 2**20
_OCTAL = 8**11  # from here on a size does not fit in its field

Progress = Callable[[int], None]  # bytes done since it was last called


class Entry(NamedTuple):
    """A listed file."""

    path: str
    size_bytes: int
    sha256: str


class Damaged(RequestError):
    """The archive is not what was written."""


def write(
    target: Path, about: Mapping[str, Any], files: Mapping[str, Path], progress: Progress = lambda done: None
) -> None:
    """Put `files` (path in the archive → file) into one, with `about` in the list. It appears whole, or not at all.

    Each file is read twice, for its sum and for its content; `progress` is told of both. Raises `RequestError` for a
    name that cannot be in an archive, `WorkFailed` where a file changes meanwhile.
    """
    for path, file in files.items():
        if why := refusal(path):
            raise RequestError(f"{shown(file)}: a file of this name cannot be in an archive: {why}. Rename it.")
    entries = [Entry(path, *_summed(files[path], progress)) for path in sorted(files)]
    now = int(time.time())
    listed = {"format": FORMAT, "vitscope": __version__, "time": now, **about}
    text = json.dumps({**listed, "files": [entry._asdict() for entry in entries]}, indent=1, ensure_ascii=False)
    with new_file(target) as stream:
        for name, content in ((CONTENTS, text.encode()), (SEAL, _seal(text.encode()))):
            stream.write(_header(name, len(content), now) + content + _padding(len(content)))
        for entry in entries:
            stream.write(_header(entry.path, entry.size_bytes, now))
            with files[entry.path].open("rb") as source:
                if _copied(source, entry.size_bytes, stream, progress) != entry.sha256 or source.read(1):
                    raise WorkFailed(f"{shown(files[entry.path])}: changed while it was read. Nothing was written.")
            stream.write(_padding(entry.size_bytes))
        stream.write(_END)


@dataclass(frozen=True)
class Archive:
    """An archive whose list has been read and found sound. `about` is what was written beside the list."""

    file: Path
    about: Mapping[str, Any]
    time: int
    entries: tuple[Entry, ...]
    begin: int  # where the first listed file's header lies

    @property
    def size_bytes(self) -> int:
        """Of all listed files together."""
        return sum(entry.size_bytes for entry in self.entries)

    def verify(self, progress: Progress = lambda done: None) -> None:
        """Read all of it and compare every byte with the list. Raises `Damaged`, naming the file that differs."""
        self._read(lambda path: nullcontext(), progress)

    def unpack(self, folder: Path, below: str, progress: Progress = lambda done: None) -> None:
        """Write the files whose path begins with `below` into an empty folder, that beginning cut off.

        Compares as `verify` does, and raises as it does, with what was written so far left in `folder`.
        """

        def place(path: str) -> AbstractContextManager[BinaryIO | None]:
            if not path.startswith(below):
                return nullcontext()
            file = folder / path.removeprefix(below)
            file.parent.mkdir(parents=True, exist_ok=True)
            return file.open("xb")

        self._read(place, progress)

    def places(self) -> dict[str, int]:
        """Where the content of each file begins."""
        found, at = {}, self.begin
        for entry in self.entries:
            found[entry.path] = at + len(_header(entry.path, entry.size_bytes, self.time))
            at += _room(entry.path, entry.size_bytes)
        return found

    def content(self, path: str) -> bytes:
        """The bytes of one file, as they lie there. Raises `Damaged` where it is not listed."""
        size = next((entry.size_bytes for entry in self.entries if entry.path == path), None)
        if size is None:
            raise _damaged(self.file, f"'{path}' is not in it")
        with self.file.open("rb") as stream:
            stream.seek(self.places()[path])
            return stream.read(size)

    def _read(self, place: Callable[[str], AbstractContextManager[BinaryIO | None]], progress: Progress) -> None:
        with self.file.open("rb") as stream:
            stream.seek(self.begin)
            for entry in self.entries:
                header, padding = _header(entry.path, entry.size_bytes, self.time), _padding(entry.size_bytes)
                if stream.read(len(header)) != header:
                    raise _damaged(self.file, f"the header of '{shown(entry.path)}' is not as it was written")
                with place(entry.path) as target:
                    found = _copied(stream, entry.size_bytes, target, progress)
                if found != entry.sha256 or stream.read(len(padding)) != padding:
                    raise _damaged(self.file, f"'{shown(entry.path)}' differs from its sum")
            if stream.read(len(_END) + 1) != _END:
                raise _damaged(self.file, "its end is not as it was written")


def read(file: Path) -> Archive:
    """Read and check the list of an archive, and that all it lists is there by size.

    Raises `RequestError` for what is no archive of ours, or a newer program's; `Damaged` for a part of one.
    """
    try:
        with file.open("rb") as stream:
            actual = stream.seek(0, 2)
            stream.seek(0)
            text, time_ = _contents(file, stream)
            listed = _parsed(file, text)
            seal = _seal(text)
            expected = _header(SEAL, len(seal), time_) + seal + _padding(len(seal))
            if stream.read(len(expected)) != expected:
                raise _damaged(file, "its list differs from its sum")
            begin = stream.tell()
    except OSError as error:
        raise RequestError(f"{shown(file)}: cannot be read ({error.strerror}).") from None
    entries = _entries(file, listed.pop("files", None))
    if listed.pop("time", None) != time_:
        raise _damaged(file, "its list is of another time than its headers")
    _check_size(file, entries, actual - begin)
    about = {name: value for name, value in listed.items() if name != "format"}
    return Archive(file, about, time_, entries, begin)


def refusal(path: str) -> str | None:
    """Why a file of this path cannot be in an archive, here or on another system; None where it can."""
    try:
        size = len(path.encode())
    except UnicodeEncodeError:
        return "its name is no text"
    if size > MOST_NAME:
        return f"its path is longer than {MOST_NAME:,} bytes"
    if re.search(r"[\x00-\x1f\x7f\\:]", path):
        return "it has a control character, a colon or a backslash in its name"
    if any(part in ("", ".", "..") for part in path.split("/")):
        return "its path leads out of its folder"
    return None


# ------------------------------------------------------------------------------------------------ the list


def _contents(file: Path, stream: BinaryIO) -> tuple[bytes, int]:
    """The text of the list and the time in its header."""
    block = stream.read(_BLOCK)
    fields = re.fullmatch(rb".{124}([0-7]{11})\0([0-7]{11})\0.{364}", block, re.S)
    if fields is None or not block.startswith(f"{FOLDER}{CONTENTS}\0".encode()):
        raise RequestError(f"{shown(file)}: not an archive that 'vitscope runs export' has written.")
    size, time_ = (int(field, 8) for field in fields.groups())
    if block != _header(CONTENTS, size, time_) or size > MOST_CONTENTS:
        raise _damaged(file, "the header of its list is not as it was written")
    text = stream.read(size)
    if len(text) < size or stream.read(len(_padding(size))) != _padding(size):
        raise _damaged(file, f"it ends in the middle of its list, after {count(stream.tell(), 'byte')}")
    return text, time_


def _parsed(file: Path, text: bytes) -> dict[str, Any]:
    try:
        listed = json.loads(text)
        format_ = listed["format"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise _damaged(file, "its list cannot be read") from None
    if not isinstance(format_, int) or format_ < 1:
        raise _damaged(file, "its list has no format")
    if format_ > FORMAT:
        raise RequestError(
            f"{shown(file)}: written by a newer vitscope (format {format_}; this program knows {FORMAT}). "
            "Nothing was changed. Update vitscope."
        )
    return listed


def _entries(file: Path, files: Any) -> tuple[Entry, ...]:
    """The listed files, each of which can only lie below the folder into which it is unpacked."""
    try:
        entries = tuple(Entry(**entry) for entry in files)
        is_sound = all(
            type(e.path) is str
            and type(e.size_bytes) is int
            and e.size_bytes >= 0
            and re.fullmatch("[0-9a-f]{64}", e.sha256)
            for e in entries
        )
    except TypeError:
        is_sound, entries = False, ()
    if not is_sound:
        raise _damaged(file, "its list is not one of files with sizes and sums")
    for entry in entries:
        if why := refusal(entry.path):
            raise RequestError(f"{shown(file)}: refused whole: '{shown(entry.path)}' in it: {why}.")
    paths = {entry.path for entry in entries}
    folders = {path[:i] for path in paths for i, letter in enumerate(path) if letter == "/"}
    if len(paths) < len(entries) or paths & folders:
        raise RequestError(f"{shown(file)}: refused whole: two files in it would be at one place.")
    return entries


def _check_size(file: Path, entries: tuple[Entry, ...], there: int) -> None:
    left = there
    for entry in entries:
        left -= _room(entry.path, entry.size_bytes)
        if left < 0:
            raise _damaged(file, f"it is cut off in '{shown(entry.path)}', {count(-left, 'byte')} before its end")
    if left < len(_END):
        raise _damaged(file, "it is cut off at its end")
    if left > len(_END):
        raise _damaged(file, f"{count(left - len(_END), 'byte')} follow its end")


def _damaged(file: Path, what: str) -> Damaged:
    return Damaged(
        f"{shown(file)}: damaged or altered: {what}. Nothing was imported. Copy it again from where it was exported, "
        "or export it again."
    )


# ---------------------------------------------------------------------------------------------- the format


def _header(path: str, size: int, time_: int) -> bytes:
    """The blocks before a file's content, as POSIX.1-2001 has them: with a record for what its fields cannot hold."""
    name = f"{FOLDER}{path}".encode()
    records = b""
    if len(name) > 100 or not name.isascii():
        records += _record("path", name)
    if size >= _OCTAL:
        records += _record("size", str(size).encode())
    if not records:
        return _plain_header(name, size, time_)
    extended = _plain_header(b"././@PaxHeader", len(records), time_, b"x") + records + _padding(len(records))
    return extended + _plain_header(name[:100], size if size < _OCTAL else 0, time_)


def _plain_header(name: bytes, size: int, time_: int, kind: bytes = b"0") -> bytes:
    before = name.ljust(100, b"\0") + b"0000644\0" + 2 * b"0000000\0" + b"%011o\0%011o\0" % (size, time_)
    after = kind + bytes(100) + b"ustar\x0000" + bytes(64) + 2 * b"0000000\0" + bytes(167)
    return before + b"%06o\0 " % (sum(before) + 8 * ord(" ") + sum(after)) + after


def _record(key: str, value: bytes) -> bytes:
    """`27 path=…\n`: the number is the length of all of it, itself included."""
    rest = f" {key}=".encode() + value + b"\n"
    length = len(rest)
    while (whole := len(rest) + len(str(length))) != length:
        length = whole
    return str(length).encode() + rest


def _padding(size: int) -> bytes:
    return bytes(-size % _BLOCK)


def _room(path: str, size: int) -> int:
    return len(_header(path, size, 0)) + size + len(_padding(size))


def _seal(text: bytes) -> bytes:
    """As `sha256sum` writes it."""
    return f"{hashlib.sha256(text).hexdigest()}  {CONTENTS}\n".encode()


def _summed(file: Path, progress: Progress) -> tuple[int, str]:
    """Size and sum of a file."""
    digest, size = hashlib.sha256(), 0
    with file.open("rb") as stream:
        while piece := stream.read(_PIECE):
            digest.update(piece)
            size += len(piece)
            progress(len(piece))
    return size, digest.hexdigest()


def _copied(source: BinaryIO, size: int, target: BinaryIO | None, progress: Progress) -> str:
    """Read so many bytes, into `target` where there is one; their sum."""
    digest = hashlib.sha256()
    while size and (piece := source.read(min(size, _PIECE))):
        digest.update(piece)
        if target is not None:
            target.write(piece)
        size -= len(piece)
        progress(len(piece))
    return digest.hexdigest()
