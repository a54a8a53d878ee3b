"""Weights of the classes in the loss, where some have many pictures and others few."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch

OVERLAP = 0.999  # β of the effective numbers: pictures of a class beyond about 1 / (1 - β) add little that is new


def class_weights(kind: Literal["none", "balanced", "effective"], counts: Sequence[int]) -> torch.Tensor | None:
    """(C,) float32 whose mean over the pictures is 1, from the number of training pictures a class; None without any.

    balanced: the inverse of the count; effective: the inverse of (1 - βⁿ) / (1 - β) (arXiv:1901.05555). A class
    without pictures has weight 0.
    """
    if kind == "none":
        return None
    n = np.asarray(counts, dtype=np.float64)
    worth = n if kind == "balanced" else (1.0 - OVERLAP**n) / (1.0 - OVERLAP)
    weights = np.divide(1.0, worth, out=np.zeros_like(n), where=n > 0)
    return torch.tensor(weights * n.sum() / (weights * n).sum(), dtype=torch.float32)
