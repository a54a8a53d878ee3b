"""Which recipe a request is trained by, and the request with that recipe's options: defaults < recipe < asked for."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any, NamedTuple

from vitscope import config
from vitscope.config import RunConfig
from vitscope.data.manifest import Manifest
from vitscope.data.policies import POLICIES
from vitscope.data.sizes import some_sizes
from vitscope.errors import unknown
from vitscope.models.create import check_name
from vitscope.training.optim import OPTIMIZERS
from vitscope.training.recipes import RECIPES, auto
from vitscope.training.schedule import SCHEDULES
from vitscope.workflows import consistent

# The tables that own a name: option → its choices. Forms and the reference page take their choices from here too.
NAMES: dict[str, Mapping[str, Any]] = {
    "recipe": RECIPES,
    "optim.name": OPTIMIZERS,
    "schedule.name": SCHEDULES,
    "augment.policy": POLICIES,
}
_NOUNS = {"optim.name": "optimizer", "schedule.name": "schedule", "augment.policy": "policy"}


class Pictures(NamedTuple):
    """The training pictures as far as they are known before any is decoded; `side` as in `auto.Facts`."""

    images: int
    side: int
    classes: tuple[str, ...] = ()


def with_recipe(
    requested: Mapping[str, Any], pictures: Pictures | None = None, lighter: Mapping[str, Any] | None = None
) -> RunConfig:
    """Defaults < recipe < `lighter` < `requested`. Raises `RequestError` for a wrong option or an unknown name.

    `lighter`: one of those that `auto` offers for these pictures.
    """
    asked = config.build(requested)
    check_names(asked)
    if is_open(requested):
        chosen = auto.choose(facts(requested, pictures))
        own = RECIPES[chosen.recipe].OPTIONS
        built = config.build(own, chosen.options, lighter or {}, requested, {"recipe": chosen.recipe})
    else:
        built = config.build(RECIPES[str(asked.recipe)].OPTIONS, requested)
    return consistent.settled(built, requested)


def is_open(requested: Mapping[str, Any]) -> bool:
    """Whether the choice of the recipe is left to `auto`."""
    return requested.get("recipe") in (None, "auto")


def facts(requested: Mapping[str, Any], pictures: Pictures | None) -> auto.Facts:
    """What `auto` chooses from."""
    asked = config.build(requested)
    has_weights = asked.model.pretrained or asked.model.init is not None
    has_model = bool({"name", "kwargs"} & requested.get("model", {}).keys())
    images, side, classes = pictures or Pictures(0, 0)
    return auto.Facts(images, side, has_weights, has_model, classes)


def look_at(training: Manifest) -> Pictures:
    """The number of pictures, the median of their shorter sides, of a few spread over them, and the classes."""
    sides = [min(size) for size in some_sizes(training)]
    return Pictures(len(training), int(statistics.median(sides)) if sides else 0, tuple(training.classes))


def check_names(c: RunConfig) -> None:
    """Raise `RequestError` with the closest match for a name that no table holds."""
    for option, table in NAMES.items():
        group, _, name = option.rpartition(".")
        value = getattr(getattr(c, group) if group else c, name)
        if value is not None and value not in table:
            raise unknown(_NOUNS.get(option, option), value, table)
    check_name(c.model.name)
