"""Weights of one ViT in another: position embeddings against torch's own interpolation, tokens, norms."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from vitscope.config import DataConfig, ModelConfig
from vitscope.models.architecture import describe
from vitscope.models.create import create_model
from vitscope.models.fitting import fitted, plain_resized
from vitscope.models.weights import published_module, resizes_plainly

SIZES = {"patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 2}


def made(name: str = "vit_tiny_patch16_224", seed: int = 1, **kwargs: object) -> torch.nn.Module:
    torch.manual_seed(seed)
    module = create_model(name, num_classes=3, img_size=32, **SIZES, **kwargs)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return module.eval()


def dinov2_formula(grid: torch.Tensor, side: int) -> torch.Tensor:
    """A picture sampled at (i + 0.5) / factor - 0.5 with the cubic kernel (a = -0.75), factor = (side + 0.1) / old."""
    old = grid.shape[0]

    def kernel(x: float) -> float:
        x, a = abs(x), -0.75
        if x <= 1:
            return (a + 2) * x**3 - (a + 3) * x**2 + 1
        return a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a if x < 2 else 0.0

    matrix = torch.zeros(side, old, dtype=torch.float64)
    for i in range(side):
        at = (i + 0.5) / ((side + 0.1) / old) - 0.5
        base = int(at // 1)
        for j in range(base - 1, base + 3):
            matrix[i, min(max(j, 0), old - 1)] += kernel(at - j)
    return torch.einsum("io,jp,opd->ijd", matrix, matrix, grid.double())


@pytest.mark.parametrize("side", [4, 9, 16])
def test_plain_resizing_is_dinov2s(side: int):
    grid = torch.randn(1, 37 * 37, 5, generator=torch.Generator().manual_seed(2))
    found = plain_resized(grid, (side, side)).reshape(side, side, 5)
    torch.testing.assert_close(found.double(), dinov2_formula(grid.reshape(37, 37, 5), side), atol=1e-5, rtol=1e-4)


def test_the_same_grid_stays_as_it_is():
    grid = torch.randn(1, 16, 5)
    assert torch.equal(plain_resized(grid, (4, 4)), grid)


def test_which_weights_are_resized_plainly():
    assert resizes_plainly("auto", "vit_small_patch14_dinov2")
    assert not resizes_plainly("auto", "vit_small_patch14_reg4_dinov2")
    assert not resizes_plainly("auto", "vit_small_patch16_224")
    assert resizes_plainly("plain", "vit_small_patch16_224")
    assert not resizes_plainly("antialias", "vit_small_patch14_dinov2")


def published(tmp_path: Path, architecture: str, **kwargs: object) -> torch.nn.Module:
    """A `local-dir:` of weights made at 64 pixels."""
    torch.manual_seed(1)
    module = create_model(architecture, num_classes=0, img_size=64, **SIZES, **kwargs)
    torch.nn.init.normal_(module.pos_embed)
    save_file(module.state_dict(), tmp_path / "model.safetensors")
    cfg = {"input_size": [3, 64, 64], "num_classes": 0, "first_conv": "patch_embed.proj", "classifier": "head"}
    content = {"architecture": architecture, "model_args": {**SIZES, **kwargs}, "pretrained_cfg": cfg}
    (tmp_path / "config.json").write_text(json.dumps(content))
    return module


def loaded(tmp_path: Path, **options: object):
    c = ModelConfig.model_validate({"name": f"local-dir:{tmp_path}", "pretrained": True, **options})
    a = describe(c, DataConfig(), 3)
    return published_module(c.name, a, 3, plain=resizes_plainly(c.pos_embed, a.name))


def test_given_position_embeddings_are_resized_as_the_weights_were_made_for(tmp_path: Path):
    source = published(tmp_path, "vit_small_patch14_dinov2")
    patches = source.pos_embed.data[:, 1:]
    for option in ("auto", "plain"):
        found = loaded(tmp_path, image_size=32, pos_embed=option).module
        assert torch.equal(found.pos_embed[:, :1], source.pos_embed[:, :1])
        assert torch.equal(found.pos_embed[:, 1:], plain_resized(patches, (4, 4)))
    timms = loaded(tmp_path, image_size=32, pos_embed="antialias").module
    picture = patches.reshape(1, 8, 8, -1).permute(0, 3, 1, 2)
    smooth = torch.nn.functional.interpolate(picture, (4, 4), mode="bicubic", antialias=True).flatten(2).mT
    torch.testing.assert_close(timms.pos_embed[:, 1:], smooth)
    assert (timms.pos_embed[:, 1:] - found.pos_embed[:, 1:]).abs().max() > 0.05
    assert torch.equal(found.blocks[1].mlp.fc2.weight, source.blocks[1].mlp.fc2.weight)


def test_given_weights_with_other_pooling_and_registers(tmp_path: Path):
    source = published(tmp_path, "vit_small_patch14_dinov2")
    module, told = loaded(tmp_path, image_size=32, pool="avg", registers=2)
    assert torch.equal(module.fc_norm.weight, source.norm.weight)
    assert torch.equal(module.cls_token, source.cls_token)
    assert torch.equal(module.pos_embed[:, :1], source.pos_embed[:, :1])
    assert not module.pos_embed[:, 1:3].any()  # the registers'
    assert torch.equal(module.pos_embed[:, 3:], plain_resized(source.pos_embed.data[:, 1:], (4, 4)))
    assert module(torch.randn(1, 3, 32, 32)).shape == (1, 3)
    assert told == [
        "The given weights' last norm is used after the pooling.",
        "New, so random at the start: the register tokens.",
    ]


def test_tokens_and_norm_find_their_place_and_what_has_none_is_told():
    source, module = made(global_pool="avg", reg_tokens=2), made(seed=2, global_pool="token")
    weights, told = fitted(source.state_dict(), source, module, plain=False)
    module.load_state_dict(weights)
    assert torch.equal(module.norm.weight, source.fc_norm.weight)
    assert torch.equal(module.pos_embed[:, 0], source.pos_embed[:, 0])
    assert torch.equal(module.pos_embed[:, 1:], source.pos_embed[:, 3:])
    assert told == [
        "The given weights' last norm is used before the pooling.",
        "Not used of the given weights: the register tokens.",
    ]


def test_a_class_token_takes_its_position_in():
    source, module = made(), made(seed=2, no_embed_class=True)
    module.load_state_dict(fitted(source.state_dict(), source, module, plain=False).weights)
    pictures = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(module(pictures), source(pictures))
