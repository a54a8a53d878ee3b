"""What a model can do and what it cannot, found by trying it on torch's meta device: nothing is computed or loaded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch

from vitscope.config import DataConfig, ModelConfig
from vitscope.inspection.probe import confirmed_kind
from vitscope.inspection.tokens import tokens_if_any
from vitscope.models.architecture import describe, has_batch_norm, works
from vitscope.models.families import FAMILIES, available, family_of, listing
from vitscope.training.optim import depth_of_parameters

CLASSES = 10  # any number would do
SIZES = (32, 48, 56, 64, 96, 112, 128, 160, 192, 224, 240, 256, 320, 384, 448, 512)


class FamilyRow(NamedTuple):
    """A family with the number of its models."""

    name: str
    models: int
    about: str


class Abilities(NamedTuple):
    """A model as it is by its name, and what it takes. `attention` is its kind, and why where there is "none".

    `layers`: in how many groups its weights lie from the embedding to the head, as `layer_decay` and `frozen` count
    them. `image_sizes`: those of `SIZES` that it works on. `reads`: what its classifier is told, where that is known.
    """

    name: str
    family: str
    about: str
    parameters: int
    image_size: int
    image_sizes: list[int]
    takes_drop_path: bool
    takes_dropout: bool
    layers: int
    has_batch_norm: bool
    reads: str | None
    attention: str
    attention_reason: str
    pretrained: list[str]


def families() -> list[FamilyRow]:
    """Every family, in the order of the table."""
    counts = Counter(family_of(name) for name in available())
    return [FamilyRow(name, counts[name], about) for name, (_, about) in FAMILIES.items()]


def show(name: str, kwargs: Mapping[str, Any] | None = None) -> Abilities:
    """What a model can do. Raises `RequestError` for a name or arguments that do not fit."""
    a = describe(ModelConfig(name=name, kwargs=dict(kwargs or {})), DataConfig(), CLASSES)
    module, size = a.on_meta(CLASSES).eval(), a.preprocess.size
    own = {k: v for k, v in a.kwargs.items() if k != "img_size"}
    tokens = tokens_if_any(module, size)
    kind, reason, _ = confirmed_kind(module, torch.empty(1, 3, size, size, device="meta"))
    family = family_of(a.name) or ""
    weights = {row.name: row.pretrained for row in listing(family)}
    return Abilities(
        name=a.name,
        family=family,
        about=FAMILIES[family].about,
        parameters=a.parameters,
        image_size=size,
        image_sizes=[s for s in SIZES if s == size or works(a.name, CLASSES, own, s)],
        takes_drop_path="drop_path_rate" in a.takes,
        takes_dropout="drop_rate" in a.takes,
        layers=max(depth_of_parameters(module).values()) + 1,
        has_batch_norm=has_batch_norm(module),
        reads=tokens.reads if tokens is not None else None,
        attention=kind,
        attention_reason=reason,
        pretrained=weights.get(a.name, []),
    )
