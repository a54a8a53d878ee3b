"""Pictures that people bring: each a file named by its own sum in the workspace's cache, few, and none too large."""

from __future__ import annotations

import hashlib
import os
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import IO

from vitscope.errors import RequestError, WorkFailed
from vitscope.storage.workspace import Workspace

FOLDER = "uploads"  # of the cache; where workflows/pictures.py looks for them
MOST_BYTES = 20_000_000
MOST_FILES = 100
_LEFT_OVER_S = 3_600.0


class TooLarge(RequestError):
    """More bytes than a picture may have."""

    def __init__(self) -> None:
        super().__init__(f"The file is larger than {MOST_BYTES // 1_000_000} MB, which is the most that is taken.")


class Uploads:
    def __init__(self, workspace: Workspace):
        self.folder = workspace.cache_folder / FOLDER

    async def take(self, chunks: AsyncIterator[bytes], told_bytes: int | None) -> str:
        """Store what comes in; gives its SHA-256. Raises `TooLarge` as soon as it is, nothing being kept, and
        `WorkFailed` where nothing can be written."""
        if told_bytes is not None and told_bytes > MOST_BYTES:
            raise TooLarge
        temporary = self.folder / f".{secrets.token_hex(8)}.part"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with temporary.open("xb") as file:
                name = await _copy(chunks, file)
            temporary.replace(self.folder / name)
            self._make_room()
        except OSError as error:
            raise WorkFailed(f"{self.folder}: the picture could not be stored ({error.strerror}).") from None
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
        return name

    def drop(self, name: str) -> None:
        """Forget one that turned out to be no picture."""
        (self.folder / name).unlink(missing_ok=True)

    def _make_room(self) -> None:
        found = [Path(entry.path) for entry in os.scandir(self.folder)]
        for part in (file for file in found if file.suffix == ".part"):  # of a server that died
            if time.time() - part.stat().st_mtime > _LEFT_OVER_S:
                part.unlink(missing_ok=True)
        whole = sorted((file.stat().st_mtime_ns, file) for file in found if file.suffix != ".part")
        for _, file in whole[:-MOST_FILES]:
            file.unlink(missing_ok=True)


async def _copy(chunks: AsyncIterator[bytes], file: IO[bytes]) -> str:
    digest, size = hashlib.sha256(), 0
    async for chunk in chunks:
        size += len(chunk)
        if size > MOST_BYTES:
            raise TooLarge
        digest.update(chunk)
        file.write(chunk)
    return digest.hexdigest()
