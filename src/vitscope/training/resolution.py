"""Training pictures that grow: few patches while the coarse is learned, all of them at the end.

A step costs about as much as it has patches, so a run of given time sees more pictures ("Fix your models by fixing
your datasets" and "Progressive resizing" are older names; see EfficientNetV2, arXiv:2104.00298, and FlexiViT,
arXiv:2212.08013). The position embedding is resampled to the smaller grid in each step and learned at its full size.
They grow in a few leaps: a compiled model is compiled for each size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch

from vitscope.events import Stage

WHOLE_FROM = 0.75  # share of the run from which the pictures have their full size
SIZES = 3  # on the way, the first and the last counted


@dataclass(frozen=True)
class Resolution:
    """Side of the training pictures, in pixels, over the run: from `start` × `side` to `side`, in whole patches.

    All `SIZES` but the last have equal shares of the run.
    """

    side: int
    patch: int
    start: float = 1.0

    @property
    def sides(self) -> list[int]:
        """All sides, ascending."""
        return sorted({self._after(leaps) for leaps in range(SIZES)})

    def at(self, share: float) -> int:
        """The side when `share` of the run is done."""
        return self._after(min(SIZES - 1, math.floor(share / WHOLE_FROM * (SIZES - 1))))

    def _after(self, leaps: int) -> int:
        grown = self.start + (1 - self.start) * leaps / (SIZES - 1)
        return max(self.patch, round(grown * self.side / self.patch) * self.patch)

    @property
    def area(self) -> float:
        """Pixels of the training pictures as a share of the whole's, on average over the run."""
        early = [(self._after(leaps) / self.side) ** 2 for leaps in range(SIZES - 1)]
        return 1 - WHOLE_FROM + WHOLE_FROM * sum(early) / len(early)

    def stages(self, total_steps: int) -> tuple[Stage, ...]:
        """From which step on a step of a run of so many costs how much: about as its pictures have pixels."""
        return tuple(
            Stage(math.ceil(WHOLE_FROM * leaps / (SIZES - 1) * total_steps), (self._after(leaps) / self.side) ** 2)
            for leaps in range(SIZES)
        )

    def fit(self, views: torch.Tensor, share: float) -> torch.Tensor:
        """(B, 3, side, side), 0–255 → (B, 3, s, s), antialiased, in whole numbers; unchanged at the full size.

        Bytes stay bytes on a CPU alone: other devices have no such kernel.
        """
        side = self.at(share)
        if side == views.shape[-1]:
            return views
        if views.device.type != "cpu":
            views = views.float()
        small = torch.nn.functional.interpolate(views, (side, side), mode="bilinear", antialias=True)
        return small.round_().clamp_(0, 255) if small.is_floating_point() else small


def sizes_of(start: float) -> int:
    """How many sizes the pictures of a run have, one after another, that begin at this share of the whole's side."""
    return SIZES if start < 1 else 1


def patch_side(module: torch.nn.Module) -> int | None:
    """Pixels of a patch's side where the model can take pictures of several sizes; None where it cannot."""
    patch: Any = getattr(getattr(module, "patch_embed", None), "patch_size", None)
    return int(patch[0]) if getattr(module, "dynamic_img_size", False) and patch is not None else None
