"""What a model says of pictures: of each alone, or averaged with its mirror image (test-time augmentation)."""

from __future__ import annotations

import math
from typing import Literal

import torch

TTA = Literal["none", "flip"]


def logits(module: torch.nn.Module, images: torch.Tensor, tta: TTA = "none") -> torch.Tensor:
    """(B, 3, S, S) → (B, C) float32. With "flip" their softmax is the mean of the probabilities of both pictures."""
    found = module(images).float()
    if tta == "none":
        return found
    mirrored = module(images.flip(-1)).float()
    return torch.logaddexp(found.log_softmax(dim=-1), mirrored.log_softmax(dim=-1)) - math.log(2.0)
