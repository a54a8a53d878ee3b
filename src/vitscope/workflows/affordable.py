"""A lighter model, smaller pictures, or fewer layers that learn, where the machine or a time budget is short.

A model is published for the size that its authors could afford: DINOv2's for 518 pixels, 1,369 patches, at which two
cores take minutes for a batch. And in ten minutes a light model that sees the pictures thirty times learns more than a
heavy one that sees them three times. Of what can be had, the heaviest is taken that is affordable; what was asked for
stays.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

from vitscope.config import RunConfig
from vitscope.data.manifest import Manifest
from vitscope.machine import Machine, choose
from vitscope.models.architecture import Architecture, describe
from vitscope.text import seconds_of
from vitscope.training.recipes.auto import ENLARGED
from vitscope.workflows.cost import forward_flops, forward_passes, learns_on_features, passes_of_step
from vitscope.workflows.measure import Subject, image_s
from vitscope.workflows.recipe import look_at

LEAST_GRID = 8  # patches along a side
FROZEN = 0.5  # share of the given layers that rest for larger pictures, where a time budget is short
CPU_FLOPS = 5e13  # of a run without a time budget on a CPU: about ten minutes of two cores with AVX2
WANTED_EPOCHS = {True: 8, False: 30}  # that a time budget should hold, by whether weights are given
WANTED_IMAGES = 500_000  # training views that are enough, however many epochs they are, …
LEAST_EPOCHS = 3  # … but for these
TRAINED_SHARE = 0.8  # of a time budget; the rest is start, evaluation and checkpoints

T = TypeVar("T")


class Afforded(NamedTuple):
    """The options with a model and a size that are affordable, and what to tell of it."""

    config: RunConfig
    notices: list[str]


def afforded(
    c: RunConfig,
    lighter: Sequence[RunConfig],
    manifest: Manifest,
    machine: Machine,
    *,
    side: int | None = None,
    may_time: bool,
    may_freeze: bool = False,
) -> Afforded:
    """`c`, or one of the `lighter` (ascending), or `c` at a smaller image size.

    `side`: that of the pictures, where somebody has looked at them (`recipe.look_at`).

    To fit it into a time budget, a step is timed, which takes some seconds (`may_time`); of given weights the first
    layers are frozen then, but where all of them can learn of the largest pictures (`may_freeze`: nobody said which).
    """
    training, classes = manifest.of_split("train"), len(manifest.classes)
    has_weights = c.model.pretrained or c.model.init is not None
    own, shown = describe(c.model, c.data, classes), 0
    candidates, useful = [*lighter, c], [*lighter, c]
    if not lighter and c.model.image_size is None and own.takes_any_size:
        shown = look_at(training).side if side is None else side
        candidates = [sized(c, side) for side in sides_below(own.preprocess.size, patch_of(own, classes))]
        useful = [one for one in candidates if not shown or (one.model.image_size or 0) <= ENLARGED * shown]
        useful = useful or candidates[:1]
    is_open = may_freeze and has_weights and not c.model.frozen and not c.model.lora_rank
    if is_open and c.train.time_budget is not None:  # of as many epochs less is learned; of as many minutes, more
        useful = [*(with_model(one, frozen=FROZEN) for one in useful), useful[-1]]
    if len(useful) == len(candidates) == 1:
        return Afforded(c, [])

    def flops(one: RunConfig) -> int:
        return forward_flops(one, describe(one.model, one.data, classes), classes)

    on_features = learns_on_features(c, own, classes)
    choices = choose(c.train, machine, len(training) // min(c.train.batch_size, len(training)) * c.train.epochs)
    budget, epochs, most = c.train.time_budget, c.train.epochs, math.inf
    why = "a CPU would take long for that"
    if budget is not None:
        epochs = wanted_epochs(len(training), has_weights=has_weights)
        why = f"about {epochs} epochs should fit into {budget}"
        if may_time:
            cheapest = candidates[0]
            a = describe(cheapest.model, cheapest.data, classes)
            took_s = image_s(Subject.of(cheapest, a, classes), choices)
            most = TRAINED_SHARE * seconds_of(budget) * passes_of_step(cheapest) * flops(cheapest) / took_s
    elif choices.device == "cpu":
        most = CPU_FLOPS

    def fits(one: RunConfig) -> bool:
        passes = forward_passes(one, len(training), epochs, on_features=on_features)
        return most == math.inf or passes * flops(one) <= most

    chosen = largest(useful, fits)
    if lighter:
        told = f"A lighter model than this recipe's own is taken: {why}. --model names another."
        return Afforded(chosen, [told] if chosen is not c else [])
    told = []
    size, published = chosen.model.image_size, own.preprocess.size
    if c.model.image_size is None and size is not None and size != published:
        because = f"they are about {shown} pixels wide" if size == useful[-1].model.image_size else why
        told.append(
            f"The model sees the pictures at {size} pixels, not at the {published} that it was made for: {because}. "
            f"--image-size {published} asks for them."
        )
    if chosen.model.frozen != c.model.frozen:
        told.append(f"The first half of the layers stays as it is: {why}. --frozen 0 lets all of them learn.")
    return Afforded(chosen, told)


def wanted_epochs(images: int, *, has_weights: bool) -> int:
    """How many epochs a time budget should hold: of many pictures fewer."""
    return min(WANTED_EPOCHS[has_weights], max(LEAST_EPOCHS, round(WANTED_IMAGES / images)))


def sized(c: RunConfig, side: int) -> RunConfig:
    """The options with an image size."""
    return with_model(c, image_size=side)


def with_model(c: RunConfig, **options: Any) -> RunConfig:
    """The options with some of the model's changed."""
    return c.model_copy(update={"model": c.model.model_copy(update=options)})


def sides_below(published: int, patch: int) -> list[int]:
    """Sizes in whole patches up to the published one, ascending; at least that one."""
    return [*range(LEAST_GRID * patch, published, patch), published]


def patch_of(a: Architecture, classes: int) -> int:
    """Pixels of a patch's side."""
    embed: Any = a.on_meta(classes).patch_embed
    return int(embed.patch_size[0])


def largest(ascending: Sequence[T], fits: Callable[[T], bool]) -> T:
    """The largest that fits, by bisection; the first where none does."""
    low, high = 0, len(ascending) - 1
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(ascending[middle]) else (low, middle - 1)
    return ascending[low]
