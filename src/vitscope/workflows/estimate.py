"""What a run would cost, before it starts: parameters, FLOPs, memory, disk, time."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from vitscope.models.weights import new_module
from vitscope.storage.workspace import DATA_COPIES, Workspace
from vitscope.training.mixing import soft_cross_entropy_sum
from vitscope.training.optim import freeze
from vitscope.workflows.initial import training_rates
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
        return _learning(plan)


def _learning(plan: Plan) -> torch.nn.Module:
    """The module with what is left out in training steps and what is frozen; adapters cost little and are left out."""
    c = plan.config.model
    module = new_module(plan.architecture, len(plan.classes), **training_rates(c))
    freeze(module, c.frozen)
    return module


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
    """Seconds of a training step here: the better of two with a few images, scaled to the batch; loading left out."""
    device = torch.device(plan.choices.device)
    torch.set_num_threads(plan.choices.threads)
    images = min(PROBE_IMAGES, plan.config.train.batch_size)
    module = _learning(plan).to(device).train()
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
