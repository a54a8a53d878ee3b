"""How large a run looks at its pictures, where nobody said: by the model, the pictures, and the time there is.

A model is published for the size that its authors could afford: DINOv2's for 518 pixels, 1,369 patches, at which two
cores take minutes for a batch. Of the sizes below, the largest is taken at which the run is affordable; never one much
above the pictures' own, which would show nothing more, nor so few patches that little is left to see.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

from vitscope.config import RunConfig
from vitscope.data.manifest import Manifest
from vitscope.machine import Machine, choose
from vitscope.models.architecture import Architecture, describe
from vitscope.text import seconds_of
from vitscope.training.recipes.auto import ENLARGED
from vitscope.workflows.cost import TRAINING, forward_flops, forward_passes, image_s
from vitscope.workflows.recipe import look_at

LEAST_GRID = 8  # patches along a side
CPU_FLOPS = 1.5e14  # of a run without a time budget on a CPU: about half an hour of two cores without bf16
WANTED_EPOCHS = {True: 8, False: 30}  # that a time budget should hold, by whether weights are given
TRAINED_SHARE = 0.8  # of a time budget; the rest is start, evaluation and checkpoints


class Sized(NamedTuple):
    """The architecture at its size, and what to tell of it."""

    architecture: Architecture
    notices: list[str]


def afforded(c: RunConfig, a: Architecture, manifest: Manifest, machine: Machine, *, may_time: bool) -> Sized:
    """`a` at a smaller size where its own is too large, and nobody asked for one.

    To fit it into a time budget, a step is timed, which takes some seconds (`may_time`).
    """
    if c.model.image_size is not None or not a.takes_any_size:
        return Sized(a, [])
    training, classes, published = manifest.of_split("train"), len(manifest.classes), a.preprocess.size
    choices = choose(c.train, machine, len(training) // c.train.batch_size * c.train.epochs)
    at = cache(lambda side: describe(c.model.model_copy(update={"image_size": side}), c.data, classes))
    sides = sides_below(published, patch_of(a, classes))
    shown = look_at(training).side
    useful = [side for side in sides if not shown or side <= max(sides[0], ENLARGED * shown)]
    budget = c.train.time_budget
    if budget is not None:
        epochs = WANTED_EPOCHS[c.model.pretrained or c.model.init is not None]
        why = f"about {epochs} epochs should fit into {budget}"
        most = math.inf
        if may_time:
            flops = TRAINING * forward_flops(c, at(sides[0]), classes)
            most = TRAINED_SHARE * seconds_of(budget) * flops / image_s(c, at(sides[0]), classes, choices)
    else:
        epochs, why = c.train.epochs, "a CPU would take long for that"
        most = CPU_FLOPS if choices.device == "cpu" else math.inf
    passes = forward_passes(c, len(training), epochs)
    side = largest(useful, lambda side: passes * forward_flops(c, at(side), classes) <= most)
    if side == published:
        return Sized(a, [])
    if side == useful[-1]:
        why = f"they are about {shown} pixels wide"
    told = f"The model sees the pictures at {side} pixels, not at the {published} that it was made for: {why}."
    return Sized(at(side), [f"{told} --image-size {published} asks for them."])


def sides_below(published: int, patch: int) -> list[int]:
    """Sizes in whole patches up to the published one, ascending; at least that one."""
    return [*range(LEAST_GRID * patch, published, patch), published]


def patch_of(a: Architecture, classes: int) -> int:
    embed: Any = a.on_meta(classes).patch_embed
    return int(embed.patch_size[0])


def largest(sides: list[int], fits: Callable[[int], bool]) -> int:
    """The largest of ascending `sides` that fits, by bisection; the first where none does."""
    low, high = 0, len(sides) - 1
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(sides[middle]) else (low, middle - 1)
    return sides[low]
