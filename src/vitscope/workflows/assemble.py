"""The parts of a training run, made as its plan says and put together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from vitscope.data.augment import Augment
from vitscope.data.batches import BatchAugment
from vitscope.data.loader import Batch, TrainingLoader, TrainingViews, evaluation_loader, still_loader
from vitscope.events import Notice, Observer
from vitscope.models.adapters import adapted, linear_layers
from vitscope.models.bundle import ModelBundle
from vitscope.storage.workspace import Workspace
from vitscope.text import count
from vitscope.training.checkpoint import Checkpoints, Snapshot, Trained
from vitscope.training.ema import MovingAverage
from vitscope.training.features import FeatureLoader, classifier, of_batches, suffice
from vitscope.training.loop import Training
from vitscope.training.mixing import Mixing
from vitscope.training.optim import create_optimizer, freeze
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
    module, told = initial_module(c, a, plan.classes, workspace, resumed=snapshot is not None)
    freeze(module.to(device), c.model.frozen)
    for text in told:
        emit(Notice(text, "info", 0))
    if choices.attention == "unfused":
        for layer in module.modules():
            if hasattr(layer, "fused_attn"):
                layer.fused_attn = False  # pyright: ignore
    bundle = ModelBundle(module, a.name, a.kwargs, plan.classes, a.preprocess)
    if c.model.lora_rank:
        module = adapted(module, linear_layers(a, len(plan.classes)), c.model.lora_rank)
    average = MovingAverage(module, c.train.ema_decay) if c.train.ema_decay > 0 else None
    products = torch.bfloat16 if choices.precision == "bf16" else torch.float32
    optimizer = create_optimizer(module, c.optim, products)
    trained = Trained(bundle, optimizer, average, Progress(), module if c.model.lora_rank else None)

    training_samples = plan.manifest.of_split("train")
    views = TrainingViews(training_samples, Augment(a.preprocess.size, c.augment, a.preprocess.interpolation), c.seed)
    evaluation = {
        split: evaluation_loader(samples, a.preprocess, c.train.eval_batch_size, c.data.workers or 0)
        for split in ("val", "test")
        if len(samples := plan.manifest.of_split(split))
    }
    mixing = Mixing(len(plan.classes), c.train.label_smoothing, c.augment.mixup, c.augment.cutmix, c.seed)
    forward = compiled(module, choices.compiler) if choices.compile else module
    torch.manual_seed(c.seed)  # whatever the weights came from, the generator of drop path begins the same
    if snapshot is not None:
        trained.restore(snapshot)
        if checkpoints.best is None:
            trained.progress.forget_best()
    if suffice(module, c):
        return on_features(plan, trained, accelerator, views, evaluation, mixing, checkpoints, emit, stop_requested)
    loader = TrainingLoader(views, c.train.batch_size, c.data.workers or 0, c.augment.repeats)
    augment = BatchAugment(c.augment, c.seed)
    return Training(
        c, trained, forward, accelerator, loader, evaluation, augment, mixing, checkpoints, emit, stop_requested
    )


def on_features(
    plan: Plan,
    trained: Trained,
    accelerator: Accelerator,
    views: TrainingViews,
    evaluation: Mapping[str, Iterable[Batch]],
    mixing: Mixing,
    checkpoints: Checkpoints,
    emit: Observer,
    stop_requested: Callable[[], bool],
) -> Training:
    """The loop's parts where the head learns from features; they are computed here."""
    c, module, device = plan.config, trained.bundle.module, accelerator.device
    pictures = len(views) + sum(len(plan.manifest.of_split(split)) for split in evaluation)
    told = "Only the head learns, of pictures that stay the same: the frozen layers see each once"
    emit(Notice(f"{told} ({count(pictures, 'picture')}) before training begins.", "info", trained.progress.step))

    def prepared(images: torch.Tensor) -> torch.Tensor:
        return trained.bundle.preprocess.normalize(images.to(device))

    still = still_loader(views, c.train.eval_batch_size, c.data.workers or 0)
    with accelerator.autocast():
        batches = of_batches(module, still, prepared)
    loader = FeatureLoader.of(batches, c.train.batch_size, c.seed)
    for problem in (problem for batch in batches for problem in batch.problems):
        emit(Notice(problem, "warning", trained.progress.step))
    evaluated = {
        split: of_batches(module, batches, lambda images: images.to(device)) for split, batches in evaluation.items()
    }
    augment, head = BatchAugment(c.augment, c.seed), classifier(module)
    assert head is not None
    return Training(
        c, trained, head, accelerator, loader, evaluated, augment, mixing, checkpoints, emit, stop_requested, True
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
