from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
from torch import nn

from tests.inspection.tiny import GLOBAL, SIDE, pixels, tiny
from vitscope.errors import RequestError
from vitscope.inspection.probe import capture
from vitscope.inspection.tokens import tokens_if_any, tokens_of

PREFIX = {
    "vit_tiny_patch16_224": 1,
    "deit_tiny_distilled_patch16_224": 2,
    "vit_small_patch14_reg4_dinov2": 5,
    "vit_small_patch16_dinov3": 5,
}


@pytest.mark.parametrize("name", GLOBAL)
def test_there_are_as_many_tokens_as_attention_has(name: str) -> None:
    module = tiny(name)
    tokens = tokens_of(module, SIDE)
    assert tokens.grid == (4, 4)
    assert tokens.patch == (8, 8)
    assert tokens.has_class_token
    assert tokens.count == capture(module, pixels(1)).attention[0].shape[-1]
    assert tokens.prefix == PREFIX.get(name, 1)


def test_sides_may_differ_and_a_class_token_be_missing() -> None:
    sizes = {"img_size": (32, 48), "patch_size": (8, 16), "embed_dim": 16, "depth": 1, "num_heads": 1}
    module = timm.create_model("vit_tiny_patch16_224", class_token=False, global_pool="avg", **sizes)
    tokens = tokens_of(module, (32, 48))
    assert (tokens.grid, tokens.patch, tokens.prefix, tokens.has_class_token) == ((4, 3), (8, 16), 0, False)
    with torch.no_grad():
        assert capture(module, torch.zeros(1, 3, 32, 48)).attention[0].shape[-1] == 12


def test_what_has_no_patches_has_no_tokens() -> None:
    with pytest.raises(RequestError, match="Linear does not cut"):
        tokens_of(nn.Linear(3, 3), 32)


@pytest.mark.parametrize(
    ("name", "more", "reads"),
    [
        ("vit_tiny_patch16_224", {}, "class token"),
        ("vit_tiny_patch16_224", {"global_pool": "avg"}, "patches"),
        ("vit_tiny_patch16_224", {"global_pool": "max"}, "patches"),
        ("deit_tiny_distilled_patch16_224", {}, "class token"),
        ("deit3_small_patch16_224", {}, "class token"),
        ("beit_base_patch16_224", {}, "patches"),
        ("beit_base_patch16_224", {"global_pool": "token"}, "class token"),
        ("eva02_tiny_patch14_224", {}, "patches"),
        ("vit_small_patch14_reg4_dinov2", {}, "class token"),
        ("vit_small_patch16_dinov3", {}, "patches"),
    ],
)
def test_reads_is_what_the_logits_depend_on(name: str, more: dict, reads: str) -> None:
    """Whether they change with the class token alone, as the last block gives it out."""
    module: Any = timm.create_model(name, num_classes=3, **{**GLOBAL[name], **more}).eval()
    with torch.no_grad():
        for weight in module.parameters():
            weight.normal_(0, 0.3)
        plain = module(pixels(1))
        handle = module.blocks[-1].register_forward_hook(
            lambda _, __, out: torch.cat([out[:, :1] + 3 * torch.randn(1, 1, 32), out[:, 1:]], 1)
        )
        other = module(pixels(1))
        handle.remove()
    assert bool((plain - other).abs().max() > 1e-6) == (reads == "class token")
    assert tokens_of(module, SIDE).reads == reads


@pytest.mark.parametrize("name", ["naflexvit_base_patch16_gap", "naflexvit_base_patch16_map"])
def test_a_naflexvit_has_its_patches_row_by_row(name: str) -> None:
    """A patch that is changed changes its own token alone, before any block."""
    small = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 1, "num_heads": 2}
    module = timm.create_model(name, num_classes=2, **small).eval()
    tokens = tokens_of(module, 32)
    assert (tokens.grid, tokens.patch, tokens.reads) == ((4, 4), (8, 8), "patches")
    images = torch.zeros(2, 3, 32, 32)
    images[1, :, 8:16, 16:24] = 1.0  # row 1, column 2
    with torch.no_grad():
        given = module.embeds(images)
        given = given[0] if isinstance(given, tuple) else given
    assert given.shape[1] == tokens.count
    assert (given[0] != given[1]).any(dim=-1).nonzero().flatten().tolist() == [tokens.prefix + 4 + 2]


@pytest.mark.parametrize("name", ["pit_ti_224", "pvt_v2_b0"])
def test_patches_that_overlap_are_no_grid(name: str) -> None:
    with torch.device("meta"):
        module = timm.create_model(name, num_classes=2)
    assert tokens_if_any(module, 224) is None
