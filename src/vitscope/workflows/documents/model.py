"""Documents about a model as such: `overview`, `structure`, `filters`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import nn

from vitscope.inspection.probe import attention_layers
from vitscope.inspection.structure import Structure
from vitscope.inspection.tokens import Tokens
from vitscope.inspection.weights import acting_weight, linears
from vitscope.models.bundle import ModelBundle
from vitscope.models.families import family_of
from vitscope.visualization.document import Document, pack
from vitscope.workflows.moments import Moment
from vitscope.workflows.pictures import Choice


def overview(
    bundle: ModelBundle,
    tokens: Tokens | None,
    kind: tuple[str, str],
    tree: Structure,
    moments: Sequence[Moment],
    pinned: Sequence[Choice],
    run: Document | None,
) -> Document:
    """What the model is, which moments of its training can be looked at, and pictures to begin with.

    `kind` of attention, and why there is none. `reads` says of which tokens the classifier is told, "class token" or
    "patches": a class token that it does not read says nothing of where the model looks.
    """
    module: Any = bundle.module
    root = tree.nodes[0]
    heads = [int(getattr(layer, "num_heads", 0)) for layer in attention_layers(module)]
    width = getattr(module, "embed_dim", None)
    return {
        "model": {
            "name": bundle.name,
            "family": family_of(bundle.name) or bundle.name.partition("_")[0],
            "parameters": root.parameters,
            "flops": root.flops,
            "image_size": bundle.preprocess.size,
            "patch_size": list(tokens.patch) if tokens is not None else None,
            "grid": list(tokens.grid) if tokens is not None else None,
            "prefix_tokens": tokens.prefix if tokens is not None else 0,
            "has_class_token": tokens is not None and tokens.has_class_token,
            "reads": tokens.reads if tokens is not None else None,
            "embed_dim": width if isinstance(width, int) else getattr(module, "num_features", None),
            "depth": len({layer.block for layer in linears(module) if layer.block is not None}),
            "num_heads": heads[0] if heads else None,
            "classes": list(bundle.classes),
        },
        "attention": {"kind": kind[0], "reason": kind[1]},
        "moments": [moment._asdict() for moment in moments],
        "pinned": [choice._asdict() for choice in pinned],
        "run": run,
    }


def structure(tree: Structure) -> Document:
    return {
        "nodes": [_listed(node._asdict()) for node in tree.nodes],
        "edges": [_listed(edge._asdict()) for edge in tree.edges],
        "folds": [asdict(fold) for fold in tree.folds],
    }


def _listed(fields: Document) -> Document:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in fields.items()}


def filters(module: nn.Module, tokens: Tokens | None) -> Document:
    """The filters that look at the picture, grey where a weight is 0, and how alike the position embeddings are.

    Filters are shown as they act, standardised where the layer does that.
    """
    patch, scale = _patch_filters(module)
    similarity, reason = _position_similarity(module, tokens)
    return {
        "patch": patch,
        "scale": scale,
        "position": None if similarity is None else similarity,
        "position_reason": reason,
    }


def _patch_filters(module: nn.Module) -> tuple[Document, float]:
    first = next((m for m in module.modules() if isinstance(m, nn.Conv2d)), None)
    if first is None or first.in_channels != 3 or first.groups != 1:
        reason = "No convolution looks at the picture." if first is None else "Its first convolution sees no colours."
        return {"count": 0, "height": 0, "width": 0, "pixels": None, "reason": reason}, 0.0
    weight = acting_weight(first).float().cpu().permute(0, 2, 3, 1).numpy()
    count, height, width, _ = weight.shape
    scale = float(np.abs(weight).max())
    bytes_ = np.clip(np.rint(127.5 + 127.5 * weight / (scale or 1.0)), 0, 255).astype(np.uint8)
    return {"count": count, "height": height, "width": width, "pixels": pack(bytes_), "reason": ""}, scale


def _position_similarity(module: Any, tokens: Tokens | None) -> tuple[Document | None, str]:
    """Cosine similarity of the position embedding of each patch with that of every other."""
    table = getattr(module, "pos_embed", None)
    if not isinstance(table, torch.Tensor) or table.ndim < 3 or tokens is None:
        return None, _why_no_positions(module, table)
    rows = table.detach().double().cpu().reshape(-1, table.shape[-1])
    grid = tokens.grid
    if len(rows) not in (tokens.patches, tokens.count):
        return None, f"Its position embedding has {len(rows)} places, the picture {tokens.patches} patches."
    rows = rows[len(rows) - tokens.patches :]
    if not bool(rows.any()):
        return None, "Its position embedding is all zeros: nothing has been learned there yet."
    unit = rows / rows.norm(dim=1, keepdim=True).clamp(min=1e-12)
    alike = (unit @ unit.T).numpy().astype(np.float16).reshape(-1, *grid)
    return {"grid": list(grid), "similarity": pack(alike)}, ""


def _why_no_positions(module: nn.Module, table: Any) -> str:
    if getattr(module, "rope", None) is not None:
        return "Positions are no embedding here: they rotate queries and keys (RoPE)."
    if any("relative_position_bias_table" in name for name, _ in module.named_parameters()):
        return "Positions are no embedding here: attention adds a bias for how far two patches lie apart."
    if isinstance(table, nn.Module):
        return "Its positions are computed from sines and cosines, not learned one by one."
    return "It has no position embedding."
