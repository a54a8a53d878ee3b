"""What a model costs for an image, counted without computing; seconds are measured in `measure.py`."""

from __future__ import annotations

import torch
from torch.utils.flop_counter import FlopCounterMode

from vitscope.config import RunConfig
from vitscope.models.architecture import Architecture
from vitscope.training.features import suffice
from vitscope.training.resolution import Resolution
from vitscope.workflows.initial import learning_module

BACKWARD = 2  # what the backward pass of the layers that learn costs, in forward passes


def forward_flops(c: RunConfig, a: Architecture, classes: int) -> int:
    """FLOPs of one image's forward pass, 2 × multiply-adds as torch counts."""
    side = a.preprocess.size
    with torch.device("meta"):
        module = learning_module(c, a, classes).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(torch.empty(1, 3, side, side, device="meta"))
    return counter.get_total_flops()


def learns_on_features(c: RunConfig, a: Architecture, classes: int) -> bool:
    """Whether the frozen layers see each picture once, as the loop will ask it of the module (training/features.py)."""
    if c.model.frozen < 1:
        return False
    with torch.device("meta"):
        return suffice(learning_module(c, a, classes), c)


def passes_of_step(c: RunConfig) -> float:
    """Forward passes that a training step costs for an image; what is frozen is not gone through backward."""
    return 1 + (BACKWARD + c.train.checkpoint_activations) * (1 - c.model.frozen)


def forward_passes(c: RunConfig, images: int, epochs: float, *, on_features: bool) -> float:
    """Forward passes of whole pictures that training costs; on features, one of each."""
    if on_features:
        return images
    grown = Resolution(c.model.image_size or 224, 1, c.schedule.start_size).area  # of any side nearly the same
    return grown * passes_of_step(c) * images * epochs
