"""How large pictures are, from the headers of a few of them."""

from __future__ import annotations

from typing import NamedTuple

from PIL import Image

from vitscope.data.manifest import Manifest

LOOKED_AT = 32  # pictures, spread over the manifest


class PictureSize(NamedTuple):
    """In pixels, as stored (before any EXIF rotation)."""

    width: int
    height: int


def some_sizes(samples: Manifest) -> list[PictureSize]:
    """Of at most `LOOKED_AT` pictures spread over the manifest; those that cannot be read are passed over."""
    paths = samples.table["path"].to_pylist()
    return [found for path in paths[:: max(1, len(paths) // LOOKED_AT)][:LOOKED_AT] if (found := size_of(path))]


def size_of(path: str) -> PictureSize | None:
    """From a file's header alone; None where it cannot be read."""
    try:
        with Image.open(path) as picture:
            return PictureSize(*picture.size)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
