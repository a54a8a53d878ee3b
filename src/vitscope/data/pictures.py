"""The training pictures as the loader takes them: decoded, or decoded and reduced to what training can use.

A view never needs more pixels than its crop is resized to, so a large photo is reduced once: its shorter side becomes
`side`, and a JPEG is decoded at a half, a quarter or an eighth where that is still enough (libjpeg's scaled decoding).
What is reduced is always the same bytes, whether they come from the file or from the cache (cache.py).

This serves training alone: evaluation, prediction and exports decode the whole file.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from vitscope.data.manifest import Manifest
from vitscope.preprocess import decode

MOST_MARGIN = 1.5  # a crop smaller than the view divided by this is enlarged a little


class Pictures(Protocol):
    """Row of a manifest → picture (H, W, 3) uint8. Raises `BadImage`."""

    def __call__(self, row: int) -> np.ndarray: ...

    def complaint(self) -> str | None:
        """What went wrong beside the pictures since it was last asked, in a sentence."""


@dataclass(frozen=True)
class Decoded:
    """Each picture whole."""

    samples: Manifest

    def __call__(self, row: int) -> np.ndarray:
        return decode(self.samples.sample(row).path)

    def complaint(self) -> str | None:
        return None


@dataclass(frozen=True)
class Reduced:
    """Each picture with its shorter side reduced to `side` pixels; a smaller one as it is."""

    samples: Manifest
    side: int

    def __call__(self, row: int) -> np.ndarray:
        return reduced(decode(self.samples.sample(row).path, at_least=self.side), self.side)

    def complaint(self) -> str | None:
        return None


def side_for(image_size: int, crop_scale: tuple[float, float]) -> int:
    """Shorter side in pixels that the smallest crops of `crop_scale` (shares of the area) want, within reason."""
    return math.ceil(image_size * min(MOST_MARGIN, 1 / math.sqrt(crop_scale[0])))


def reduced(picture: np.ndarray, side: int) -> np.ndarray:
    """(H, W, 3) uint8 with the shorter side at most `side`, aspect kept, antialiased."""
    height, width = picture.shape[:2]
    if min(height, width) <= side:
        return picture
    scale = side / min(height, width)
    size = (max(side, round(height * scale)), max(side, round(width * scale)))
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None]
    small = torch.nn.functional.interpolate(pixels, size, mode="bilinear", antialias=True)
    return small[0].permute(1, 2, 0).numpy()
