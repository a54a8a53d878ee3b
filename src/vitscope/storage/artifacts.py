"""Files that must never be half-written, and their sums."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO


def sha256(file: Path) -> str:
    """Hex sum of a file's content."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_atomically(file: Path, content: str | bytes) -> None:
    """Replace `file` in one step: a reader sees the old content or the new, never a part."""
    with new_file(file) as stream:
        stream.write(content.encode() if isinstance(content, str) else content)


@contextmanager
def new_file(file: Path) -> Iterator[BinaryIO]:
    """A stream into a temporary file that becomes `file` in one rename on success and is removed on failure."""
    temporary = _temporary(file)
    try:
        with temporary.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(file: Path, value: Any) -> None:
    write_atomically(file, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


@contextmanager
def new_folder(folder: Path, *, durable: bool = True) -> Iterator[Path]:
    """Fill a temporary folder that becomes `folder` in one rename on success and is removed on failure.

    `durable` flushes every file to the disk first; without it a power cut may leave empty files, for what can be made
    anew.
    """
    temporary = _temporary(folder)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        if durable:
            for file in (*temporary.rglob("*"), temporary):
                flush(file)
        temporary.rename(folder)
        if durable:
            flush(folder.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def files_below(folder: Path) -> dict[str, int]:
    """Sizes in bytes of the finished files in a folder that may be written meanwhile, by their sorted relative names.

    What has a hidden name is somebody's unfinished work, and what goes away while one looks is not there.
    """
    found: dict[str, int] = {}
    for place, folders, names in os.walk(folder):  # passes over folders that have gone
        folders[:] = [name for name in folders if name[0] != "."]
        for name in names:
            file = Path(place, name)
            with suppress(OSError):
                if name[0] != "." and not file.is_symlink():
                    found[file.relative_to(folder).as_posix()] = file.stat().st_size
    return dict(sorted(found.items()))


def flush(path: Path) -> None:
    """Force a file's or folder's content to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def point(link: Path, target: Path) -> None:
    """Let `link` point to `target` (its sibling), replaced atomically; a pointer file where there are no symlinks."""
    temporary = _temporary(link)
    if link.is_dir() and not link.is_symlink():  # a copy that followed links left a folder here
        shutil.rmtree(link)
    try:
        temporary.symlink_to(target.name)
    except (OSError, NotImplementedError) as error:
        if not _has_no_symlinks(error):  # a full disk, say: to be told, not to be written around
            raise
        temporary.write_text(target.name)
    temporary.replace(link)


def _has_no_symlinks(error: Exception) -> bool:
    """Whether the file system, or Windows for this user, refuses symlinks as such."""
    if isinstance(error, OSError):
        return os.name == "nt" or error.errno in (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
    return True


def pointed(link: Path) -> Path | None:
    """The folder that `link` points to, or None where it is missing or dangling.

    One that is moved on and whose old target is removed meanwhile is read again: it is never taken for missing.
    """
    target = _target(link)
    while target is not None and not target.is_dir():
        before, target = target, _target(link)
        if target == before:
            return None
    return target


def _target(link: Path) -> Path | None:
    """Where a link leads now, whether or not anything is there; None where there is no link."""
    if link.is_symlink() or link.is_dir():
        return link.resolve()
    try:
        return link.parent / link.read_text().strip()
    except OSError:
        return None


def _temporary(path: Path) -> Path:
    """A name beside `path` that nobody else takes: two containers may have the same process number."""
    return path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
