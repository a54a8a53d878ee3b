"""The parts of a training run, made as its plan says and put together."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from vitscope.data.augment import Augment
from vitscope.data.batches import BatchAugment
from vitscope.data.evaluation_memory import kept_where_small
from vitscope.data.loader import Batch, TrainingLoader, TrainingViews, evaluation_loader, still_loader
from vitscope.events import Notice, Observer
from vitscope.machine import keep_freed_memory
from vitscope.models.adapters import adapted, linear_layers
from vitscope.models.bundle import ModelBundle
from vitscope.storage.workspace import Workspace
from vitscope.text import count, seconds_of
from vitscope.training.activations import checkpoint_activations
from vitscope.training.budget import TimeBudget
from vitscope.training.checkpoint import Checkpoints, Snapshot, Trained
from vitscope.training.class_weights import class_weights
from vitscope.training.features import FeatureLoader, classifier, of_batches, suffice
from vitscope.training.horizon import Horizon
from vitscope.training.loop import Training
from vitscope.training.mixing import Mixing
from vitscope.training.optim import create_optimizer, evaluation_copy, freeze
from vitscope.training.progress import Progress
from vitscope.training.resolution import WHOLE_FROM, Resolution, patch_side
from vitscope.workflows.forward import compiled, set_attention
from vitscope.workflows.initial import initial_module
from vitscope.workflows.picture_cache import pictures_of
from vitscope.workflows.resolve import Plan
from vitscope.workflows.snapshots import FOLDER, Snapshots

UNTIMED_STEPS = 500  # a time budget has been planned before so many


def assemble(
    plan: Plan,
    workspace: Workspace,
    checkpoints: Checkpoints,
    snapshot: Snapshot | None,
    emit: Observer,
    stop_requested: Callable[[], bool],
    since: float | None = None,
) -> Training:
    """The parts of the loop as the plan says, at the snapshot's state or at the beginning.

    `since`: when a time budget began, on the monotonic clock; now by default.
    """
    c, a, choices = plan.config, plan.architecture, plan.choices
    torch.set_num_threads(choices.threads)
    keep_freed_memory()
    torch.use_deterministic_algorithms(choices.deterministic)
    torch.manual_seed(c.seed)

    device = torch.device(choices.device)
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)  # accelerate takes the current one
    AcceleratorState._reset_state(reset_partial_state=True)  # else a process could train in one precision only
    accelerator = Accelerator(cpu=device.type == "cpu", mixed_precision="bf16" if choices.precision == "bf16" else "no")
    module, told = initial_module(c, a, plan.classes, workspace, resumed=snapshot is not None)
    freeze(module.to(device), c.model.frozen)
    set_attention(module, choices.attention)
    for text in told:
        emit(Notice(text, "info", 0))
    bundle = ModelBundle(module, a.name, a.kwargs, plan.classes, a.preprocess)
    if c.model.lora_rank:
        module = adapted(module, linear_layers(a, len(plan.classes)), c.model.lora_rank)
    products = torch.bfloat16 if choices.precision == "bf16" else torch.float32
    optimizer = create_optimizer(module, c.optim, products)
    average = evaluation_copy(module, optimizer, c.train.ema_decay)
    trained = Trained(bundle, optimizer, average, Progress(), module if c.model.lora_rank else None)

    if c.train.checkpoint_activations:
        checkpoint_activations(module)
    training_samples = plan.manifest.of_split("train")
    augmented = Augment(a.preprocess.size, c.augment, a.preprocess.interpolation)
    pictures = pictures_of(c, plan.manifest, training_samples, a.preprocess.size, workspace)
    views = TrainingViews(training_samples, augmented, c.seed, pictures)
    evaluation = {
        split: kept_where_small(
            evaluation_loader(samples, a.preprocess, c.train.eval_batch_size, c.data.workers or 0),
            len(samples),
            a.preprocess.size,
            plan.spare_bytes,
        )
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
    if on_features := suffice(module, c):
        forward, loader, evaluation = featured(plan, trained, accelerator, views, evaluation, emit)
    else:
        loader = TrainingLoader(
            views,
            c.train.batch_size,
            c.data.workers or 0,
            c.augment.repeats,
            c.data.sampling,
            is_pinned=device.type == "cuda",
        )
    augment = BatchAugment(c.augment, c.seed)
    resolution = Resolution(a.preprocess.size, patch_side(module) or 1, c.schedule.start_size)
    if len(resolution.sides) > 1 and snapshot is None:
        emit(Notice(growing_told(resolution), "info", 0))
    horizon = Horizon(trained.progress, planned_steps(plan))
    budget = None
    if c.train.time_budget is not None:
        budget = TimeBudget(
            seconds=seconds_of(c.train.time_budget),
            since=time.monotonic() if since is None else since,
            horizon=horizon,
            resolution=resolution,
            steps_per_epoch=loader.steps_per_epoch,
            batch_size=c.train.batch_size,
            evaluated=sum(len(plan.manifest.of_split(split)) for split in evaluation),
            overhead=c.checkpoint.max_overhead,
        )
    return Training(
        config=c,
        trained=trained,
        forward=forward,
        accelerator=accelerator,
        loader=loader,
        evaluation=evaluation,
        augment=augment,
        mixing=mixing,
        resolution=resolution,
        horizon=horizon,
        checkpoints=checkpoints,
        emit=emit,
        stop_requested=stop_requested,
        budget=budget,
        on_features=on_features,
        class_weights=weights.to(device) if weights is not None else None,
    )


def planned_steps(plan: Plan) -> int:
    """Steps to the end by the epochs; with a time budget a first guess, until some steps were timed."""
    return plan.total_steps if plan.config.train.time_budget is None else max(plan.total_steps, UNTIMED_STEPS)


def growing_told(resolution: Resolution) -> str:
    """What a person who watches the accuracy should know of pictures that grow."""
    *early, whole = resolution.sides
    return (
        f"Training pictures grow: {', '.join(map(str, early))}, and for the last {1 - WHOLE_FROM:.0%} of the run "
        f"{whole} pixels. Validation and test see {whole} all along, so their accuracy may rise late. "
        "--start-size 1 trains at one size."
    )


class Featured(NamedTuple):
    """What takes the pictures' place in the loop where the head learns alone."""

    head: torch.nn.Linear
    loader: FeatureLoader
    evaluation: dict[str, list[Batch]]


def featured(
    plan: Plan,
    trained: Trained,
    accelerator: Accelerator,
    views: TrainingViews,
    evaluation: Mapping[str, Iterable[Batch]],
    emit: Observer,
) -> Featured:
    """The head's inputs of every picture, computed here."""
    c, module, device = plan.config, trained.bundle.module, accelerator.device
    pictures = len(views) + sum(len(plan.manifest.of_split(split)) for split in evaluation)
    told = "Only the head learns, of pictures that stay the same: the frozen layers see each once"
    emit(Notice(f"{told} ({count(pictures, 'picture')}) before training begins.", "info", trained.progress.step))

    def prepared(images: torch.Tensor) -> torch.Tensor:
        return trained.bundle.preprocess.normalize(images.to(device))

    still = still_loader(views, c.train.eval_batch_size, c.data.workers or 0)
    with accelerator.autocast():
        batches = of_batches(module, still, prepared)
    for problem in (problem for batch in batches for problem in batch.problems):
        emit(Notice(problem, "warning", trained.progress.step))
    evaluated = {
        split: of_batches(module, batches, lambda images: images.to(device)) for split, batches in evaluation.items()
    }
    head = classifier(module)
    assert head is not None
    return Featured(head, FeatureLoader.of(batches, c.train.batch_size, c.seed, c.data.sampling), evaluated)


def snapshots_of(training: Training, plan: Plan, folder: Path) -> list[Observer]:
    """The observer that records the time line, where the plan asks for it."""
    if not plan.config.record.snapshots:
        return []
    return [Snapshots(training.trained, plan.manifest, plan.config.record, folder / FOLDER, training.emit)]
