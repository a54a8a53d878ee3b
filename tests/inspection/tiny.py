"""A tiny model of every family, with weights large enough that attention is far from uniform, and attention by hand."""

from __future__ import annotations

from typing import Any

import timm
import torch
from torch import nn
from torch.nn import functional

_VIT: dict[str, Any] = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 2}
GLOBAL: dict[str, dict[str, Any]] = {
    "vit_tiny_patch16_224": _VIT,
    "deit_tiny_distilled_patch16_224": _VIT,
    "deit3_small_patch16_224": _VIT,
    "beit_base_patch16_224": _VIT,
    "eva02_tiny_patch14_224": _VIT,
    "vit_small_patch14_reg4_dinov2": _VIT,
    "vit_small_patch16_dinov3": _VIT,
    "vit_tiny_convstem": _VIT,
    "vit_tiny_poolstem": _VIT,
}
OTHERS: dict[str, dict[str, Any]] = {
    "swin_tiny_patch4_window7_224": {
        "img_size": 32, "patch_size": 2, "embed_dim": 16, "depths": (2, 2), "num_heads": (2, 4), "window_size": 4,
    },
    "cait_xxs24_224": _VIT,
    "xcit_nano_12_p16_224": {"img_size": 32, "embed_dim": 32, "depth": 2, "num_heads": 2},
}  # fmt: skip
ALL = {**GLOBAL, **OTHERS}
SIDE = 32


def tiny(name: str, classes: int = 3, seed: int = 5) -> nn.Module:
    """In evaluation mode."""
    import vitscope.models.stems  # noqa: F401  registers the convolutional stem

    module = timm.create_model(name, num_classes=classes, **ALL[name]).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in module.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator) * (0.3 if weight.ndim > 1 else 0.5))
    return module


def pixels(count: int = 2, seed: int = 1) -> torch.Tensor:
    return torch.randn(count, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))


def inputs_of(module: nn.Module, layers: list[nn.Module], images: torch.Tensor) -> list[tuple[torch.Tensor, dict]]:
    """What reaches each layer in an ordinary pass, fused attention as timm has it: (input, keyword arguments)."""
    seen: dict[int, tuple[torch.Tensor, dict]] = {}

    def remember(layer: nn.Module, args: tuple, kwargs: dict) -> None:
        seen[id(layer)] = (args[0].detach().double(), kwargs)

    handles = [layer.register_forward_pre_hook(remember, with_kwargs=True) for layer in layers]
    with torch.no_grad():
        module(images)
    for handle in handles:
        handle.remove()
    return [seen[id(layer)] for layer in layers]


def by_hand(layer: Any, x: torch.Tensor, kwargs: dict) -> torch.Tensor:
    """Softmax(Q Kᵀ / √d) in float64 from the layer's own weights; (B, H, N, N), or of the layer's own kind."""
    kind = type(layer).__name__
    heads = layer.num_heads
    if kind == "ClassAttn":
        q = _linear(layer.q, x[:, :1]).unflatten(-1, (heads, -1)).transpose(1, 2)
        k = _linear(layer.k, x).unflatten(-1, (heads, -1)).transpose(1, 2)
        return _softmax(q, k)
    q, k = _queries_and_keys(layer, x)
    if kind == "XCA":
        q, k = functional.normalize(q.transpose(-2, -1), dim=-1), functional.normalize(k.transpose(-2, -1), dim=-1)
        return (q @ k.transpose(-2, -1) * layer.temperature.double()).softmax(dim=-1)
    if (rope := kwargs.get("rope")) is not None:
        prefix, half = layer.num_prefix_tokens, layer.rotate_half
        q, k = (torch.cat([t[:, :, :prefix], _rotated(t[:, :, prefix:], rope.double(), half)], dim=2) for t in (q, k))
    bias: Any = 0.0
    if getattr(layer, "relative_position_bias_table", None) is not None:
        area = layer.relative_position_index.shape[0]
        flat = layer.relative_position_bias_table.double()[layer.relative_position_index.flatten()]
        bias = flat.reshape(area, area, heads).permute(2, 0, 1)
    if (mask := kwargs.get("mask")) is not None:
        bias = bias + mask.double().repeat(len(x) // len(mask), 1, 1)[:, None]
    return _softmax(q, k, bias)


def _queries_and_keys(layer: Any, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(B, H, N, d) each."""
    if layer.qkv is not None:
        both = _linear(layer.qkv, x)
        if getattr(layer, "q_bias", None) is not None:
            both = both + torch.cat([layer.q_bias, layer.k_bias, layer.v_bias]).double()
        q, k, _ = both.chunk(3, dim=-1)
    else:
        q, k = _linear(layer.q_proj, x), _linear(layer.k_proj, x)
    return tuple(t.unflatten(-1, (layer.num_heads, -1)).transpose(1, 2) for t in (q, k))  # type: ignore[return-value]


def _linear(layer: nn.Linear, x: torch.Tensor) -> torch.Tensor:
    return x @ layer.weight.double().T + (layer.bias.double() if layer.bias is not None else 0)


def _rotated(x: torch.Tensor, rope: torch.Tensor, half: bool) -> torch.Tensor:
    """Rotary embedding: pairs of channels turned by an angle; neighbours, or those half the width apart."""
    sine, cosine = rope.chunk(2, dim=-1)
    if half:
        a, b = x.chunk(2, dim=-1)
        turned = torch.cat([-b, a], dim=-1)
    else:
        turned = torch.stack([-x[..., 1::2], x[..., ::2]], dim=-1).flatten(-2)
    return x * cosine + turned * sine


def _softmax(q: torch.Tensor, k: torch.Tensor, bias: Any = 0.0) -> torch.Tensor:
    scores = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5 + bias
    raised = (scores - scores.amax(dim=-1, keepdim=True)).exp()
    return raised / raised.sum(dim=-1, keepdim=True)
