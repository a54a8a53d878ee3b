"""Activation checkpointing (arXiv:1604.06174): what a block computes inside is not kept for the backward pass."""

from __future__ import annotations

from collections.abc import Callable

import torch

from vitscope.errors import RequestError


def checkpoint_activations(module: torch.nn.Module) -> None:
    """Have the model keep the inputs of its blocks alone and compute the rest again, dropout and drop path the same.

    Raises `RequestError` where the model cannot.
    """
    switch: Callable[[bool], None] | None = getattr(module, "set_grad_checkpointing", None)
    try:
        if switch is None:
            raise AssertionError
        switch(True)
    except AssertionError:  # how timm says so
        raise RequestError(
            f"--checkpoint-activations: {type(module).__name__} cannot compute its activations again. To save memory "
            "raise --accumulation."
        ) from None
