"""A preprocessing that is not ours, to hold ours against: the same definition by other code.

Pillow decodes (as everywhere), but turning upright is numpy's flips by a table, alpha is arithmetic, and the resize is
torchvision's on float32. What it shares with `preprocess.py` is nothing but the meaning of `Preprocess`' fields.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as tv

from vitscope.errors import BadImage
from vitscope.preprocess import Preprocess

MAX_RESIZED_PIXELS = 2**25  # torchvision resizes before it crops: a 1 × 5,000 picture would need gigabytes

ORIENTATION = 274  # EXIF tag

# EXIF 2.3, 4.6.4: what the stored rows and columns have to become for the picture to stand upright.
UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a[::-1].swapaxes(0, 1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: a[:, ::-1].swapaxes(0, 1),
}


def decode(file: Path) -> np.ndarray:
    """An image file as (H, W, 3) uint8, upright, alpha over white."""
    with warnings.catch_warnings(), Image.open(file) as picture:
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        picture.load()
        upright = UPRIGHT.get(picture.getexif().get(ORIENTATION, 1), UPRIGHT[1])
        return np.ascontiguousarray(upright(_rgb(picture)))


def _rgb(picture: Image.Image) -> np.ndarray:
    if picture.mode == "I" or picture.mode.startswith("I;16"):
        grey = (np.asarray(picture).astype(np.int64).clip(0, 65535) + 128) // 257
        return np.stack([grey.astype(np.uint8)] * 3, axis=-1)
    if picture.mode[-1:] in "Aa" or "transparency" in picture.info:
        rgba = np.asarray(picture.convert("RGBA")).astype(np.float64)
        alpha = rgba[..., 3:] / 255.0
        return np.rint(rgba[..., :3] * alpha + 255.0 * (1.0 - alpha)).astype(np.uint8)
    return np.asarray(picture.convert("RGB"))


def check_shape(picture: np.ndarray, p: Preprocess) -> None:
    """Raise `BadImage` for a picture so narrow that `pixels` would take gigabytes."""
    height, width = picture.shape[:2]
    if p.resize == "crop" and p.resized**2 * max(height, width) // min(height, width) > MAX_RESIZED_PIXELS:
        raise BadImage(f"{width} × {height} pixels are too narrow for the reference preprocessing")


def pixels(picture: np.ndarray, p: Preprocess) -> torch.Tensor:
    """(H, W, 3) uint8 → (3, S, S) float32 as fed to the model."""
    values = torch.from_numpy(picture.astype(np.float32)).permute(2, 0, 1)
    target = [p.resized] if p.resize == "crop" else [p.resized, p.resized]
    values = tv.resize(values, target, InterpolationMode(p.interpolation), antialias=True)
    values = tv.center_crop(values, [p.size, p.size])
    return tv.normalize(values / 255.0, list(p.mean), list(p.std))
