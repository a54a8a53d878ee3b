from __future__ import annotations

import pytest
import torch

from vitscope.config import OptimConfig
from vitscope.models.create import create_model
from vitscope.training.optim import OPTIMIZERS, create_optimizer

SIZES = {"img_size": 32, "patch_size": 16, "embed_dim": 32, "depth": 1, "num_heads": 2}


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "vit_tiny_convstem", "beit_base_patch16_224"])
def test_only_matrices_of_layers_decay(name: str):
    module = create_model(name, num_classes=3, **SIZES)
    groups = create_optimizer(module, OptimConfig(weight_decay=0.3)).param_groups
    decaying = {id(p) for g in groups if g["weight_decay"] == 0.3 for p in g["params"]}
    resting = {id(p) for g in groups if g["weight_decay"] == 0.0 for p in g["params"]}
    for key, p in module.named_parameters():
        is_matrix = p.ndim > 1 and key.endswith("weight")
        assert (id(p) in decaying) == is_matrix, key
        assert (id(p) in resting) == (not is_matrix), key


def test_adamw_moves_as_torchs_formula_says():
    module = torch.nn.Linear(2, 1, bias=False)
    torch.nn.init.ones_(module.weight)
    optimizer = create_optimizer(module, OptimConfig(lr=0.1, weight_decay=0.5))
    module.weight.grad = torch.tensor([[3.0, -2.0]])
    optimizer.step()
    # first step: w·(1 - lr·wd) - lr·sign(g), up to epsilon
    assert module.weight.detach().tolist()[0] == pytest.approx([0.95 - 0.1, 0.95 + 0.1], abs=1e-5)


def test_every_optimizer_takes_the_rate():
    for name in OPTIMIZERS:
        assert create_optimizer(torch.nn.Linear(2, 2), OptimConfig(name=name, lr=0.25)).param_groups[0]["lr"] == 0.25
