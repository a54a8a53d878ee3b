from __future__ import annotations

import pytest
import torch

from vitscope.training.ema import MovingAverage


def test_follows_the_formula_with_its_warm_up():
    module = torch.nn.Linear(1, 1, bias=False)
    module.weight.data.fill_(0.0)
    average, expected = MovingAverage(module, decay=0.9), 0.0
    for t in range(1, 200):
        module.weight.data.fill_(float(t))
        average.update(module)
        decay = min(0.9, (1 + t) / (10 + t))
        expected = decay * expected + (1 - decay) * t
        assert average.module.weight.item() == pytest.approx(expected, rel=1e-5)


def test_copies_buffers_and_keeps_its_own_weights():
    module = torch.nn.BatchNorm1d(2)
    average = MovingAverage(module, 0.5)
    module.running_mean += 3
    module.weight.data += 1
    average.update(module)
    assert torch.equal(average.module.running_mean, module.running_mean)
    assert not torch.equal(average.module.weight, module.weight)
    assert not any(p.requires_grad for p in average.module.parameters())
