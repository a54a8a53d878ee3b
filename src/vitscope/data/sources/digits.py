"""The handwritten digits that come with scikit-learn (UCI, 1998; 1,797 pictures of 8 × 8 pixels), as PNG files."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitscope.data.sources.folder import FolderSource
from vitscope.data.sources.scan import Scan
from vitscope.errors import RequestError
from vitscope.storage.artifacts import new_folder
from vitscope.text import shown

if TYPE_CHECKING:
    from vitscope.storage.workspace import Workspace

COUNT = 1797
SIDE = 32  # pixels of the files: enlarged from 8, so that patches have something to see
LARGEST = 16  # of a pixel in scikit-learn's arrays
WRITTEN_AT_NS = 946_684_800 * 10**9  # of every file: what is written anew, here or elsewhere, is the same data set


@dataclass(frozen=True)
class DigitsSource:
    """Class folders `0` to `9`, written into the workspace the first time they are looked at."""

    workspace: Workspace
    name: str = "digits"
    location: str = "digits"

    def scan(self) -> Scan:
        folder = self.workspace.datasets_folder.resolve() / "digits" / "images"
        if not folder.is_dir():
            _write(folder)
        scan = FolderSource(folder, self.name).scan()
        if len(scan.records) != COUNT or not all(record.size_bytes for record in scan.records):
            raise RequestError(
                f"{shown(folder)}: not the {COUNT:,} digits any more. Remove this folder: they are written anew."
            )
        return scan


def _write(folder: Path) -> None:
    """All files, or none: a folder that another process finished meanwhile is as good. Raises `RequestError`."""
    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_digits

    digits: Any = load_digits()  # with attributes that its type does not declare
    try:
        with new_folder(folder, durable=False) as images:
            for label in range(10):
                (images / str(label)).mkdir()
            for number, (pixels, label) in enumerate(zip(digits.images, digits.target, strict=True)):
                grey = np.rint(pixels * (255 / LARGEST)).astype(np.uint8)
                picture = Image.fromarray(grey).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
                file = images / str(label) / f"{number:04d}.png"
                picture.save(file)
                os.utime(file, ns=(WRITTEN_AT_NS, WRITTEN_AT_NS))
    except OSError as error:
        if not folder.is_dir():
            raise RequestError(f"{shown(folder)}: the digits could not be written there ({error.strerror}).") from None
