"""What a run would cost, before it starts: parameters, FLOPs, memory, disk, time."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from vitscope.models.weights import new_module
from vitscope.storage.workspace import DATA_COPIES, Workspace
from vitscope.training.activations import checkpoint_activations
from vitscope.training.mixing import soft_cross_entropy_sum
from vitscope.training.optim import freeze
from vitscope.workflows.footprint import Estimator, Footprint
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


def forward_flops(plan: Plan) -> int:
    """FLOPs of one image's forward pass."""
    side = plan.architecture.preprocess.size
    with torch.device("meta"):
        module = new_module(plan.architecture, len(plan.classes)).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(torch.empty(1, 3, side, side, device="meta"))
    return counter.get_total_flops()


def timed_step(plan: Plan) -> float:
    """Seconds of a training step here: the better of two with a few images, scaled to the batch; loading left out."""
    device = torch.device(plan.choices.device)
    torch.set_num_threads(plan.choices.threads)
    images = min(PROBE_IMAGES, plan.config.train.batch_size)
    module = new_module(plan.architecture, len(plan.classes)).to(device).train()
    freeze(module, plan.config.model.frozen)
    if plan.config.train.checkpoint_activations:
        checkpoint_activations(module)
    pictures = torch.randn(
        images, 3, plan.architecture.preprocess.size, plan.architecture.preprocess.size, device=device
    )
    targets = torch.full((images, len(plan.classes)), 1 / len(plan.classes), device=device)
    best = float("inf")
    for _ in range(3):
        started = time.perf_counter()
        with torch.autocast(device.type, torch.bfloat16, enabled=plan.choices.precision == "bf16"):
            logits = module(pictures)
        soft_cross_entropy_sum(logits.float(), targets).backward()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - started)
    return best * plan.config.train.batch_size / images
