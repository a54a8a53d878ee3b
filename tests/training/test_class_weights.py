from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight

from vitscope.training.class_weights import class_weights


def test_balanced_is_scikit_learns():
    counts = [5, 20, 75]
    labels = [label for label, n in enumerate(counts) for _ in range(n)]
    found = class_weights("balanced", counts)
    assert found is not None
    assert found.tolist() == pytest.approx(compute_class_weight("balanced", classes=np.arange(3), y=labels).tolist())


def test_effective_numbers_by_hand():
    """A picture of a class of n is worth (1 - β) / (1 - βⁿ) (arXiv:1901.05555), in all as much as without weights."""
    found = class_weights("effective", [10, 100_000, 0])
    assert found is not None
    assert (found[0] / found[1]).item() == pytest.approx(1000 / ((1 - 0.999**10) / 0.001), rel=1e-5)
    assert found[2] == 0
    assert (found * torch.tensor([10.0, 100_000.0, 0.0])).sum().item() == pytest.approx(100_010, rel=1e-5)


def test_without_weights_there_are_none():
    assert class_weights("none", [1, 2]) is None
