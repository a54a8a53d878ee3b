"""Modules of one's own: known to this process by a name, and copied where timm's are created.

Their code stays with whoever wrote it: a checkpoint holds weights and this name, never code. So another process has to
be told of the module first (`register_model`), and then opens, resumes and exports the run as ever.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from vitscope.errors import RequestError

PREFIX = "own:"
_KNOWN: dict[str, nn.Module] = {}


def register_model(module: nn.Module, name: str | None = None) -> str:
    """Make a module known and return what it is called from now on: `own:` and its name, by default its class's.

    It must give logits (B, C) of pictures (B, 3, S, S), normalised. It is copied now, weights and all: they are what a
    run starts from. One of the same name takes the earlier one's place.
    """
    called = f"{PREFIX}{name or type(module).__name__}"
    _KNOWN[called] = copy.deepcopy(module)
    return called


def is_own(name: str) -> bool:
    """Whether a model's name is of this kind, known here or not."""
    return name.startswith(PREFIX)


def copy_of(name: str) -> nn.Module:
    """A module like the one that was made known, on torch's default device. Raises `RequestError` where none was."""
    if name not in _KNOWN:
        raise RequestError(
            f"Model '{name}' is a module of somebody's own, and its code is not here. In Python make it known first: "
            "vitscope.register_model(module); then resume, load, evaluate or export there."
        )
    module = copy.deepcopy(_KNOWN[name])
    device = torch.get_default_device()
    return module.to(device) if device.type == "meta" else module


def config_of(name: str) -> Mapping[str, Any]:
    """What the module says of its input, as timm's do: `pretrained_cfg`; nothing where it has none."""
    known = _KNOWN.get(name)
    found = getattr(known, "pretrained_cfg", None) if known is not None else None
    return found if isinstance(found, Mapping) else {}
