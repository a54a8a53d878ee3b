"""Decode once: reduced training pictures kept on disk and read through a memory map.

A cache is a folder of two files with a slot for each picture: `pixels.bin`, sparse, with a fixed place a slot, and
`slots.bin` with the sum, height and width of what is in it. A slot is filled when its picture is first decoded. Its sum
is written last and checked whenever it is read, so a slot is whole or counts as empty, whatever stopped a write. The
same picture gives the same bytes, so processes that fill the same slot agree: no locks, any number of runs at once.

What is here can be thrown away at any time: runs that use it keep what they have open, or decode again.
"""

from __future__ import annotations

import json
import mmap
import os
import shutil
import struct
import zlib
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vitscope.data.manifest import Manifest
from vitscope.data.pictures import Pictures
from vitscope.storage.artifacts import new_folder, write_json

FORMAT = 1
PIXELS, SLOTS, ABOUT = "pixels.bin", "slots.bin", "about.json"
SLOT = struct.Struct("<IHH")  # sum, height, width
LONGEST = 2.0  # aspect ratio up to which a picture fits its slot; longer ones are decoded each time
PAGE = 4096  # a slot begins on a page, so that an empty one takes no disk
LEAST_FREE_BYTES = 1_000_000_000  # room that filling leaves on the disk
CHECK_FREE_EVERY = 64  # writes


class CacheKind(NamedTuple):
    """What a cache holds: pictures of one manifest, reduced to one side."""

    fingerprint: str
    side: int

    @property
    def name(self) -> str:
        """The folder's name."""
        return blake2b(f"{FORMAT} {self.fingerprint} {self.side}".encode(), digest_size=12).hexdigest()

    @property
    def stride(self) -> int:
        """Bytes from one slot to the next."""
        return -(-round(3 * self.side * self.side * LONGEST) // PAGE) * PAGE


def opened(folder: Path, kind: CacheKind, count: int, source: str) -> Path:
    """The cache's folder in `folder`, made with `count` empty slots where there is none. Raises `OSError`."""
    target = folder / kind.name
    if not (target / ABOUT).is_file():
        try:
            with new_folder(target, durable=False) as new:
                for name, size in ((PIXELS, count * kind.stride), (SLOTS, count * SLOT.size)):
                    with (new / name).open("wb") as stream:
                        stream.truncate(size)
                write_json(new / ABOUT, {"format": FORMAT, "source": source, "side": kind.side, "slots": count})
        except OSError:
            if not (target / ABOUT).is_file():  # else another run made it in the meantime
                raise
    os.utime(target / ABOUT)  # used now: `make_room` goes by it
    return target


@dataclass
class CachedPictures:
    """Pictures of `reduced`, each from its slot where it is filled; else decoded and its slot filled.

    Row r of `reduced` has slot `slots[r]` in the cache at `folder`.
    """

    reduced: Pictures
    folder: Path
    slots: np.ndarray
    stride: int
    _files: _Files | None = field(default=None, init=False, repr=False)
    _writes: int = field(default=0, init=False, repr=False)
    _broken: str | None = field(default=None, init=False, repr=False)  # why nothing is written any more
    _is_told: bool = field(default=False, init=False, repr=False)

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_files": None}  # a process started anew opens the files itself

    def __call__(self, row: int) -> np.ndarray:
        files, slot = self._open(), int(self.slots[row])
        if files is not None and (found := files.read(slot, self.stride)) is not None:
            return found
        picture = self.reduced(row)
        if files is not None and self._broken is None and picture.nbytes <= self.stride:
            self._fill(files, slot, picture)
        return picture

    def complaint(self) -> str | None:
        if self._broken is None or self._is_told:
            return None
        self._is_told = True
        return (
            f"The picture cache cannot be used ({self._broken}): pictures not in it are decoded each time. "
            "'vitscope data cache --clear' makes room; --cache off trains without it."
        )

    def _open(self) -> _Files | None:
        if self._files is None and self._broken is None:
            try:
                self._files = _Files(self.folder)
            except (OSError, ValueError) as error:
                self._broken = str(error)
        return self._files

    def _fill(self, files: _Files, slot: int, picture: np.ndarray) -> None:
        try:
            if self._writes % CHECK_FREE_EVERY == 0 and files.free_bytes() < LEAST_FREE_BYTES:
                raise OSError("less than 1 GB is left on the disk")
            files.write(slot, self.stride, picture)
        except OSError as error:
            self._broken = error.strerror or str(error)
        self._writes += 1


class _Files:
    """The two files, open; the map is of their full length from the beginning, and nobody shortens them."""

    def __init__(self, folder: Path):
        self.pixels = os.open(folder / PIXELS, os.O_RDWR)
        self.slots = os.open(folder / SLOTS, os.O_RDWR)
        self.view = mmap.mmap(self.pixels, 0, access=mmap.ACCESS_READ)

    def __del__(self) -> None:
        for name in ("pixels", "slots"):
            if (number := self.__dict__.get(name)) is not None:
                os.close(number)

    def read(self, slot: int, stride: int) -> np.ndarray | None:
        """The picture in a slot, (H, W, 3), read-only; None where there is none or not a whole one."""
        total, height, width = SLOT.unpack(os.pread(self.slots, SLOT.size, slot * SLOT.size))
        if total == 0 or height * width * 3 > stride:
            return None
        pixels = np.frombuffer(self.view, np.uint8, height * width * 3, slot * stride)
        return pixels.reshape(height, width, 3) if checksum(pixels, height, width) == total else None

    def write(self, slot: int, stride: int, picture: np.ndarray) -> None:
        height, width = picture.shape[:2]
        pixels = np.ascontiguousarray(picture).reshape(-1)
        if os.pwrite(self.pixels, pixels.data, slot * stride) < pixels.nbytes:
            raise OSError("the disk is full")
        os.pwrite(self.slots, SLOT.pack(checksum(pixels, height, width), height, width), slot * SLOT.size)

    def free_bytes(self) -> int:
        found = os.fstatvfs(self.pixels)
        return found.f_bavail * found.f_frsize


def checksum(pixels: np.ndarray, height: int, width: int) -> int:
    """CRC-32 of a picture with its shape; never 0, which says that a slot is empty."""
    return zlib.crc32(pixels.data, height << 16 | width) or 1


def slots_of(samples: Manifest, whole: Manifest) -> np.ndarray:
    """(len(samples),) int64: each sample's place among the sorted ids of the whole manifest, whatever its split."""
    everything = np.sort(np.array(whole.table["sample_id"].to_pylist(), dtype=np.bytes_))
    return np.searchsorted(everything, np.array(samples.table["sample_id"].to_pylist(), dtype=np.bytes_))


# ---------------------------------------------------------------------------------------------- on disk


class Kept(NamedTuple):
    """A cache on disk; `bytes` as the disk counts them, `used_at` in seconds since 1970."""

    folder: Path
    source: str
    side: int
    slots: int
    bytes: int
    used_at: float


def kept(folder: Path) -> list[Kept]:
    """The caches in a folder, the one used last first. What is not one of ours is passed over."""
    found = []
    for about in folder.glob(f"[!.]*/{ABOUT}"):
        try:
            described = json.loads(about.read_text(encoding="utf-8"))
            size = sum((about.parent / name).stat().st_blocks * 512 for name in (PIXELS, SLOTS))
            found.append(
                Kept(
                    about.parent,
                    described["source"],
                    described["side"],
                    described["slots"],
                    size,
                    about.stat().st_mtime,
                )
            )
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return sorted(found, key=lambda cache: -cache.used_at)


def discard(cache: Kept) -> None:
    """Remove a cache; a run that uses it keeps what it has open."""
    doomed = cache.folder.with_name(f".{cache.folder.name}.removed.{os.getpid()}")
    try:
        cache.folder.rename(doomed)
    except FileNotFoundError:
        return
    shutil.rmtree(doomed, ignore_errors=True)


def make_room(folder: Path, wanted: Path, new_bytes: int, limit_bytes: int) -> None:
    """Discard the caches used longest ago until `new_bytes` more fit the limit; `wanted` stays."""
    others = [cache for cache in kept(folder) if cache.folder != wanted]
    while others and sum(cache.bytes for cache in others) + new_bytes > limit_bytes:
        discard(others.pop())
