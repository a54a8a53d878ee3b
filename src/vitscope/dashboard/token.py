"""The token that is kept in the workspace, so that a page that is open survives a restart of the server."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from vitscope.storage.workspace import Workspace

FILE = ".dashboard-token"
LOCK_S = 5.0
_TOKEN = re.compile(r"[A-Za-z0-9_-]{32,128}")


def kept_token(workspace: Workspace) -> str:
    """The workspace's token; a new one where there is none, or where others than its owner can read it.

    It is kept in memory alone where the workspace cannot be written, or cannot keep a file from others.
    """
    file = workspace.root / FILE
    if (token := _read(file)) is not None:
        return token
    token = secrets.token_urlsafe(32)
    try:
        workspace.root.mkdir(parents=True, exist_ok=True)
        with _alone(workspace.root):
            if (kept := _read(file)) is not None:  # of another that started in the same moment
                return kept
            _write(file, token)
            if _read(file) != token:  # a file system without owners: everybody reads everything
                file.unlink(missing_ok=True)
    except (OSError, NotImplementedError, Timeout):
        pass
    return token


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Nobody else makes a token for this workspace while inside."""
    lock = root / f"{FILE}.lock"
    with FileLock(lock, timeout=LOCK_S):
        yield
    with suppress(OSError):  # who waits for it finds the token that was made
        lock.unlink(missing_ok=True)


def _read(file: Path) -> str | None:
    """The token in a file of our own that nobody else can read, else None."""
    try:
        descriptor = os.open(file, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    except OSError:
        return None
    with os.fdopen(descriptor, encoding="ascii", errors="replace") as stream:
        if os.name == "posix":
            told = os.fstat(descriptor)
            if told.st_uid != os.geteuid() or told.st_mode & 0o077:
                return None
        token = stream.read(200).strip()
    return token if _TOKEN.fullmatch(token) else None


def _write(file: Path, token: str) -> None:
    temporary = file.with_name(f"{file.name}.{secrets.token_hex(8)}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as stream:
            stream.write(token + "\n")
        temporary.replace(file)  # not written into: one that others hold open shows them nothing new
    finally:
        temporary.unlink(missing_ok=True)
