"""A moving average of the weights, which evaluation and the saved model then use."""

from __future__ import annotations

import copy

import torch


class MovingAverage:
    """`module` holds average ← decay·average + (1 - decay)·weights, updated once an optimizer step.

    The decay warms up as (1 + t) / (10 + t), so that the first average is not the random start (as in TensorFlow's
    ExponentialMovingAverage). Buffers are copied.
    """

    def __init__(self, module: torch.nn.Module, decay: float):
        self.module = copy.deepcopy(module).eval().requires_grad_(False)
        self.decay = decay
        self.updates = 0

    @torch.no_grad()
    def update(self, module: torch.nn.Module) -> None:
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        for average, weight in zip(self.module.parameters(), module.parameters(), strict=True):
            average.lerp_(weight, 1.0 - decay)
        for average, buffer in zip(self.module.buffers(), module.buffers(), strict=True):
            average.copy_(buffer)
