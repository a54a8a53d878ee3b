"""Pooling, register tokens and patch drop: options that each class of timm's models takes under a name of its own."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch

from vitscope.config import ModelConfig
from vitscope.errors import RequestError

REGISTERS = ("reg_tokens", "num_reg_tokens")  # "Vision Transformers Need Registers" (arXiv:2309.16588)
PATCH_DROP = "patch_drop_rate"  # "PatchDropout" (arXiv:2208.07220)
POOL = "global_pool"


def asks_for_tokens(c: ModelConfig) -> bool:
    """Whether anything of this file is asked for."""
    return c.pool != "auto" or c.registers is not None or c.patch_drop > 0


def token_arguments(c: ModelConfig, name: str, taken: Collection[str]) -> dict[str, Any]:
    """timm's arguments for `c.pool` and `c.registers`; `taken` are those that the class of `name` takes.

    Raises `RequestError` for what it does not take, patch drop too.
    """
    arguments: dict[str, Any] = {}
    if c.pool != "auto":
        if POOL not in taken:
            raise _not_taken("model.pool", name, "its pooling is fixed")
        arguments[POOL] = c.pool
        if c.pool == "token" and "class_token" in taken:
            arguments["class_token"] = True
    if c.registers is not None:
        argument = next((a for a in REGISTERS if a in taken), None)
        if argument is None:
            raise _not_taken("model.registers", name, "it takes no register tokens")
        arguments[argument] = c.registers
    if c.patch_drop > 0 and PATCH_DROP not in taken:
        raise _not_taken("model.patch_drop", name, "it needs all its patches")
    return arguments


def check_pool(c: ModelConfig, name: str, module: torch.nn.Module) -> None:
    """Raise `RequestError` where the head is to read a class token and there is none."""
    if c.pool == "token" and getattr(module, "cls_token", None) is None:
        raise RequestError(f"model.pool: {name} has no class token. Use --pool avg.")


def _not_taken(option: str, name: str, reason: str) -> RequestError:
    return RequestError(f"{option}: not for {name}: {reason}. Leave the option out, or take another --model.")
