"""The training loop. It reads like the algorithm; its parts live beside it, and who watches lives elsewhere.

    for each epoch, for each batch:  augment → mix → forward → backward (in parts) → clip → optimizer step → average
    after each epoch:                evaluate → best? → checkpoint → stop early?

Everything random about data is keyed by (seed, epoch, step, sample); the rest is in the generators that a checkpoint
holds. So a run that stops after any step goes on bit for bit as if it had never stopped.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, cast

import torch
from accelerate import Accelerator

from vitscope.config import RunConfig
from vitscope.data.batches import BatchAugment
from vitscope.data.loader import Batch, TrainingLoader
from vitscope.events import (
    EpochDone,
    Metric,
    Notice,
    Observer,
    Replanned,
    RunStarted,
    StepsDone,
)
from vitscope.training.budget import TimeBudget
from vitscope.training.cadence import Cadence
from vitscope.training.checkpoint import Checkpoints, Trained
from vitscope.training.features import FeatureLoader, classifier
from vitscope.training.horizon import Horizon
from vitscope.training.meter import StepMeter, memory_in_use_gb
from vitscope.training.mixing import Mixing, soft_cross_entropy_sum
from vitscope.training.not_finite import is_finite, keeper, tell
from vitscope.training.optim import training_mode
from vitscope.training.out_of_memory import in_parts_that_fit
from vitscope.training.resolution import Resolution
from vitscope.training.saving import save
from vitscope.training.schedule import lr_factor
from vitscope.training.validation import Scores, validate

Outcome = Literal["finished", "interrupted"]


@dataclass(frozen=True)
class Training:
    """All that the loop works with, put together by `workflows/train.py`."""

    config: RunConfig
    trained: Trained
    forward: Callable[[torch.Tensor], torch.Tensor]  # the module itself or its compiled form
    accelerator: Accelerator
    loader: TrainingLoader | FeatureLoader
    evaluation: Mapping[str, Iterable[Batch]]  # by split: val chooses the best, test is only reported
    augment: BatchAugment
    mixing: Mixing
    resolution: Resolution
    horizon: Horizon
    checkpoints: Checkpoints
    emit: Observer
    stop_requested: Callable[[], bool] = field(default=lambda: False)
    budget: TimeBudget | None = None
    on_features: bool = False  # batches hold the head's inputs in place of pictures; `forward` is the head
    class_weights: torch.Tensor | None = None  # (C,), on the device

    def close(self) -> None:
        """End the worker processes."""
        self.loader.close()


def fit(t: Training) -> Outcome:
    """Train from `t.trained.progress` to the end, or to the step in which a stop is requested."""
    p, per_epoch = t.trained.progress, t.loader.steps_per_epoch
    meter = StepMeter(t.accelerator.device)
    cadence = Cadence(t.config.checkpoint, t.horizon.total_steps)
    total = t.horizon.total_steps
    t.emit(RunStarted(p.step, total, math.ceil(total / per_epoch), per_epoch, t.resolution.stages(total)))

    while not t.horizon.is_finished and not stops_early(t):
        epoch = t.loader.epoch(p.epoch, start=p.step_in_epoch) if not t.horizon.is_reached else iter(())
        is_replanned = False
        for batch in meter.batches(epoch):
            tell_problems(t, batch)
            measured = train_step(t, batch)
            meter.add(p, images=len(batch.labels), **measured._asdict())
            if meter.is_full:
                report(t, meter)
            if t.stop_requested():
                report(t, meter)
                save(t, cadence, is_last=True)
                return "interrupted"
            is_replanned = replan(t, cadence)
            if t.horizon.is_reached:
                break
            if (is_replanned or cadence.due(p.step)) and p.step_in_epoch < per_epoch:
                report(t, meter)
                save(t, cadence)
                meter.pause()

        report(t, meter)
        is_best = finish_epoch(t)
        if is_best is None:
            save(t, cadence, is_last=True)
            return "interrupted"
        is_over = t.horizon.is_finished or stops_early(t)
        if (
            (is_best and "val" in t.evaluation)
            or is_replanned  # in its last step: a plan is kept at once
            or is_over
            or cadence.due_after_epoch(p.epoch)
        ):
            save(t, cadence, is_last=is_over)
        meter.pause()
    return "finished"


class Measured(NamedTuple):
    """One step's numbers, still on the device; lr as a plain number."""

    lr: float
    loss: torch.Tensor
    grad_norm: torch.Tensor
    correct: torch.Tensor


def train_step(t: Training, batch: Batch) -> Measured:
    """One optimizer step on the effective batch, in parts whose summed gradient is the whole's."""
    c, p, module, optimizer = t.config, t.trained.progress, t.trained.module, t.trained.optimizer
    device, count = t.accelerator.device, len(batch.labels)
    lr = c.optim.lr * lr_factor(t.horizon.position(p.step), t.horizon.total_steps, c.schedule)
    for group in optimizer.param_groups:
        group["lr"] = lr * group.get("lr_scale", 1.0)  # runs begun before there were rates by layer have none

    training_mode(module)
    images = batch.images.to(device, non_blocking=True)
    if not t.on_features:
        views = t.resolution.fit(images, t.horizon.share(p.step))
        views = t.augment(views, batch.samples, batch.repeats, p.epoch)
        images = t.trained.bundle.preprocess.normalize(views)
    images, targets = t.mixing(images, batch.labels.to(device, non_blocking=True), p.epoch, p.step_in_epoch)
    keeps = keeper(t)
    loss, correct = in_parts_that_fit(t, count, lambda part: gradient(t, images, targets, part))

    grad_norm = clipped(module.parameters(), c.optim.clip_grad)
    if keeps(loss, grad_norm):
        optimizer.step()
        if t.trained.average is not None:
            t.trained.average.update(module)
    optimizer.zero_grad(set_to_none=True)
    p.step += 1
    p.step_in_epoch += 1
    return Measured(lr, loss, grad_norm, correct)


def gradient(t: Training, images: torch.Tensor, targets: torch.Tensor, part: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Add up the gradient of the batch's mean loss, `part` images at a time; returns that loss and how many are right.

    The mean is over images, or over their weights where the classes have some.
    """
    weighted = targets if t.class_weights is None else targets * t.class_weights
    whole = len(targets) if t.class_weights is None else weighted.sum()
    loss = torch.zeros((), device=images.device)
    correct = torch.zeros((), device=images.device)
    for some, wanted, labels in zip(images.split(part), weighted.split(part), targets.split(part), strict=True):
        with t.accelerator.autocast():
            logits = t.forward(some)
        part_loss = soft_cross_entropy_sum(logits.to(wanted.dtype), wanted) / whole
        t.accelerator.backward(part_loss)
        loss += part_loss.detach()
        correct += (logits.argmax(dim=1) == labels.argmax(dim=1)).sum()
    return loss, correct


def clipped(parameters: Iterable[torch.nn.Parameter], limit: float | None) -> torch.Tensor:
    """The norm of the whole gradient, which is then scaled down to `limit` where it is larger; None: left alone."""
    trained = [p for p in parameters if p.grad is not None]
    norm = torch.nn.utils.get_total_norm([p.grad for p in trained if p.grad is not None])
    if limit is not None:
        torch.nn.utils.clip_grads_with_norm_(trained, limit, norm)
    return norm


def report(t: Training, meter: StepMeter) -> None:
    """Count and tell the steps not told yet. Raises `WorkFailed` on a loss or gradient that is no number, if so asked.

    That is always before a checkpoint is written, so what broke is never saved.
    """
    readings = meter.read()
    if not readings:
        return
    for reading in readings:
        if is_finite(reading.record):
            t.trained.progress.add_step(reading.record.loss, reading.correct, reading.images)
    t.emit(StepsDone(tuple(reading.record for reading in readings)))
    for record, *_ in readings:
        if not is_finite(record):
            tell(t, record)


def replan(t: Training, cadence: Cadence) -> bool:
    """With a time budget: whether the end was moved after this step, to where the time is up."""
    p = t.trained.progress
    if t.budget is None:
        return False
    t.budget.stepped(t.resolution.at(t.horizon.share(p.step - 1)))
    if not t.budget.is_due():
        return False
    is_first = p.total_steps is None
    t.budget.replan()
    total, per_epoch = t.horizon.total_steps, t.loader.steps_per_epoch
    cadence.total_steps = total
    t.emit(Replanned(p.step, total, math.ceil(total / per_epoch), t.budget.used_s(), t.budget.seconds))
    if is_first and total < per_epoch:
        t.emit(
            Notice(
                f"The time budget holds {total / per_epoch:.0%} of an epoch: many pictures are not seen at all. "
                "Give more time, or a smaller model or --image-size.",
                "warning",
                p.step,
            )
        )
    return True


def finish_epoch(t: Training) -> bool | None:
    """Close the epoch, evaluate every split with the weights that are saved for use, tell; True when it is the best.

    Between the first epoch and the last, some are not evaluated where the time is short. None when a stop was
    requested meanwhile: the epoch is then evaluated after the resume.
    """
    p, device = t.trained.progress, t.accelerator.device
    images = max(1, p.images)
    metrics = [Metric("train", "epoch_loss", p.loss_sum / images), Metric("train", "top1", p.correct / images)]
    if not is_evaluated(t):
        p.close_epoch()
        t.emit(EpochDone(p.step, p.epoch, tuple(metrics), False))
        return False
    started = time.monotonic()
    module = t.trained.evaluated()
    if t.on_features:
        module = cast(torch.nn.Module, classifier(module))
    scores: dict[str, Scores] = {}
    for split, loader in t.evaluation.items():
        measured = validate(
            module,
            loader,
            device,
            lambda text: t.emit(Notice(text, "warning", p.step)),
            t.stop_requested,
            t.config.train.tta,
        )
        if measured is None:
            return None
        scores[split] = measured
        metrics += measured.metrics(split)
    metrics.append(Metric("", "memory_gb", memory_in_use_gb(device)))
    is_best = p.finish_epoch(scores.get("val"))
    if t.budget is not None:
        t.budget.evaluated_in(time.monotonic() - started)
    t.emit(EpochDone(p.step, p.epoch, tuple(metrics), is_best))
    return is_best


def is_evaluated(t: Training) -> bool:
    """Whether the epoch that ends now is evaluated."""
    p, every = t.trained.progress, t.trained.progress.evaluate_every or t.config.train.evaluate_every
    patience = t.config.train.early_stop_epochs
    may_be_last = t.horizon.is_reached or 0 < patience <= p.epochs_since_best + 1
    return may_be_last or (p.epoch + 1) % every == 0 or p.epoch == 0


def stops_early(t: Training) -> bool:
    """True when the validation has not become better for as many epochs as the option says.

    Never before an epoch of whole pictures, which alone the validation sees: smaller ones teach little of them.
    """
    p, patience = t.trained.progress, t.config.train.early_stop_epochs
    epoch_ago = t.horizon.share(max(0, p.step - t.loader.steps_per_epoch))
    is_whole = t.resolution.at(epoch_ago) == t.resolution.side
    return patience > 0 and is_whole and p.epochs_since_best >= patience


def tell_problems(t: Training, batch: Batch) -> None:
    """Pictures that turned out bad in this batch."""
    for problem in batch.problems:
        t.emit(Notice(problem, "warning", t.trained.progress.step))
