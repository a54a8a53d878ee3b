"""A run that stays within a given memory: first the batch in more parts, then activations computed again."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch

from vitscope import config
from vitscope.config import RunConfig
from vitscope.errors import RequestError
from vitscope.models.architecture import Architecture
from vitscope.models.weights import new_module
from vitscope.text import parse_size, size
from vitscope.training.activations import checkpoint_activations
from vitscope.workflows.footprint import Estimator


class Fitted(NamedTuple):
    """The configuration that fits, and what to tell of it."""

    config: RunConfig
    notice: str


def fitted(c: RunConfig, a: Architecture, num_classes: int) -> Fitted:
    """`c` with as few changes as let its estimate fit in `train.memory`.

    Raises `RequestError` with the smallest memory that would do.
    """
    assert c.train.memory is not None
    most, estimator = parse_size(c.train.memory), Estimator(c, a, num_classes)
    ways = [True] if c.train.checkpoint_activations else [False, True][: 1 + can_checkpoint(a, num_classes)]
    largest_part = math.ceil(c.train.batch_size / c.train.accumulation)
    for is_checkpointed in ways:
        images = min(estimator.most_images(most, is_checkpointed), largest_part)
        if images < 1:
            continue
        parts = math.ceil(c.train.batch_size / images)
        changes: dict[str, Any] = {"accumulation": parts, "checkpoint_activations": is_checkpointed}
        seen = estimator.most_evaluated(most)
        changes["eval_batch_size"] = max(1, min(c.train.eval_batch_size, seen))
        chosen = config.build(c.model_dump(mode="json"), {"train": changes})
        needed = estimator.footprint(math.ceil(c.train.batch_size / parts), is_checkpointed).total
        return Fitted(chosen, _told(c, chosen, needed))
    smallest = estimator.footprint(1, ways[-1]).total
    hint = " A smaller batch, model or image size needs less." if c.train.batch_size > 1 else ""
    raise RequestError(
        f"--memory {c.train.memory}: one image at a time{', its activations computed again,' if ways[-1] else ''} "
        f"needs about {size(smallest)}.{hint}"
    )


def check_activations(a: Architecture, num_classes: int) -> None:
    """Raise `RequestError` where the model cannot compute its activations again."""
    with torch.device("meta"):
        checkpoint_activations(new_module(a, num_classes))


def can_checkpoint(a: Architecture, num_classes: int) -> bool:
    """Whether the model can."""
    try:
        check_activations(a, num_classes)
    except RequestError:
        return False
    return True


def _told(asked: RunConfig, chosen: RunConfig, needed: int) -> str:
    before, now = asked.train, chosen.train
    images = math.ceil(now.batch_size / now.accumulation)
    found = [f"{images} images at a time ({now.accumulation} parts of a batch of {now.batch_size})"]
    if now.accumulation == before.accumulation:
        found = [f"{images} images at a time, as asked"]
    if now.checkpoint_activations and not before.checkpoint_activations:
        found.append("activations computed again going backward")
    if now.eval_batch_size < before.eval_batch_size:
        found.append(f"{now.eval_batch_size} images at a time in evaluation")
    return f"To stay within {before.memory}: {', '.join(found)}. That needs about {size(needed)}."
