"""A layer that no gradient reaches, in a model that is really trained."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from vitscope.config import OptimConfig
from vitscope.events import Alert, EpochDone
from vitscope.training.alerts import DeadLayers, Onset, gradients
from vitscope.training.alerts.dead import APART
from vitscope.training.optim import create_optimizer


class Blocks(nn.Module):
    """Two layers beside each other, the first of which ends in a ReLU, and a head."""

    def __init__(self, bias: float):
        super().__init__()
        self.first, self.second, self.head = nn.Linear(4, 8), nn.Linear(4, 8), nn.Linear(8, 3)
        nn.init.constant_(self.first.bias, bias)
        self.num_classes = 3

    def get_classifier(self) -> nn.Module:
        return self.head

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.first(x).relu() + self.second(x).tanh())


def trained(bias: float, optimizer: str, frozen: bool = False) -> tuple[Blocks, torch.optim.Optimizer, list[Alert]]:
    torch.manual_seed(0)
    module = Blocks(bias)
    module.first.requires_grad_(not frozen)
    made = create_optimizer(module, OptimConfig(name=optimizer, lr=1e-3))
    detector, told = DeadLayers(lambda: gradients(module, made), Onset()), []
    for epoch in range(1, 4):
        for _ in range(APART):
            nn.functional.cross_entropy(module(torch.randn(16, 4)), torch.randint(3, (16,))).backward()
            made.step()
            made.zero_grad()
        told.append(detector(EpochDone(epoch * APART, epoch, (), False)))
    return module, made, [alert for alert in told if alert is not None]


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_layer_behind_a_dead_relu_is_told_once(optimizer: str):
    module, made, told = trained(-1e4, optimizer)
    (alert,) = told
    assert (alert.step, alert.kind) == (2 * APART, "dead-layers")
    assert "1 of 3 layers learn nothing: no gradient reaches 'first'" in alert.text
    assert gradients(module, made)["first"] == 0.0


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_living_and_frozen_layers_are_not(optimizer: str):
    assert trained(0.0, optimizer)[2] == []
    assert trained(-1e4, optimizer, frozen=True)[2] == []


def test_the_numbers_are_the_optimizers_mean_gradient():
    module, made, _ = trained(0.0, "adamw")
    expected = made.state[module.second.weight]["exp_avg"].square().mean().sqrt().item()
    assert gradients(module, made)["second"] == pytest.approx(expected)
    assert gradients(*trained(-1e4, "sgd")[:2]) == {}


def test_a_layer_that_is_still_for_a_moment_is_not_told():
    sizes = iter([{"a": 1.0, "b": 1.0, "c": 0.0}, {"a": 1.0, "b": 1.0, "c": 0.5}, {"a": 1.0, "b": 0.0, "c": 1.0}])
    detector = DeadLayers(lambda: next(sizes), Onset())
    assert [detector(EpochDone(step * APART, step, (), False)) for step in (1, 2, 3)] == [None] * 3
