"""What a run would cost, before it starts: parameters, FLOPs, memory, disk, time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from vitscope.data.evaluation_memory import kept_bytes
from vitscope.storage.workspace import DATA_COPIES, Workspace
from vitscope.text import seconds_of
from vitscope.training.budget import EVALUATION_SHARE
from vitscope.workflows.cost import forward_flops, forward_passes, learns_on_features, passes_of_step
from vitscope.workflows.footprint import Estimator, Footprint
from vitscope.workflows.measure import Subject, image_s
from vitscope.workflows.resolve import Plan, resolve


class Estimate(NamedTuple):
    """Sizes in bytes, times in seconds; `forward_flops` of one image, 2 × multiply-adds as torch counts.

    `epochs`: those asked for, or those that fit into the time budget; None where the head alone learns until it is up,
    as many as it takes.
    """

    plan: Plan
    parameters: int
    forward_flops: int
    training_flops: int
    memory: Footprint
    checkpoint_bytes: int
    disk_bytes: int
    step_s: float
    epochs: float | None
    total_s: float


def estimate(requested: Mapping[str, Any], workspace: Workspace) -> Estimate:
    """Resolve the request and cost it. Raises `RequestError` as training would; no run is made."""
    plan = resolve(requested, workspace, may_time=True)
    c, a, classes = plan.config, plan.architecture, len(plan.classes)
    counts = {split: len(plan.manifest.of_split(split)) for split in ("train", "val", "test")}
    estimator = Estimator(c, a, classes)
    spare = plan.spare_bytes if plan.choices.device == "cpu" else 0  # a GPU's memory holds none of them
    kept = sum(kept_bytes(counts[split], a.preprocess.size, spare) for split in ("val", "test"))
    part = math.ceil(c.train.batch_size / c.train.accumulation)
    checkpoint = 4 * a.parameters + estimator.state_bytes + estimator.average_bytes
    data_bytes = sum(plan.manifest.table["size_bytes"].to_pylist())
    flops, per_image = forward_flops(c, a, classes), image_s(Subject.of(c, a, classes), plan.choices)
    seen, on_features = plan.steps_per_epoch * c.train.batch_size, learns_on_features(c, a, classes)
    forward_s = per_image / passes_of_step(c)
    evaluation_s = (counts["val"] + counts["test"]) * forward_s * (2 if c.train.tta == "flip" else 1)
    budget, epochs = c.train.time_budget, float(c.train.epochs)
    if budget is not None:
        epoch_s = forward_passes(c, seen, 1, on_features=False) * forward_s
        epochs = None if on_features else (1 - EVALUATION_SHARE) * seconds_of(budget) / epoch_s
    passes = forward_passes(c, seen, epochs or 0, on_features=on_features)
    evaluations = 1 if on_features else math.ceil(c.train.epochs / c.train.evaluate_every)
    total_s = passes * forward_s + evaluations * evaluation_s if budget is None else seconds_of(budget)
    return Estimate(
        plan,
        a.parameters,
        flops,
        round(passes * flops),
        estimator.footprint(part, c.train.checkpoint_activations)._replace(kept=kept),
        checkpoint,
        checkpoint * (c.checkpoint.keep + 2) + data_bytes * DATA_COPIES,
        per_image * c.train.batch_size,
        epochs,
        total_s,
    )
