"""A `ModelBundle` in torch, in fp32, on the device where its module lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from vitscope.inference.predictor import stacks
from vitscope.models.bundle import ModelBundle
from vitscope.models.tta import TTA, logits


@dataclass(frozen=True)
class TorchPredictor:
    """Predicts with a bundle's own module and preprocessing; with `tta` "flip" each picture and its mirror image."""

    bundle: ModelBundle
    tta: TTA = "none"

    @property
    def classes(self) -> tuple[str, ...]:
        return self.bundle.classes

    def __call__(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
        device = next(self.bundle.module.parameters()).device
        with torch.inference_mode():
            scores = logits(self.bundle.module, self.pixels(pictures).to(device), self.tta)
        return scores.softmax(dim=-1).cpu().numpy()

    def pixels(self, pictures: Sequence[np.ndarray]) -> torch.Tensor:
        """What the module is fed: (N, 3, S, S) float32. Pictures of equal size share one pass."""
        size, pipeline = self.bundle.preprocess.size, self.bundle.preprocess.pipeline
        fed = torch.empty(len(pictures), 3, size, size)
        with torch.inference_mode():
            for positions, images in stacks(pictures):
                fed[positions] = pipeline(torch.from_numpy(images))
        return fed
