"""A moving average of the weights, which evaluation and the saved model then use."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod

import torch


class EvaluationCopy(ABC):
    """Weights that evaluation and the saved model use instead of those being trained; `update` once a step.

    `module` holds them, in evaluation mode; buffers are copied. `updates` counts and is saved with them.
    """

    def __init__(self, module: torch.nn.Module):
        self.module = copy.deepcopy(module).eval().requires_grad_(False)
        self.updates = 0

    @torch.no_grad()
    def update(self, module: torch.nn.Module) -> None:
        """Follow the weights of `module` after an optimizer step."""
        self.updates += 1
        self._follow(module)
        for own, buffer in zip(self.module.buffers(), module.buffers(), strict=True):
            own.copy_(buffer)

    @abstractmethod
    def _follow(self, module: torch.nn.Module) -> None:
        """Bring the parameters up to date."""


class MovingAverage(EvaluationCopy):
    """Average ← decay·average + (1 - decay)·weights.

    The decay warms up as (1 + t) / (10 + t), so that the first average is not the random start (as in TensorFlow's
    ExponentialMovingAverage).
    """

    def __init__(self, module: torch.nn.Module, decay: float):
        super().__init__(module)
        self.decay = decay

    def _follow(self, module: torch.nn.Module) -> None:
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        for average, weight in zip(self.module.parameters(), module.parameters(), strict=True):
            average.lerp_(weight, 1.0 - decay)
