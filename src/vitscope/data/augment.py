"""What is done to a training picture by itself: random resized crop, shift, flip, and a policy (policies.py).

`Augment` turns a decoded picture into a square of bytes; all that is random comes from the generator it is given.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

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
        view = resized(torch.from_numpy(np.array(crop)), self.size, self.interpolation)
        if c.shift > 0:
            reach = c.shift * self.size
            view = shifted(view, *(round(x) for x in draw.uniform(-reach, reach, 2)))
        if draw.random() < c.flip:
            view = view.flip(-1)
        if c.policy is not None:
            view = POLICIES[c.policy](view, draw)
        return view.contiguous()


def resized(pixels: torch.Tensor, size: int, interpolation: str) -> torch.Tensor:
    """(H, W, 3) uint8 → (3, size, size) uint8, antialiased; the layout is the one that torch's byte kernels want."""
    pictures = pixels.permute(2, 0, 1)[None]
    if pictures.shape[-2:] == (size, size):
        return pictures[0]
    return torch.nn.functional.interpolate(pictures, (size, size), mode=interpolation, antialias=True)[0]


def random_box(
    height: int, width: int, scale: tuple[float, float], ratio: tuple[float, float], draw: np.random.Generator
) -> Box:
    """A crop whose share of the area and aspect ratio (width / height, log-uniform) lie in the given ranges.

    After ten misses (a picture much longer than wide) the largest centred crop whose ratio is in the range.
    Follows "Going deeper with convolutions" (arXiv:1409.4842), as torchvision's RandomResizedCrop does.
    """
    for _ in range(10):
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


def shifted(view: torch.Tensor, down: int, right: int) -> torch.Tensor:
    """(C, H, W) moved by whole pixels, the edge repeated."""
    rows = (torch.arange(view.shape[-2]) - down).clamp_(0, view.shape[-2] - 1)
    columns = (torch.arange(view.shape[-1]) - right).clamp_(0, view.shape[-1] - 1)
    return view.index_select(-2, rows).index_select(-1, columns)
