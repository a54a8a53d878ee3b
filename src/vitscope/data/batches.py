"""What is done to a whole batch of views at once, on the device: turns, scales, shears, shifts, light, and erasing.

How each view is changed is drawn from (seed, epoch, sample, repeat), like its crop: neither its place in the batch nor
the number of workers matters. A batch costs one resampling, whatever is asked for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from vitscope.config import AugmentConfig
from vitscope.data import draw

COLUMNS = (
    "angle",
    "scale",
    "slant",
    "right",
    "down",
    "brightness",
    "contrast",
    "saturation",
    "erased",
    "area",
    "ratio",
)
ERASED_AREA = (0.02, 1 / 3)  # share of a view; and the range of its box's aspect ratio (arXiv:1708.04896)
ERASED_RATIO = (0.3, 3.3)


@dataclass(frozen=True)
class BatchAugment:
    """images (B, 3, S, S), 0–255 → the same as float, changed; `samples` and `repeats` (B) say which they are."""

    config: AugmentConfig
    seed: int

    @property
    def is_on(self) -> bool:
        """Whether anything is asked for; without it a batch is left as it is."""
        return self._moves or self._recolours or self.config.erase > 0

    @property
    def _moves(self) -> bool:
        c = self.config
        return max(c.rotate, c.scale, c.shear, c.translate) > 0

    @property
    def _recolours(self) -> bool:
        c = self.config
        return max(c.brightness, c.contrast, c.saturation) > 0

    def __call__(
        self, images: torch.Tensor, samples: Sequence[str], repeats: Sequence[int], epoch: int
    ) -> torch.Tensor:
        if not self.is_on:
            return images
        images = images.float()
        keys = zip(samples, repeats, strict=True)
        places = [draw.generator("batch", self.seed, epoch, sample, repeat) for sample, repeat in keys]
        drawn = np.stack([place.random(len(COLUMNS) + 2) for place in places])  # the last two: where a box lies
        signed = torch.from_numpy(2 * drawn - 1).to(images.device, images.dtype, non_blocking=True)
        amounts = {name: signed[:, i] for i, name in enumerate(COLUMNS)}
        if self._moves:
            images = moved(images, self._matrices(amounts))
        if self._recolours:
            images = self._recoloured(images, amounts)
        if self.config.erase > 0:
            images = self._erased(images, drawn)
        return images

    def _matrices(self, amount: dict[str, torch.Tensor]) -> torch.Tensor:
        """(B, 2, 3): from where in a view each of its new pixels comes, in units of half a side."""
        c = self.config
        angle, slant = (torch.deg2rad(amount["angle"] * c.rotate), torch.deg2rad(amount["slant"] * c.shear))
        size = torch.exp(amount["scale"] * math.log1p(c.scale))  # log-uniform: as often larger as smaller
        cos, sin, tan = angle.cos() / size, angle.sin() / size, slant.tan()
        right, down = -2 * c.translate * amount["right"], -2 * c.translate * amount["down"]
        rows = torch.stack([cos, cos * tan - sin, right, sin, sin * tan + cos, down], dim=1)
        return rows.view(-1, 2, 3)

    def _recoloured(self, images: torch.Tensor, amount: dict[str, torch.Tensor]) -> torch.Tensor:
        c = self.config

        def factor(name: str, most: float) -> torch.Tensor:
            return (1 + most * amount[name]).view(-1, 1, 1, 1)

        images = images * factor("brightness", c.brightness)
        grey = luminance(images)
        mean = grey.mean(dim=(1, 2, 3), keepdim=True)
        images = torch.lerp(grey, images, factor("saturation", c.saturation))
        return torch.lerp(mean, images, factor("contrast", c.contrast)).clamp_(0, 255)

    def _erased(self, images: torch.Tensor, drawn: np.ndarray) -> torch.Tensor:
        """A box of some views becomes grey: the middle of the range."""
        height, width = images.shape[-2:]
        images = images.clone()
        low, high = (math.log(r) for r in ERASED_RATIO)
        for i in np.flatnonzero(drawn[:, COLUMNS.index("erased")] < self.config.erase):
            area, ratio, y, x = drawn[i, COLUMNS.index("area") :]
            pixels = height * width * (ERASED_AREA[0] + area * (ERASED_AREA[1] - ERASED_AREA[0]))
            shape = math.exp(low + ratio * (high - low))
            h = min(height, max(1, round(math.sqrt(pixels * shape))))
            w = min(width, max(1, round(math.sqrt(pixels / shape))))
            top, left = int(y * (height - h + 1)), int(x * (width - w + 1))
            images[i, :, top : top + h, left : left + w] = 127.5
        return images


def moved(images: torch.Tensor, matrices: torch.Tensor) -> torch.Tensor:
    """Each view resampled by its matrix (B, 2, 3); what comes from outside is the view mirrored at its edge."""
    grid = torch.nn.functional.affine_grid(matrices, list(images.shape), align_corners=False)
    return torch.nn.functional.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def luminance(images: torch.Tensor) -> torch.Tensor:
    """(B, 3, S, S) → (B, 1, S, S): ITU-R BT.601's weights, which torchvision and Pillow use."""
    weights = torch.tensor([0.2989, 0.587, 0.114], dtype=images.dtype).view(1, 3, 1, 1)
    weights = weights.to(images.device, non_blocking=True)
    return (images * weights).sum(dim=1, keepdim=True)
