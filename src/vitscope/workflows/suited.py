"""Training options held against what a model takes: what it does not is told before any work."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from vitscope import config
from vitscope.config import RunConfig
from vitscope.errors import RequestError
from vitscope.models.architecture import Architecture, check_training, has_batch_norm
from vitscope.models.create import OPTIONS

WORDS = {"drop_path_rate": "drop path (stochastic depth)", "drop_rate": "dropout"}


def without_untaken(c: RunConfig, requested: Mapping[str, Any], a: Architecture) -> tuple[RunConfig, list[str]]:
    """The options without the drop rates that the model does not take, where a recipe gave them; told.

    Raises `RequestError` for one that was asked for.
    """
    told = []
    for argument, what in WORDS.items():
        option = OPTIONS[argument]
        if argument in a.takes or not getattr(c.model, option):
            continue
        if option in requested.get("model", {}):
            raise RequestError(f"model.{option}: {a.name} takes no {what}. Leave it out, or choose another model.")
        told.append(f"{a.name} takes no {what}: the recipe's model.{option} is left out.")
        c = config.build(c.model_dump(mode="json"), {"model": {option: 0.0}})
    return c, told


def check_parts(c: RunConfig, a: Architecture, classes: int, batch_size: int) -> list[str]:
    """Raise `RequestError` where the parts of a batch are too small for batch norm; returns what to tell of it."""
    parts = c.train.accumulation
    size = math.ceil(batch_size / parts)
    check_training(a, classes, batch_size % size or size)
    if parts > 1 and has_batch_norm(a.on_meta(classes)):
        return [
            f"{a.name} normalises over the images that it sees at once: {parts} parts of a batch are not quite the "
            "same as the whole."
        ]
    return []
