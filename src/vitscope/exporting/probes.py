"""Pictures made from a real one, so that a proof does not depend on what a data set happens to hold.

A set of grey digits would hide swapped channels, one at the model's own size a wrong resize filter, one without a
camera's tags a missing rotation. Each probe is a picture of the set, tinted by a ramp (no two sides and no two channels
alike) and roughened, so that every step of the preprocessing shows in it.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from vitscope.exporting.reference import ORIENTATION, UPRIGHT


class Probe(NamedTuple):
    """A file with a name that says what it tries."""

    name: str
    file: Path


def make(picture: np.ndarray, size: int, folder: Path) -> list[Probe]:
    """Write the probes for a model of input `size` into `folder`, from a (H, W, 3) uint8 picture."""
    probes = []
    for orientation in UPRIGHT:
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        file = folder / f"orientation-{orientation}.jpg"
        Image.fromarray(_canvas(picture, size + size // 3, 2 * size)).save(file, quality=95, exif=exif)
        probes.append(Probe(f"JPEG with EXIF orientation {orientation}", file))
    shapes = {
        "reduced": (3 * size + 1, 4 * size - 1),
        "enlarged": (size // 2 + 1, size // 2 + 2),
        "very tall": (2 * size, size // 8 + 1),
        "very wide": (size // 8 + 1, 2 * size),
        "tiny": (2, 3),
        "one pixel": (1, 1),
    }
    for name, (height, width) in shapes.items():
        file = folder / f"{name.replace(' ', '-')}.png"
        Image.fromarray(_canvas(picture, height, width)).save(file)
        probes.append(Probe(f"{name}, {width} × {height}", file))
    return probes


def _canvas(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """The picture at another size, with a ramp of its own in each channel and seeded noise."""
    base = np.asarray(Image.fromarray(picture).resize((width, height)), np.float64)
    down, across = np.linspace(0, 255, height)[:, None], np.linspace(0, 255, width)[None, :]
    ramp = np.stack(np.broadcast_arrays(across, down, 255 - across), axis=-1)
    noise = np.random.default_rng(0).uniform(0, 255, base.shape)
    return (0.5 * base + 0.25 * ramp + 0.25 * noise).astype(np.uint8)
