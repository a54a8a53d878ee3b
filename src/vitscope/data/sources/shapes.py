"""`shapes`: coloured shapes on cluttered grounds, drawn here, with the mask of each object.

What a model should look at is known for each picture, so that attention can be held against the truth. `shapes` is
2,000 pictures of 64 × 64 pixels; `shapes:count=3000,size=96,seed=1` is as many and as large as one likes. Picture i of
a seed is the same whatever the count.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from vitscope.data.sources.folder import FolderSource
from vitscope.data.sources.options import parsed
from vitscope.data.sources.scan import Scan
from vitscope.errors import RequestError
from vitscope.text import shown

if TYPE_CHECKING:
    from vitscope.storage.workspace import Workspace

NAME = "shapes"
IMAGES, MASKS = "images", "masks"
DRAWN_AT_NS = 946_684_800 * 10**9  # of every file: what is drawn anew, here or elsewhere, is the same data set


class Bounds(NamedTuple):
    least: int
    most: int
    what: str


BOUNDS = {
    "count": Bounds(8, 100_000, "pictures"),
    "size": Bounds(16, 512, "pixels a side"),
    "seed": Bounds(0, 2**31 - 1, "the seed of all that is drawn"),
}


@dataclass(frozen=True)
class ShapesSource:
    """Class folders `circle` to `triangle`, drawn into the workspace the first time they are looked at."""

    workspace: Workspace
    count: int = 2000
    size: int = 64
    seed: int = 0

    @classmethod
    def of(cls, workspace: Workspace, options: str) -> ShapesSource:
        """As `count=3000,size=96,seed=1` says, any of them. Raises `RequestError` with names and bounds."""
        return cls(workspace, **_parse(options))

    @property
    def name(self) -> str:
        return f"{NAME}-{self.size}-{self.seed}"

    @property
    def location(self) -> str:
        if self == ShapesSource(self.workspace):
            return NAME
        return f"{NAME}:count={self.count},size={self.size},seed={self.seed}"

    @property
    def folder(self) -> Path:
        """Where this size and seed lie, however many are drawn."""
        return self.workspace.datasets_folder.resolve() / NAME / f"{self.size}-{self.seed}"

    def scan(self) -> Scan:
        from vitscope.data.sources.scene import CLASSES

        wanted = {_file(number): number for number in range(self.count)}
        records = self._records(wanted)
        if len(records) < self.count:
            _draw(self.folder, [n for file, n in wanted.items() if file not in records], self.size, self.seed)
            records = self._records(wanted)
        if len(records) < self.count:
            raise RequestError(f"{shown(self.folder)}: not these shapes any more. Remove it: they are drawn anew.")
        return Scan([records[file] for file in sorted(records)], CLASSES, [])

    def _records(self, wanted: dict[str, int]) -> dict:
        """The pictures that are there, whole, by their place below the folder of images."""
        images = self.folder / IMAGES
        if not images.is_dir():
            return {}
        found = FolderSource(images, self.name).scan().records
        return {r.locator: r for r in found if r.locator in wanted and r.size_bytes}


def mask_of(path: Path) -> Path | None:
    """The mask of a drawn picture: a grey PNG of its size, white where the object is. None for any other picture."""
    images, own = path.parent.parent, path.parent.parent.parent
    if images.name != IMAGES or own.parent.name != NAME or not re.fullmatch(r"\d+-\d+", own.name):
        return None
    mask = own / MASKS / path.parent.name / path.name
    return mask if mask.is_file() else None


def _parse(options: str) -> dict[str, int]:
    text, found = f"{NAME}:{options}", {}
    for name, value in parsed(NAME, options, BOUNDS, f"{NAME}:count=3000,size=96,seed=1").items():
        least, most, what = BOUNDS[name]
        if not re.fullmatch(r"[0-9]{1,12}", value) or not least <= int(value) <= most:
            raise RequestError(
                f"{shown(text)}: {name} ({what}) is a whole number from {least:,} to {most:,}, not '{shown(value)}'."
            )
        found[name] = int(value)
    return found


def _file(number: int) -> str:
    from vitscope.data.sources.scene import CLASSES

    return f"{CLASSES[number % len(CLASSES)]}/{number:05d}.png"


def _draw(folder: Path, numbers: list[int], size: int, seed: int) -> None:
    """Draw the missing pictures and their masks aside, then move them in, masks first. Raises `RequestError`."""
    from PIL import Image

    from vitscope.data.sources.scene import CLASSES, scene

    try:
        with _aside(folder) as temporary:
            for kind in (IMAGES, MASKS):
                for class_name in CLASSES:
                    (temporary / kind / class_name).mkdir(parents=True)
            for number in numbers:
                drawn = scene(seed, number, size)
                for kind, pixels in ((MASKS, drawn.mask), (IMAGES, drawn.pixels)):
                    file = temporary / kind / _file(number)
                    Image.fromarray(pixels).save(file, compress_level=3)
                    os.utime(file, ns=(DRAWN_AT_NS, DRAWN_AT_NS))
            _move(temporary, folder, numbers)
    except OSError as error:
        raise RequestError(f"{shown(folder)}: the shapes could not be written there ({error.strerror}).") from None


@contextmanager
def _aside(folder: Path) -> Iterator[Path]:
    """A temporary folder beside `folder`, gone afterwards."""
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _move(temporary: Path, folder: Path, numbers: list[int]) -> None:
    """All at once where there were none; else file by file, each whole and the same whoever drew it."""
    if not folder.exists():
        with suppress(OSError):  # another process was quicker
            temporary.rename(folder)
            return
    for number in numbers:
        for kind in (MASKS, IMAGES):
            target = folder / kind / _file(number)
            target.parent.mkdir(parents=True, exist_ok=True)
            (temporary / kind / _file(number)).replace(target)
