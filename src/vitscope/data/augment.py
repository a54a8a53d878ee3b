"""What is done to a training picture by itself: random resized crop, shift, flip, and a policy (policies.py).

`Augment` turns a decoded picture into a square of bytes; all that is random comes from the generator it is given.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from vitscope.config import AugmentConfig
from vitscope.data.policies import POLICIES


class Box(NamedTuple):
    """A rectangle of pixels."""

    top: int
    left: int
    height: int
    width: int


@dataclass(frozen=True)
class Augment:
    """Picture (H, W, 3) uint8 → training view (3, size, size) uint8."""

    size: int
    config: AugmentConfig
    interpolation: str = "bilinear"

    def __call__(self, picture: np.ndarray, draw: np.random.Generator) -> torch.Tensor:
        c = self.config
        box = random_box(picture.shape[0], picture.shape[1], c.crop_scale, c.crop_ratio, draw)
        crop = picture[box.top : box.top + box.height, box.left : box.left + box.width]
        pixels = resized(crop, self.size, self.interpolation)
        if c.shift > 0:
            reach = c.shift * self.size
            pixels = shifted(pixels, *(round(x) for x in draw.uniform(-reach, reach, 2).tolist()))
        if draw.random() < c.flip:
            pixels = pixels[:, ::-1]
        if c.policy is not None:
            pixels = np.asarray(POLICIES[c.policy](Image.fromarray(np.ascontiguousarray(pixels)), draw))
        return torch.from_numpy(np.array(pixels.transpose(2, 0, 1), order="C"))


def resized(pixels: np.ndarray, size: int, interpolation: str) -> np.ndarray:
    """(H, W, 3) uint8 → (size, size, 3) uint8, antialiased; in torch's layout of bytes that its kernels want."""
    if pixels.shape[:2] == (size, size):
        return pixels
    picture = torch.from_numpy(np.array(pixels)).permute(2, 0, 1)[None]
    small = torch.nn.functional.interpolate(picture, (size, size), mode=interpolation, antialias=True)[0]
    return small.permute(1, 2, 0).numpy()


def random_box(
    height: int, width: int, scale: tuple[float, float], ratio: tuple[float, float], draw: np.random.Generator
) -> Box:
    """A crop whose share of the area and aspect ratio (width / height, log-uniform) lie in the given ranges.

    After ten misses (a picture much longer than wide) the largest centred crop whose ratio is in the range, as where
    nothing is left to chance. Follows "Going deeper with convolutions" (arXiv:1409.4842), as torchvision's
    RandomResizedCrop does.
    """
    for _ in range(0 if scale == ratio == (1.0, 1.0) else 10):
        area = height * width * draw.uniform(*scale)
        aspect = math.exp(draw.uniform(math.log(ratio[0]), math.log(ratio[1])))
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            return Box(int(draw.integers(0, height - h + 1)), int(draw.integers(0, width - w + 1)), h, w)
    whole = width / height
    h = round(width / ratio[0]) if whole < ratio[0] else height
    w = round(height * ratio[1]) if whole > ratio[1] else width
    h, w = max(1, min(h, height)), max(1, min(w, width))
    return Box((height - h) // 2, (width - w) // 2, h, w)


def shifted(pixels: np.ndarray, down: int, right: int) -> np.ndarray:
    """(H, W, C) moved by whole pixels, the edge repeated."""
    height, width = pixels.shape[:2]
    rows, columns = np.arange(-down, height - down), np.arange(-right, width - right)
    return pixels.take(rows, 0, mode="clip").take(columns, 1, mode="clip")
