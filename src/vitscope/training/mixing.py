"""Soft targets: label smoothing, mixup (arXiv:1710.09412) and CutMix (arXiv:1905.04899).

Partner and strength are drawn for the whole effective batch from (seed, epoch, step), before it is split into parts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from vitscope.data import draw


class Mixed(NamedTuple):
    """images (B, 3, S, S) float32; targets (B, C) float32, each row sums to 1."""

    images: torch.Tensor
    targets: torch.Tensor


@dataclass(frozen=True)
class Mixing:
    """`mixup` and `cutmix` are the parameters of their Beta distributions, 0 for off; with both, a step draws one."""

    num_classes: int
    label_smoothing: float
    mixup: float
    cutmix: float
    seed: int

    def __call__(self, images: torch.Tensor, labels: torch.Tensor, epoch: int, step: int) -> Mixed:
        targets = smooth_one_hot(labels, self.num_classes, self.label_smoothing)
        if self.mixup == 0 and self.cutmix == 0:
            return Mixed(images, targets)
        rng = draw.generator("mix", self.seed, epoch, step)
        partner = torch.from_numpy(rng.permutation(len(images))).to(images.device, non_blocking=True)
        use_cutmix = self.cutmix > 0 and (self.mixup == 0 or rng.random() < 0.5)
        alpha = self.cutmix if use_cutmix else self.mixup
        share = float(rng.beta(alpha, alpha))
        if use_cutmix:
            images, share = cut_mix(images, images[partner], share, rng)
        else:
            images = torch.lerp(images[partner], images, share)
        return Mixed(images, torch.lerp(targets[partner], targets, share))


def smooth_one_hot(labels: torch.Tensor, num_classes: int, smoothing: float) -> torch.Tensor:
    """(B,) int64 → (B, C): 1 - smoothing on the label, the rest spread over all classes (arXiv:1512.00567)."""
    off = smoothing / num_classes
    targets = torch.full((len(labels), num_classes), off, device=labels.device)
    return targets.scatter_(1, labels[:, None], 1.0 - smoothing + off)


def cut_mix(
    images: torch.Tensor, others: torch.Tensor, share: float, rng: np.random.Generator
) -> tuple[torch.Tensor, float]:
    """Paste a box of `others` that covers about 1 - share of the area; returns the share that is really left."""
    height, width = images.shape[-2:]
    side = math.sqrt(1.0 - share)
    h, w = round(height * side), round(width * side)
    y, x = int(rng.integers(height)), int(rng.integers(width))
    top, bottom = max(0, y - h // 2), min(height, y - h // 2 + h)
    left, right = max(0, x - w // 2), min(width, x - w // 2 + w)
    mixed = images.clone()
    mixed[..., top:bottom, left:right] = others[..., top:bottom, left:right]
    return mixed, 1.0 - (bottom - top) * (right - left) / (height * width)


def soft_cross_entropy_sum(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Sum over the batch of -Σ target·log softmax(logits); the caller divides by the count of the effective batch."""
    return -(targets * logits.log_softmax(dim=-1)).sum()
