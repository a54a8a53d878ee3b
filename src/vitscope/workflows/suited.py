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


def without_growing(c: RunConfig, requested: Mapping[str, Any], a: Architecture) -> tuple[RunConfig, list[str]]:
    """The options with pictures of one size for a model that takes no other, where a recipe had them grow; told.

    Raises `RequestError` where that was asked for.
    """
    if c.schedule.start_size == 1 or a.takes_any_size:
        return c, []
    if "start_size" in requested.get("schedule", {}):
        raise RequestError(f"schedule.start_size: {a.name} takes pictures of one size only. Leave --start-size out.")
    told = f"{a.name} takes pictures of one size only: they do not grow as in the recipe."
    return config.build(c.model_dump(mode="json"), {"schedule": {"start_size": 1.0}}), [told]


def without_random_growing(c: RunConfig, requested: Mapping[str, Any]) -> tuple[RunConfig, list[str]]:
    """The options with pictures of one size where a GPU must compute the same bits each time; told.

    Raises `RequestError` where growing was asked for: torch resamples position embeddings with atomic additions there.
    """
    if c.schedule.start_size == 1 or not c.train.deterministic or not c.train.device.startswith("cuda"):
        return c, []
    told = "Pictures that grow are not trained on bit for bit the same on a GPU"
    if "start_size" in requested.get("schedule", {}):
        raise RequestError(f"train.deterministic: {told}. Leave it or --start-size out.")
    return config.build(c.model_dump(mode="json"), {"schedule": {"start_size": 1.0}}), [f"{told}: they do not grow."]


def with_batch(c: RunConfig, images: int) -> tuple[RunConfig, list[str]]:
    """The options with a batch no larger than the training images; told. Raises `RequestError` for its parts."""
    batch, told = min(c.train.batch_size, images), []
    if batch < c.train.batch_size:
        told.append(f"The batch of {c.train.batch_size} is larger than the {images} training images: {batch} is used.")
    if c.train.accumulation > batch:
        raise RequestError(
            f"train.accumulation: {c.train.accumulation} parts of a batch of {batch} images: one would be empty."
        )
    if batch % c.augment.repeats:
        raise RequestError(
            f"augment.repeats: a batch of {batch} images does not hold {c.augment.repeats} views of each."
        )
    return config.build(c.model_dump(mode="json"), {"train": {"batch_size": batch}}), told


def of_averages(c: RunConfig, a: Architecture, classes: int) -> list[str]:
    """What to tell of weights that are averaged beside statistics that are not."""
    if c.optim.name != "schedulefree" or not has_batch_norm(a.on_meta(classes)):
        return []
    return [
        f"{a.name} has batch norm, whose statistics are those of the weights that are trained, while schedulefree "
        "evaluates averaged ones: --optimizer adamw or muon may end better."
    ]


def check_parts(c: RunConfig, a: Architecture, classes: int) -> list[str]:
    """Raise `RequestError` where the parts of a batch are too small for batch norm; returns what to tell of it."""
    parts, batch = c.train.accumulation, c.train.batch_size
    size = math.ceil(batch / parts)
    check_training(a, classes, batch % size or size)
    if parts > 1 and has_batch_norm(a.on_meta(classes)):
        return [
            f"{a.name} normalises over the images that it sees at once: {parts} parts of a batch are not quite the "
            "same as the whole."
        ]
    return []
