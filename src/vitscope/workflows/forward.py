"""How a model is computed: its attention's kernel, and its compiled form."""

from __future__ import annotations

from collections.abc import Callable

import torch


def set_attention(module: torch.nn.Module, kernel: str) -> None:
    """Have every attention use the fused kernel (where torch has one for it), or none."""
    if kernel == "unfused":
        for layer in module.modules():
            if hasattr(layer, "fused_attn"):
                layer.fused_attn = False  # pyright: ignore


def compiled(module: torch.nn.Module, compiler: str | None) -> Callable[[torch.Tensor], torch.Tensor]:
    """The module compiled for one shape: a kernel may depend on a shape, never on the history of calls."""
    if compiler is not None:
        from torch._inductor import config as inductor

        inductor.cpp.cxx = (compiler,)  # pyright: ignore[reportAttributeAccessIssue]
    return torch.compile(module, dynamic=False)
