from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch

from vitscope.config import OptimConfig
from vitscope.models.create import create_model
from vitscope.training.muon import orthogonalized
from vitscope.training.optim import (
    OPTIMIZERS,
    create_optimizer,
    evaluation_copy,
    freeze,
    parameter_groups,
    state_values,
)

SIZES = {"img_size": 32, "patch_size": 16, "embed_dim": 32, "depth": 1, "num_heads": 2}


@pytest.mark.parametrize(
    "name", ["vit_tiny_patch16_224", "vit_tiny_convstem", "vit_tiny_poolstem", "beit_base_patch16_224"]
)
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


def test_muon_takes_the_matrices_of_the_blocks_alone():
    module = create_model("vit_tiny_patch16_224", num_classes=3, **SIZES)
    names = {id(p): name for name, p in module.named_parameters()}
    parts = {names[id(p)]: g["parts"] for g in parameter_groups(module, OptimConfig(name="muon")) for p in g["params"]}
    assert parts.keys() == set(names.values())
    assert {name: n for name, n in parts.items() if n} == {
        "blocks.0.attn.qkv.weight": 3,
        "blocks.0.attn.proj.weight": 1,
        "blocks.0.mlp.fc1.weight": 1,
        "blocks.0.mlp.fc2.weight": 1,
    }


def test_muon_takes_the_kernels_of_a_stem_but_not_those_that_see_colours_nor_those_of_one_channel_each():
    stem = create_model("vit_tiny_poolstem", num_classes=3, **SIZES | {"patch_size": 4})
    parts = {id(p): g["parts"] for g in parameter_groups(stem, OptimConfig(name="muon")) for p in g["params"]}
    convolutions = {
        name: layer for name, layer in stem.patch_embed.named_modules() if isinstance(layer, torch.nn.Conv2d)
    }
    assert len(convolutions) >= 2
    assert [parts[id(layer.weight)] for layer in convolutions.values()] == [0] + [1] * (len(convolutions) - 1)
    single = create_model("vit_tiny_patch16_224", num_classes=3, **SIZES)
    each = torch.nn.Sequential(torch.nn.Conv2d(8, 8, 3, groups=8), torch.nn.Conv2d(8, 8, 3))
    for module, name, wanted in ((single, "patch_embed.proj.weight", 0), (each, "0.weight", 0), (each, "1.weight", 1)):
        groups = parameter_groups(module, OptimConfig(name="muon"))
        (found,) = (g["parts"] for g in groups if any(p is module.get_parameter(name) for p in g["params"]))
        assert found == wanted, name


def test_muon_turns_kernels_into_a_row_for_each_channel():
    layer = torch.nn.Conv2d(8, 6, 3, bias=False).to(memory_format=torch.channels_last)
    weight = layer.weight.detach().clone()
    optimizer = create_optimizer(layer, OptimConfig(name="muon", lr=0.1, weight_decay=0.0))
    gradient = torch.randn(6, 8, 3, 3, generator=torch.Generator().manual_seed(2))
    layer.weight.grad = gradient.clone(memory_format=torch.channels_last)
    optimizer.step()
    expected = orthogonalized(gradient.reshape(1, 6, 72), torch.float32).view(6, 8, 3, 3)
    torch.testing.assert_close(layer.weight.detach(), weight - 0.1 * 0.2 * 72**0.5 * expected, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("shape", [(3, 16, 48), (3, 48, 16), (2, 24, 24)])
def test_newton_schulz_comes_near_the_polar_factor(shape: tuple[int, int, int]):
    """Against SciPy's singular value decomposition: U·Vᵀ has the directions, and singular values near 1."""
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    found = orthogonalized(matrices, torch.float32)
    for matrix, near in zip(matrices.double().numpy(), found.double().numpy(), strict=True):
        u, s, vt = scipy.linalg.svd(matrix, full_matrices=False)
        within = u.T @ near @ vt.T  # in the matrix's own directions: diagonal
        assert abs(within - np.diag(np.diag(within))).max() < 1e-3
        large = s > 0.05 * s[0]
        assert ((np.diag(within)[large] > 0.65) & (np.diag(within)[large] < 1.25)).all()


def test_muons_first_step_is_orthogonal_decays_and_leaves_biases_to_adamw():
    module = torch.nn.Sequential(torch.nn.Linear(6, 4))
    weight, bias = module[0].weight.detach().clone(), module[0].bias.detach().clone()
    optimizer = create_optimizer(module, OptimConfig(name="muon", lr=0.1, weight_decay=0.5, momentum=0.9))
    gradient = torch.randn(4, 6, generator=torch.Generator().manual_seed(2))
    module[0].weight.grad, module[0].bias.grad = gradient.clone(), torch.tensor([1.0, -2.0, 3.0, -4.0])
    optimizer.step()
    # Nesterov on the first momentum: g·(1 - m) blended with g by m, a multiple of g, which orthogonalising forgets.
    size = 0.2 * 6**0.5
    expected = weight * (1 - 0.1 * 0.5) - 0.1 * size * orthogonalized(gradient[None], torch.float32)[0]
    torch.testing.assert_close(module[0].weight.detach(), expected, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(module[0].bias.detach(), bias - 0.1 * torch.tensor([1.0, -1.0, 1.0, -1.0]))


def test_muon_goes_on_from_its_saved_state():
    def steps(module: torch.nn.Module, optimizer: torch.optim.Optimizer, seeds: range) -> None:
        for seed in seeds:
            for p in module.parameters():
                p.grad = torch.randn(p.shape, generator=torch.Generator().manual_seed(seed))
            optimizer.step()

    config = OptimConfig(name="muon", lr=0.01)
    whole, halves = (create_model("vit_tiny_patch16_224", num_classes=3, **SIZES) for _ in range(2))
    halves.load_state_dict(whole.state_dict())
    steps(whole, create_optimizer(whole, config), range(4))
    first = create_optimizer(halves, config)
    steps(halves, first, range(2))
    second = create_optimizer(halves, config)
    second.load_state_dict(first.state_dict())
    steps(halves, second, range(2, 4))
    for (name, one), other in zip(whole.named_parameters(), halves.parameters(), strict=True):
        assert torch.equal(one, other), name


def test_layer_decay_shrinks_the_rate_towards_the_embedding():
    module = create_model("vit_tiny_patch16_224", num_classes=3, **SIZES | {"depth": 3})
    groups = parameter_groups(module, OptimConfig(layer_decay=0.5))
    scale = {id(p): g["lr_scale"] for g in groups for p in g["params"]}
    expected = {"patch_embed.proj.weight": 1 / 16, "cls_token": 1 / 16, "head.weight": 1.0}
    expected |= {f"blocks.{i}.mlp.fc1.weight": 0.5 ** (3 - i) for i in range(3)}
    for name, wanted in expected.items():
        assert scale[id(module.get_parameter(name))] == wanted, name


@pytest.mark.parametrize(("share", "first_trained"), [(0.0, "patch_embed."), (0.5, "blocks.1."), (1.0, "head.")])
def test_frozen_layers_are_the_first_ones(share: float, first_trained: str):
    module = create_model("vit_tiny_patch16_224", num_classes=3, **SIZES | {"depth": 3})
    freeze(module, share)
    trained = [name for name, p in module.named_parameters() if p.requires_grad]
    order = ["patch_embed.", "blocks.0.", "blocks.1.", "blocks.2.", "head."]
    assert {next((start for start in order if name.startswith(start)), "") for name in trained} - {""} == set(
        order[order.index(first_trained) :]
    )
    parameters = [p for g in create_optimizer(module, OptimConfig()).param_groups for p in g["params"]]
    assert len(parameters) == len(trained)


def test_schedule_free_follows_the_papers_three_sequences():
    """Algorithm 1 of arXiv:2405.15682 with AdamW's step, x, y and z written out in float64."""
    start, lrs, beta, decay, weight_decay = np.array([1.0, -2.0, 0.5]), [0.01, 0.02, 0.03, 0.03], 0.9, 0.99, 0.1
    module = torch.nn.Linear(3, 1, bias=False).double()
    module.weight.data.copy_(torch.from_numpy(start)[None])
    c = OptimConfig(name="schedulefree", lr=0.03, betas=(beta, decay), weight_decay=weight_decay)
    optimizer = create_optimizer(module, c)
    average = evaluation_copy(module, optimizer, 0.0)
    assert average is not None
    x = z = y = start
    squares, total = np.zeros(3), 0.0
    for t, lr in enumerate(lrs, 1):
        y = (1 - beta) * z + beta * x
        assert module.weight.detach().numpy()[0] == pytest.approx(y, rel=1e-12)
        gradient = 2 * y + np.array([0.3, -0.1, 0.2])
        squares = decay * squares + (1 - decay) * gradient**2
        z = z - lr * (gradient / (np.sqrt(squares / (1 - decay**t)) + 1e-8) + weight_decay * y)
        total += lr**2
        x = (1 - lr**2 / total) * x + lr**2 / total * z
        module.weight.grad = torch.from_numpy(gradient)[None]
        optimizer.param_groups[0]["lr"] = lr
        optimizer.step()
        average.update(module)
        assert average.module.weight.detach().numpy()[0] == pytest.approx(x, rel=1e-10)


def test_schedule_free_evaluates_frozen_weights_as_they_are():
    module = create_model("vit_tiny_patch16_224", num_classes=3, **SIZES)
    freeze(module, 1.0)
    optimizer = create_optimizer(module, OptimConfig(name="schedulefree", lr=0.1))
    average = evaluation_copy(module, optimizer, 0.0)
    assert average is not None
    for _ in range(2):
        for p in module.parameters():
            p.grad = torch.ones_like(p) if p.requires_grad else None
        optimizer.step()
        average.update(module)
    for (name, one), other in zip(average.module.named_parameters(), module.parameters(), strict=True):
        assert torch.equal(one, other) != name.startswith("head."), name


def test_the_optimizers_numbers_are_counted_as_they_keep_them():
    for name in OPTIMIZERS:
        module = create_model("vit_tiny_patch16_224", num_classes=3, **SIZES | {"depth": 3})
        freeze(module, 0.5)
        c = OptimConfig(name=name)
        optimizer = create_optimizer(module, c)
        for p in module.parameters():
            p.grad = torch.ones_like(p) if p.requires_grad else None
        optimizer.step()
        tensors = (v for state in optimizer.state.values() for v in state.values() if isinstance(v, torch.Tensor))
        assert state_values(module, c) == sum(v.numel() for v in tensors if v.ndim), name
