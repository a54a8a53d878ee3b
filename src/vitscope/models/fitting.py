"""Weights of one ViT fitted to another that differs in image size, pooling, class token or registers.

The blocks stay as they are. What has no counterpart starts as the new model does, and is told.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from timm.layers.pos_embed import resample_abs_pos_embed

Weights = dict[str, torch.Tensor]
CALLED = {"cls_token": "the class token", "reg_token": "the register tokens"}
TOKENS = tuple(CALLED)  # in the order in which they precede the patches
PLAIN_OFFSET = 0.1  # added to a side of the new grid, as DINOv2 was trained


class Fitted(NamedTuple):
    """A state dict, and a sentence for each thing that was changed by it."""

    weights: Weights
    told: list[str]


def fitted(
    weights: Mapping[str, torch.Tensor], source: torch.nn.Module, module: torch.nn.Module, plain: bool
) -> Fitted:
    """`weights` of `source` as `module` takes them; `plain`: position embeddings resized without antialiasing."""
    own, kept, told = module.state_dict(), dict(weights), []
    for old, new in (("norm", "fc_norm"), ("fc_norm", "norm")):
        moved = [k for k in kept if k.startswith(f"{old}.") and k not in own and f"{new}{k[len(old) :]}" in own]
        for key in moved:
            kept[f"{new}{key[len(old) :]}"] = kept.pop(key)
        if moved:
            where = "after the pooling" if new == "fc_norm" else "before the pooling"
            told.append(f"The given weights' last norm is used {where}.")
    if "pos_embed" in kept and "pos_embed" in own:
        kept |= _positions(kept, source, module, plain)
    for name in TOKENS:
        if name in own and (name not in kept or kept[name].shape != own[name].shape):
            kept[name] = own[name].clone()
            told.append(f"New, so random at the start: {CALLED[name]}.")
        elif name in kept and name not in own:
            del kept[name]
            told.append(f"Not used of the given weights: {CALLED[name]}.")
    return Fitted(kept, told)


def has_tokens_of(weights: Mapping[str, torch.Tensor], module: torch.nn.Module) -> bool:
    """Whether `weights` are of a model like `module` but perhaps for square pictures of another size."""
    own, positions = module.state_dict(), weights.get("pos_embed")
    if positions is None or positions.ndim != 3 or any((name in weights) != (name in own) for name in TOKENS):
        return False
    patches = positions.shape[1] - sum(_prefix(module).values())
    return patches > 0 and math.isqrt(patches) ** 2 == patches


def _positions(kept: Weights, source: torch.nn.Module, module: torch.nn.Module, plain: bool) -> Weights:
    """`pos_embed` for the tokens and the grid of `module`; a class token that takes its position in is changed too."""
    given = kept["pos_embed"]
    counts = _prefix(source)
    grid = given[:, sum(counts.values()) :]
    before = dict(zip(counts, given[:, : sum(counts.values())].split(list(counts.values()), dim=1), strict=True))
    wanted: Any = module
    size = tuple(wanted.patch_embed.grid_size)
    resize = plain_resized if plain else _antialiased
    parts, changed = [], {}
    for name, count in _prefix(module).items():
        known = before.get(name)
        parts.append(
            known if known is not None and known.shape[1] == count else given.new_zeros(1, count, given.shape[2])
        )
    if not _prefix(module) and "cls_token" in before and "cls_token" in kept:
        changed["cls_token"] = kept["cls_token"] + before["cls_token"]  # its position is always the same
    return {"pos_embed": torch.cat([*parts, resize(grid, size)], dim=1), **changed}


def _prefix(module: torch.nn.Module) -> dict[str, int]:
    """How many positions each kind of token has before the patches'."""
    if getattr(module, "no_embed_class", False):
        return {}
    tokens = {name: getattr(module, name, None) for name in TOKENS}
    return {name: token.shape[1] for name, token in tokens.items() if token is not None}


def _antialiased(grid: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    return resample_abs_pos_embed(grid, list(size), num_prefix_tokens=0)


def plain_resized(grid: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """(1, N, D) of a square grid → (1, h·w, D), bicubic, not antialiased, as DINOv2 (arXiv:2304.07193) resizes.

    It gives the factor (side + 0.1) / old side rather than the sizes, so samples lie a little closer together
    (dinov2/models/vision_transformer.py, `interpolate_offset`).
    """
    old = math.isqrt(grid.shape[1])
    if (old, old) == tuple(size):
        return grid
    picture = grid.float().reshape(1, old, old, -1).permute(0, 3, 1, 2)
    factors = [(side + PLAIN_OFFSET) / old for side in size]
    resized = torch.nn.functional.interpolate(picture, scale_factor=factors, mode="bicubic")
    return resized.permute(0, 2, 3, 1).reshape(1, size[0] * size[1], -1).to(grid.dtype)
