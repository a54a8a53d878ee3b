"""What a run would cost, before it starts: parameters, FLOPs, memory, disk, time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from vitscope.machine.measured import own
from vitscope.storage.workspace import DATA_COPIES, Workspace
from vitscope.workflows.footprint import Estimator, Footprint
from vitscope.workflows.initial import learning_module
from vitscope.workflows.measure import Steps, Subject
from vitscope.workflows.resolve import Plan, resolve

PROBE_IMAGES = 8  # the step that is timed


class Estimate(NamedTuple):
    """Sizes in bytes, times in seconds; `forward_flops` of one image, 2 × multiply-adds as torch counts."""

    plan: Plan
    parameters: int
    forward_flops: int
    training_flops: int
    memory: Footprint
    checkpoint_bytes: int
    disk_bytes: int
    step_s: float
    total_s: float


def estimate(requested: Mapping[str, Any], workspace: Workspace) -> Estimate:
    """Resolve the request and cost it. Raises `RequestError` as training would; no run is made."""
    plan = resolve(requested, workspace)
    c, a = plan.config, plan.architecture
    flops = forward_flops(plan)
    counts = {split: len(plan.manifest.of_split(split)) for split in ("train", "val", "test")}
    seen = plan.total_steps * c.train.batch_size
    estimator = Estimator(c, a, len(plan.classes))
    part = math.ceil(c.train.batch_size / c.train.accumulation)
    is_checkpointed = c.train.checkpoint_activations
    checkpoint = 4 * a.parameters + estimator.state_bytes + estimator.average_bytes
    data_bytes = sum(plan.manifest.table["size_bytes"].to_pylist())
    step_s = timed_step(plan)
    evaluated = (counts["val"] + counts["test"]) * c.train.epochs
    per_image = step_s / c.train.batch_size
    return Estimate(
        plan,
        a.parameters,
        flops,
        (4 if is_checkpointed else 3) * flops * seen,
        estimator.footprint(part, is_checkpointed),
        checkpoint,
        checkpoint * (c.checkpoint.keep + 2) + data_bytes * DATA_COPIES,
        step_s,
        plan.total_steps * step_s + evaluated * per_image / 3,
    )


def _on_meta(plan: Plan) -> torch.nn.Module:
    with torch.device("meta"):
        return learning_module(plan.config, plan.architecture, len(plan.classes))


def forward_flops(plan: Plan) -> int:
    """FLOPs of one image's forward pass."""
    side = plan.architecture.preprocess.size
    with torch.device("meta"):
        module = learning_module(plan.config, plan.architecture, len(plan.classes)).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(torch.empty(1, 3, side, side, device="meta"))
    return counter.get_total_flops()


def timed_step(plan: Plan) -> float:
    """Seconds of a training step here: the best of three with a few images, scaled to the batch; loading left out."""
    c, images = plan.config, min(PROBE_IMAGES, plan.config.train.batch_size)
    steps = Steps(
        Subject(c, plan.architecture, len(plan.classes), plan.total_steps, c.train.batch_size, images), plan.choices
    )
    candidate = own(plan.choices)._replace(compile=False)
    return min(steps(candidate, images) for _ in range(3)) * c.train.batch_size / images
