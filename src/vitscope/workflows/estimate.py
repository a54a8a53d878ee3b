"""What a run would cost, before it starts: parameters, FLOPs, memory, disk, time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from vitscope.machine.measured import own
from vitscope.storage.workspace import DATA_COPIES, Workspace
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
    memory_bytes: int
    checkpoint_bytes: int
    disk_bytes: int
    step_s: float
    total_s: float


def estimate(requested: Mapping[str, Any], workspace: Workspace) -> Estimate:
    """Resolve the request and cost it. Raises `RequestError` as training would; no run is made."""
    plan = resolve(requested, workspace)
    c, a = plan.config, plan.architecture
    part = -(-c.train.batch_size // c.train.accumulation)
    flops = forward_flops(plan)
    counts = {split: len(plan.manifest.of_split(split)) for split in ("train", "val", "test")}
    seen = plan.total_steps * c.train.batch_size
    weight_bytes = 4 * a.parameters
    moments = 2 if c.optim.name == "adamw" else 1
    copies = 2 + moments + (1 if c.train.ema_decay else 0)  # weights, gradients, the optimizer's, the average
    value_bytes = 2 if c.train.precision == "bf16" else 4
    pictures = c.train.batch_size * 3 * a.preprocess.size**2 * 4
    memory = copies * weight_bytes + saved_bytes(plan, part) * value_bytes // 4 + 2 * pictures
    checkpoint = weight_bytes * (1 + moments + (1 if c.train.ema_decay else 0))
    data_bytes = sum(plan.manifest.table["size_bytes"].to_pylist())
    step_s = timed_step(plan)
    evaluated = (counts["val"] + counts["test"]) * c.train.epochs
    per_image = step_s / c.train.batch_size
    return Estimate(
        plan,
        a.parameters,
        flops,
        3 * flops * seen,
        memory,
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
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        _on_meta(plan).eval()(torch.empty(1, 3, side, side, device="meta"))
    return counter.get_total_flops()


def saved_bytes(plan: Plan, images: int) -> int:
    """Bytes that a forward pass in fp32 keeps for the backward pass, counted without computing anything."""
    module = _on_meta(plan).train()
    own = {p.untyped_storage()._cdata for p in module.parameters()}
    kept: dict[int, torch.Tensor] = {}  # holding the tensors keeps their storages' identities unique

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        if (key := tensor.untyped_storage()._cdata) not in own:
            kept[key] = tensor
        return tensor

    side = plan.architecture.preprocess.size
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        result = module(torch.empty(images, 3, side, side, device="meta"))
    del result
    return sum(t.untyped_storage().nbytes() for t in kept.values())


def timed_step(plan: Plan) -> float:
    """Seconds of a training step here: the best of three with a few images, scaled to the batch; loading left out."""
    c, images = plan.config, min(PROBE_IMAGES, plan.config.train.batch_size)
    steps = Steps(
        Subject(c, plan.architecture, len(plan.classes), plan.total_steps, c.train.batch_size, images), plan.choices
    )
    candidate = own(plan.choices)._replace(compile=False)
    return min(steps(candidate, images) for _ in range(3)) * c.train.batch_size / images
