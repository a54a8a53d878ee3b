"""The parts of a training run, made as its plan says and put together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from vitscope.data.augment import Augment
from vitscope.data.batches import BatchAugment
from vitscope.data.loader import TrainingLoader, TrainingViews, evaluation_loader
from vitscope.events import Observer
from vitscope.models.bundle import ModelBundle
from vitscope.storage.workspace import Workspace
from vitscope.training.activations import checkpoint_activations
from vitscope.training.checkpoint import Checkpoints, Snapshot, Trained
from vitscope.training.class_weights import class_weights
from vitscope.training.loop import Training
from vitscope.training.mixing import Mixing
from vitscope.training.optim import create_optimizer, evaluation_copy, freeze
from vitscope.training.progress import Progress
from vitscope.workflows.initial import initial_module
from vitscope.workflows.resolve import Plan
from vitscope.workflows.snapshots import FOLDER, Snapshots


def assemble(
    plan: Plan,
    workspace: Workspace,
    checkpoints: Checkpoints,
    snapshot: Snapshot | None,
    emit: Observer,
    stop_requested: Callable[[], bool],
) -> Training:
    """The parts of the loop as the plan says, at the snapshot's state or at the beginning."""
    c, a, choices = plan.config, plan.architecture, plan.choices
    torch.set_num_threads(choices.threads)
    torch.use_deterministic_algorithms(choices.deterministic)
    torch.manual_seed(c.seed)

    device = torch.device(choices.device)
    AcceleratorState._reset_state(reset_partial_state=True)  # else a process could train in one precision only
    accelerator = Accelerator(cpu=device.type == "cpu", mixed_precision="bf16" if choices.precision == "bf16" else "no")
    module = initial_module(c, a, plan.classes, workspace, resumed=snapshot is not None).to(device)
    freeze(module, c.model.frozen)
    if choices.attention == "unfused":
        for layer in module.modules():
            if hasattr(layer, "fused_attn"):
                layer.fused_attn = False  # pyright: ignore
    bundle = ModelBundle(module, a.name, a.kwargs, plan.classes, a.preprocess)
    products = torch.bfloat16 if choices.precision == "bf16" else torch.float32
    optimizer = create_optimizer(module, c.optim, products)
    trained = Trained(bundle, optimizer, evaluation_copy(module, optimizer, c.train.ema_decay), Progress())

    if c.train.checkpoint_activations:
        checkpoint_activations(module)
    training_samples = plan.manifest.of_split("train")
    views = TrainingViews(training_samples, Augment(a.preprocess.size, c.augment, a.preprocess.interpolation), c.seed)
    evaluation = {
        split: evaluation_loader(samples, a.preprocess, c.train.eval_batch_size, c.data.workers or 0)
        for split in ("val", "test")
        if len(samples := plan.manifest.of_split(split))
    }
    mixing = Mixing(len(plan.classes), c.train.label_smoothing, c.augment.mixup, c.augment.cutmix, c.seed)
    counts = np.bincount(training_samples.table["label"].to_numpy(), minlength=len(plan.classes))
    weights = class_weights(c.train.class_weights, counts.tolist())
    forward = compiled(module, choices.compiler) if choices.compile else module
    torch.manual_seed(c.seed)  # whatever the weights came from, the generator of drop path begins the same
    if snapshot is not None:
        trained.restore(snapshot)
        if checkpoints.best is None:
            trained.progress.forget_best()
    loader = TrainingLoader(views, c.train.batch_size, c.data.workers or 0, c.augment.repeats, c.data.sampling)
    augment = BatchAugment(c.augment, c.seed)
    return Training(
        c,
        trained,
        forward,
        accelerator,
        loader,
        evaluation,
        augment,
        mixing,
        checkpoints,
        emit,
        stop_requested,
        weights.to(device) if weights is not None else None,
    )


def snapshots_of(training: Training, plan: Plan, folder: Path) -> list[Observer]:
    """The observer that records the time line, where the plan asks for it."""
    if not plan.config.record.snapshots:
        return []
    return [Snapshots(training.trained, plan.manifest, plan.config.record, folder / FOLDER, training.emit)]


def compiled(module: torch.nn.Module, compiler: str | None) -> Callable[[torch.Tensor], torch.Tensor]:
    """The module compiled for one shape: a kernel may depend on a shape, never on the history of calls."""
    if compiler is not None:
        from torch._inductor import config as inductor

        inductor.cpp.cxx = (compiler,)  # pyright: ignore[reportAttributeAccessIssue]
    return torch.compile(module, dynamic=False)
