"""Where a model's weights come from: random, published (timm's loading and cache), a local folder, a run or a file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch

from vitscope.errors import RequestError, ViTScopeError
from vitscope.models.architecture import Architecture
from vitscope.models.bundle import WEIGHTS, check_weights
from vitscope.models.create import create_model, local_config, published_config
from vitscope.models.families import family_of
from vitscope.models.fitting import fitted
from vitscope.models.tokens import POOL, REGISTERS

# Arguments that say how blocks are used, not what they are: weights are fitted to them.
FITTED = frozenset({"img_size", POOL, *REGISTERS, "class_token", "fc_norm", "use_fc_norm", "no_embed_class"})


class Started(NamedTuple):
    """A module with its first weights, and a sentence for each thing that they had to be fitted to."""

    module: torch.nn.Module
    told: list[str]


def new_module(a: Architecture, num_classes: int, **training: Any) -> torch.nn.Module:
    """Random weights, drawn from torch's generator. `training`: drop rates, which evaluation does not need."""
    return create_model(a.name, num_classes=num_classes, **a.kwargs, **training)


def resizes_plainly(option: Literal["auto", "antialias", "plain"], name: str) -> bool:
    """Whether position embeddings of the model `name` are resized without antialiasing.

    DINOv2's were trained for that, those with registers for antialiasing (facebookresearch/dinov2, hub/backbones.py:
    `interpolate_antialias`, `interpolate_offset`); all others are timm's, which antialiases.
    """
    return option == "plain" or (option == "auto" and family_of(name) == "dinov2" and "_reg" not in name)


def published_module(name: str, a: Architecture, num_classes: int, *, plain: bool = False, **training: Any) -> Started:
    """The weights published for `name` (or in its `local-dir:`), fitted to what was asked for, head new.

    `plain`: the position embedding is resized without antialiasing. Raises `RequestError` that names the cache and how
    to bring weights by hand when they cannot be had.
    """
    if name.startswith("local-dir:") and not (Path(name.removeprefix("local-dir:")).expanduser() / WEIGHTS).is_file():
        raise RequestError(f"{name}: no {WEIGHTS} in this folder (files of other kinds can carry code: not loaded).")
    try:
        if not plain and a.kwargs.keys().isdisjoint(FITTED - {"img_size"}):  # timm itself resizes
            return Started(
                create_model(_expanded(name), num_classes=num_classes, pretrained=True, **a.kwargs, **training), []
            )
        as_published = {k: v for k, v in a.kwargs.items() if k not in FITTED} | published_size(name)
        source = create_model(_expanded(name), num_classes=num_classes, pretrained=True, **as_published)
        module = new_module(a, num_classes, **training)
        weights, told = fitted(source.state_dict(), source, module, plain)
        check_weights(module, weights, name)
        module.load_state_dict(weights)
        return Started(module, told)
    except ViTScopeError:
        raise
    except Exception as error:  # whatever hub client, network stack or file system says
        raise RequestError(_no_weights(name, error)) from None


def published_size(name: str) -> dict[str, int]:
    """`img_size` of the published weights: timm makes some models at its default and resizes what it loads."""
    given = local_config(name).get("model_args", {}) if name.startswith("local-dir:") else {}
    size = given.get("img_size") or published_config(name).get("input_size", (0,))[-1]
    return {"img_size": size} if size else {}


def _expanded(name: str) -> str:
    return f"local-dir:{Path(name.removeprefix('local-dir:')).expanduser()}" if name.startswith("local-dir:") else name


def _no_weights(name: str, error: Exception) -> str:
    from huggingface_hub.constants import HF_HUB_CACHE

    reason = " ".join(str(error).split())[:300] or type(error).__name__
    endpoint = os.environ.get("HF_ENDPOINT", "not set")
    return (
        f"The weights of '{name}' could not be loaded ({reason}). They are looked for in the cache {HF_HUB_CACHE} and "
        f"then on the hub (HF_ENDPOINT is {endpoint}; set it to use a mirror). Without a network, bring a folder with "
        "config.json and model.safetensors by hand and use --model local-dir:FOLDER --pretrained."
    )


def load_initial(
    module: torch.nn.Module, weights: Mapping[str, torch.Tensor], where: str, same_classes: bool, new_head: bool
) -> list[str]:
    """Load an earlier run's or a file's weights into `module`; returns what was left at its random start.

    A head is replaced only when asked; where the weights have none, a new one starts. Raises `RequestError` that tells
    which tensors differ.
    """
    head = head_prefixes(module)
    own = module.state_dict()
    head_differs = not same_classes or any(
        k.startswith(head) and (k not in weights or weights[k].shape != own[k].shape) for k in own
    )
    new_head = new_head or not any(k.startswith(head) for k in weights)
    kept = dict(weights)
    fresh: list[str] = []
    if head_differs and new_head:
        fresh = [k for k in own if k.startswith(head)]
        kept = {k: v for k, v in weights.items() if not k.startswith(head)} | {k: own[k] for k in fresh}
    try:
        check_weights(module, kept, where)
    except RequestError as error:
        hint = " The classifier head differs: add --new-head to replace it." if head_differs and not new_head else ""
        raise RequestError(f"{error}{hint}") from None
    if head_differs and not new_head:
        raise RequestError(
            f"{where}: its classes are not those of the data. Add --new-head to start with a new classifier head."
        )
    module.load_state_dict(kept)
    return fresh


def head_prefixes(module: torch.nn.Module) -> tuple[str, ...]:
    """How the names of the classifier's tensors begin, up to and including the dot: several where there are more heads.

    (Distilled models have two.)
    """
    return classifier_prefixes(getattr(module, "pretrained_cfg", {}))


def classifier_prefixes(published: Mapping[str, Any]) -> tuple[str, ...]:
    """`head_prefixes` of a model by what is published of it."""
    classifier: Any = published.get("classifier") or "head"
    names = (classifier,) if isinstance(classifier, str) else classifier
    return tuple(f"{name}." for name in names)
