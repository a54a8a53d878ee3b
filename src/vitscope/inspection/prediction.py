"""What a model answers, from its logits: shares of probability, and the most probable classes."""

from __future__ import annotations

import numpy as np

TOP = 5  # classes that are told


def probabilities(logits: np.ndarray) -> np.ndarray:
    """(…, C) → (…, C) float64: the softmax."""
    exact = logits.astype(np.float64)
    raised = np.exp(exact - exact.max(axis=-1, keepdims=True))
    return raised / raised.sum(axis=-1, keepdims=True)


def best(shares: np.ndarray, count: int = TOP) -> np.ndarray:
    """(…, C) → (…, ≤ count): numbers of the most probable classes, best first; of equal ones the first."""
    return np.argsort(-shares, axis=-1, kind="stable")[..., :count]
