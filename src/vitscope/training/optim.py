"""Optimizers by name, with weight decay on matrices alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from timm.optim import param_groups_weight_decay  # pyright: ignore[reportPrivateImportUsage]

from vitscope.config import OptimConfig


def adamw(groups: list[dict[str, Any]], c: OptimConfig) -> torch.optim.Optimizer:
    """AdamW (arXiv:1711.05101)."""
    return torch.optim.AdamW(groups, lr=c.lr, betas=c.betas)


def sgd(groups: list[dict[str, Any]], c: OptimConfig) -> torch.optim.Optimizer:
    """SGD with Nesterov momentum where there is any."""
    return torch.optim.SGD(groups, lr=c.lr, momentum=c.momentum, nesterov=c.momentum > 0)


OPTIMIZERS: dict[str, Callable[[list[dict[str, Any]], OptimConfig], torch.optim.Optimizer]] = {
    "adamw": adamw,
    "sgd": sgd,
}


def create_optimizer(module: torch.nn.Module, c: OptimConfig) -> torch.optim.Optimizer:
    """The optimizer of `c.name`. Biases, norms and what the model names (tokens, position embeddings) do not decay."""
    names: Callable[[], set[str]] = getattr(module, "no_weight_decay", set)
    return OPTIMIZERS[c.name](param_groups_weight_decay(module, c.weight_decay, no_weight_decay_list=names()), c)
