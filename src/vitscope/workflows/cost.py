"""What a model costs for an image: FLOPs, counted without computing, and seconds, by a few steps."""

from __future__ import annotations

import math

import torch
from torch.utils.flop_counter import FlopCounterMode

from vitscope.config import RunConfig
from vitscope.machine import Choices
from vitscope.machine.measured import own
from vitscope.models.architecture import Architecture
from vitscope.training.features import sees_the_same
from vitscope.training.resolution import Resolution
from vitscope.workflows.initial import learning_module
from vitscope.workflows.measure import Steps, Subject

BACKWARD = 2  # what the backward pass of the layers that learn costs, in forward passes
TIMED_IMAGES, WHOLE_S = 8, 1.0  # images of a small step; seconds within which a whole one is affordable


def forward_flops(c: RunConfig, a: Architecture, classes: int) -> int:
    """FLOPs of one image's forward pass, 2 × multiply-adds as torch counts."""
    side = a.preprocess.size
    with torch.device("meta"):
        module = learning_module(c, a, classes).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(torch.empty(1, 3, side, side, device="meta"))
    return counter.get_total_flops()


def passes_of_step(c: RunConfig) -> float:
    """Forward passes that a training step costs for an image; what is frozen is not gone through backward."""
    return 1 + (BACKWARD + c.train.checkpoint_activations) * (1 - c.model.frozen)


def forward_passes(c: RunConfig, images: int, epochs: float) -> float:
    """Forward passes of whole pictures that training costs; where the head learns alone of still ones, one of each."""
    if c.model.frozen == 1 and sees_the_same(c):
        return images
    grown = Resolution(c.model.image_size or 224, 1, c.schedule.start_size).area  # of any side nearly the same
    return grown * passes_of_step(c) * images * epochs


def image_s(c: RunConfig, a: Architecture, classes: int, choices: Choices) -> float:
    """Seconds that a training step takes for an image here, the best of three; loading left out.

    The steps are small ones, but where those last so short that a whole one is affordable.
    """
    images = min(TIMED_IMAGES, c.train.batch_size)
    steps = Steps(Subject(c, a, classes, 1, c.train.batch_size, images), choices)
    candidate = own(choices)._replace(compile=False)
    took_s = min(steps(candidate, images) for _ in range(3))
    whole = math.ceil(c.train.batch_size / c.train.accumulation)
    if images < whole and took_s * whole / images < WHOLE_S:
        took_s, images = min(steps(candidate, whole) for _ in range(3)), whole
    return took_s / images
