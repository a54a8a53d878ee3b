"""Zip and tar archives into a folder: all of it, or nothing. What may be in one is for `members.py` to judge."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

from vitscope.data.sources.made import MADE_NS
from vitscope.data.sources.members import (
    Contents,
    Member,
    UnsafeName,
    judged,
    link_place,
    most_bytes,
    place_of,
    refused,
    too_large,
)
from vitscope.errors import RequestError
from vitscope.text import brief, count, shown, size, some

CHUNK_BYTES = 1 << 20
LONGEST_READ = 1 << 24  # of a tar's headers: what claims to be longer would fill the memory
LONGEST_TARGET = 4_096  # bytes of a link's target
LEAST_FREE_BYTES = 200_000_000  # that unpacking leaves on the disk

_DAMAGE = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, struct.error, UnicodeDecodeError),
    *(OverflowError, ValueError, IndexError),
)


def unpack(archive: Path, folder: Path) -> list[str]:
    """Everything that is of use in `archive` into `folder`, which exists and is empty; notices for a person.

    Raises `RequestError` where it is refused, damaged, too large or too large for the disk, before anything is written
    as far as its headers tell. Raises `OSError` where the folder cannot be written.
    """
    archive_bytes = archive.stat().st_size
    with _reader(archive) as reader:
        contents = judged(reader.members(), archive, archive_bytes)
        _check_room(archive, folder, contents)
        room = most_bytes(archive_bytes)
        for place, stream in reader.contents(contents):
            with _telling(archive, contents.files[place].name):
                room -= _write(stream, _target(folder, place), contents.files[place], room)
            if room < 0:
                raise too_large(archive, archive_bytes)
        for place, of in contents.copies.items():
            shutil.copy2(folder / of, _target(folder, place))
        return [*contents.notices, *reader.notices]


def _target(folder: Path, place: str) -> Path:
    target = folder / place
    target.parent.mkdir(parents=True, exist_ok=True)
    return target


def _write(stream: IO[bytes], target: Path, member: Member, room: int) -> int:
    """Bytes written, a few more than `room` at most. Its size must be what the header says."""
    written = total = 0
    with target.open("wb") as out:
        while written <= room and (chunk := stream.read(CHUNK_BYTES)):
            out.write(chunk)
            total = zlib.crc32(chunk, total)
            written += len(chunk)
    if written <= room and written != member.size_bytes:
        raise EOFError(f"{written:,} of {member.size_bytes:,} bytes")
    os.utime(target, ns=(MADE_NS + total, MADE_NS + total))
    return written


def _check_room(archive: Path, folder: Path, contents: Contents) -> None:
    need, free = contents.size_bytes, shutil.disk_usage(folder).free
    if need + LEAST_FREE_BYTES > free:
        raise RequestError(
            f"{shown(archive)}: unpacked it takes {size(need)}, and {size(free)} are free where the workspace is. Make "
            "room, or choose another --workspace."
        )


@contextmanager
def _telling(archive: Path, member: str = "") -> Iterator[None]:
    """Turns what readers raise for damage into `RequestError`. A fault of the disk that is written to passes."""
    try:
        yield
    except NotImplementedError as error:
        raise RequestError(
            f"{shown(archive)}: packed in a way that is not known here ({brief(error)}). Unpack it by hand and give "
            "the folder."
        ) from None
    except RuntimeError as error:  # zipfile's, for encryption
        if "password" not in str(error) and "encrypted" not in str(error):
            raise
        raise _encrypted(archive, member) from None
    except _DAMAGE as error:
        raise _damaged(archive, member, error) from None
    except OSError as error:
        if error.errno is not None:
            raise
        raise _damaged(archive, member, error) from None  # of gzip and bz2


def _damaged(archive: Path, member: str, error: Exception) -> RequestError:
    where = f" at its member '{brief(member)}'" if member else ""
    why = brief(str(error) or type(error).__name__)
    return RequestError(f"{shown(archive)}: this archive is damaged{where} ({why}). Fetch it again.")


def _encrypted(archive: Path, member: str) -> RequestError:
    return RequestError(
        f"{shown(archive)}: encrypted, its member '{brief(member)}' wants a password. Unpack it by hand and give the "
        "folder."
    )


# ---------------------------------------------------------------------------------------------- readers


class _Reader(NamedTuple):
    """`members` in the order of the archive; `contents` opens each file that is wanted, by its place."""

    members: Callable[[], Iterator[Member]]
    contents: Callable[[Contents], Iterator[tuple[str, IO[bytes]]]]
    notices: list[str]


@contextmanager
def _reader(archive: Path) -> Iterator[_Reader]:
    """By the content of the archive, not by its name. Raises `RequestError`."""
    try:
        with archive.open("rb") as stream:
            magic = stream.read(6)
    except OSError as error:
        raise RequestError(f"{shown(archive)}: not readable ({error.strerror}).") from None
    if not magic:
        raise RequestError(f"{shown(archive)}: an empty file (0 bytes), no archive.")
    if archive.suffix.lower() == ".zip" or magic.startswith(b"PK"):
        with _telling(archive):
            opened = zipfile.ZipFile(archive)
        with opened:
            yield _of_zip(archive, opened)
    else:
        with archive.open("rb") as stream:
            yield _of_tar(archive, stream, magic)


def _of_zip(archive: Path, opened: zipfile.ZipFile) -> _Reader:
    notices: list[str] = []

    def members() -> Iterator[Member]:
        doubtful = []
        for info in opened.infolist():
            name, is_known = _name_in_zip(info)
            place = _place(archive, name)
            if not is_known:
                doubtful.append(name)
            kind = stat.S_IFMT(info.external_attr >> 16) if info.create_system == 3 else 0
            if info.is_dir() or kind == stat.S_IFDIR or name.endswith("\\"):
                continue
            if info.flag_bits & 0x1:
                raise _encrypted(archive, name)
            if kind == stat.S_IFLNK:
                yield Member(name, place, 0, link_place(place, _link_in_zip(archive, opened, info), from_root=False))
            elif kind in (0, stat.S_IFREG):
                yield Member(name, place, info.file_size, handle=info)
            else:
                raise refused(archive, name, "is a device or a pipe")
        if doubtful:
            notices.append(
                f"{count(len(doubtful), 'name')} in it of an unknown encoding ({some(doubtful)}). If they look wrong, "
                "pack it again with names in UTF-8."
            )

    def contents(wanted: Contents) -> Iterator[tuple[str, IO[bytes]]]:
        for place, member in wanted.files.items():
            with _telling(archive, member.name):
                stream = opened.open(member.handle)
            with stream:
                yield place, stream

    return _Reader(members, contents, notices)


def _name_in_zip(info: zipfile.ZipInfo) -> tuple[str, bool]:
    """A member's name, and whether its encoding is known. macOS writes UTF-8 without saying so."""
    name = info.orig_filename
    if info.flag_bits & 0x800 or name.isascii():
        return name, True
    try:
        return name.encode("cp437").decode(), True
    except UnicodeError:
        return name, False


def _link_in_zip(archive: Path, opened: zipfile.ZipFile, info: zipfile.ZipInfo) -> str:
    if info.file_size > LONGEST_TARGET:
        raise refused(archive, info.filename, "is a link that leads out of it")
    with _telling(archive, info.filename), opened.open(info) as stream:
        return os.fsdecode(stream.read(LONGEST_TARGET))


_COMPRESSED: dict[bytes, Callable[[Any], Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}


def _of_tar(archive: Path, stream: IO[bytes], magic: bytes) -> _Reader:
    plain = next((opener(stream) for start, opener in _COMPRESSED.items() if magic.startswith(start)), stream)

    bounded = _Bounded(plain)

    def opened() -> tarfile.TarFile:
        plain.seek(0)
        with _telling(archive):
            return tarfile.open(fileobj=bounded, mode="r:")

    def headers(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
        """Each, without keeping them all, as tarfile would; and no end but the end of the archive, as it would take."""
        last = ""
        while True:
            with _telling(archive, last):
                info = tar.next()
                tar.members.clear()  # type: ignore[attr-defined]
                if info is None:
                    if bounded.last.strip(b"\0"):
                        raise tarfile.ReadError("what follows it is no header")
                    return
            yield info
            last = info.name

    def members() -> Iterator[Member]:
        for info in headers(opened()):
            place = _place(archive, info.name)
            if info.isdir():
                continue
            if info.islnk() or info.issym():
                yield Member(info.name, place, 0, link_place(place, info.linkname, from_root=info.islnk()))
            elif info.isreg():
                yield Member(info.name, place, info.size, handle=info.offset)
            else:
                raise refused(archive, info.name, "is a device or a pipe")

    def contents(wanted: Contents) -> Iterator[tuple[str, IO[bytes]]]:
        tar = opened()
        for info in headers(tar):
            place = place_of(info.name)
            if info.isreg() and place in wanted.files and wanted.files[place].handle == info.offset:
                file = tar.extractfile(info)
                assert file is not None
                with file:
                    yield place, file

    return _Reader(members, contents, [])


class _Bounded(io.RawIOBase):
    """A stream that refuses to read a header of any length into memory."""

    def __init__(self, stream: IO[bytes]):
        self._stream = stream
        self.last = b""  # that was read

    def read(self, length: int = -1) -> bytes:
        if not 0 <= length <= LONGEST_READ:
            raise tarfile.ReadError(f"a header of {length:,} bytes")
        self.last = self._stream.read(length)
        return self.last

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()


def _place(archive: Path, name: str) -> str:
    try:
        return place_of(name)
    except UnsafeName as why:
        raise refused(archive, name, str(why)) from None
