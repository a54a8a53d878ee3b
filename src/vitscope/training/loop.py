"""The training loop. It reads like the algorithm; its parts live beside it, and who watches lives elsewhere.

    for each epoch, for each batch:  augment → mix → forward → backward (in parts) → clip → optimizer step → average
    after each epoch:                evaluate → best? → checkpoint → stop early?

Everything random about data is keyed by (seed, epoch, step, sample); the rest is in the generators that a checkpoint
holds. So a run that stops after any step goes on bit for bit as if it had never stopped.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import torch
from accelerate import Accelerator
from safetensors import SafetensorError
from torch.utils.data import DataLoader

from vitscope.config import RunConfig
from vitscope.data.batches import BatchAugment
from vitscope.data.loader import Batch, TrainingLoader
from vitscope.errors import WorkFailed
from vitscope.events import (
    CheckpointSaved,
    CheckpointStarting,
    EpochDone,
    Metric,
    Notice,
    Observer,
    RunStarted,
    StepsDone,
)
from vitscope.training.cadence import Cadence
from vitscope.training.checkpoint import Checkpoints, Trained
from vitscope.training.meter import StepMeter, memory_in_use_gb
from vitscope.training.mixing import Mixing, soft_cross_entropy_sum
from vitscope.training.optim import training_mode
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
    loader: TrainingLoader
    evaluation: dict[str, DataLoader[Batch]]  # by split: val chooses the best, test is only reported
    augment: BatchAugment
    mixing: Mixing
    checkpoints: Checkpoints
    emit: Observer
    stop_requested: Callable[[], bool] = field(default=lambda: False)

    @property
    def total_steps(self) -> int:
        return self.config.train.epochs * self.loader.steps_per_epoch

    def close(self) -> None:
        """End the worker processes."""
        self.loader.close()


def fit(t: Training) -> Outcome:
    """Train from `t.trained.progress` to the end, or to the step in which a stop is requested."""
    p, epochs = t.trained.progress, t.config.train.epochs
    meter = StepMeter(t.accelerator.device)
    cadence = Cadence(t.config.checkpoint, t.total_steps)
    t.emit(RunStarted(p.step, t.total_steps, epochs, t.loader.steps_per_epoch))

    while p.epoch < epochs and not stops_early(t):
        for batch in t.loader.epoch(p.epoch, start=p.step_in_epoch):
            tell_problems(t, batch)
            measured = train_step(t, batch)
            meter.add(p, images=len(batch.labels), **measured._asdict())
            if meter.is_full:
                report(t, meter)
            if t.stop_requested():
                report(t, meter)
                save(t, cadence)
                return "interrupted"
            if cadence.due(p.step) and p.step_in_epoch < t.loader.steps_per_epoch:
                report(t, meter)
                save(t, cadence)
                meter.pause()

        report(t, meter)
        is_best = finish_epoch(t)
        if is_best is None:
            save(t, cadence)
            return "interrupted"
        if (
            (is_best and "val" in t.evaluation)
            or p.epoch == epochs
            or stops_early(t)
            or cadence.due_after_epoch(p.epoch)
        ):
            save(t, cadence)
        meter.pause()
    return "finished"


class Measured(NamedTuple):
    """One step's numbers, still on the device; lr as a plain number."""

    lr: float
    loss: torch.Tensor
    grad_norm: torch.Tensor
    correct: torch.Tensor


def train_step(t: Training, batch: Batch) -> Measured:
    """One optimizer step on the effective batch, in `accumulation` parts whose summed gradient is the whole's."""
    c, p, module, optimizer = t.config, t.trained.progress, t.trained.bundle.module, t.trained.optimizer
    device, count = t.accelerator.device, len(batch.labels)
    lr = c.optim.lr * lr_factor(p.step, t.total_steps, c.schedule)
    for group in optimizer.param_groups:
        group["lr"] = lr * group.get("lr_scale", 1.0)  # runs begun before there were rates by layer have none

    training_mode(module)
    views = t.augment(batch.images.to(device, non_blocking=True), batch.samples, batch.repeats, p.epoch)
    images = t.trained.bundle.preprocess.normalize(views)
    images, targets = t.mixing(images, batch.labels.to(device), p.epoch, p.step_in_epoch)
    loss = torch.zeros((), device=device)
    correct = torch.zeros((), device=device)
    size = math.ceil(count / c.train.accumulation)
    for part, wanted in zip(images.split(size), targets.split(size), strict=True):
        with t.accelerator.autocast():
            logits = t.forward(part)
        part_loss = soft_cross_entropy_sum(logits.to(wanted.dtype), wanted) / count
        t.accelerator.backward(part_loss)
        loss += part_loss.detach()
        correct += (logits.argmax(dim=1) == wanted.argmax(dim=1)).sum()

    limit = c.optim.clip_grad if c.optim.clip_grad is not None else math.inf
    grad_norm = torch.nn.utils.clip_grad_norm_(module.parameters(), limit)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    if t.trained.average is not None:
        t.trained.average.update(module)
    p.step += 1
    p.step_in_epoch += 1
    return Measured(lr, loss, grad_norm, correct)


def report(t: Training, meter: StepMeter) -> None:
    """Count and tell the steps not told yet. Raises `WorkFailed` on a loss or gradient that is no number.

    That is always before a checkpoint is written, so what broke is never saved.
    """
    readings = meter.read()
    if not readings:
        return
    for reading in readings:
        t.trained.progress.add_step(reading.record.loss, reading.correct, reading.images)
    t.emit(StepsDone(tuple(reading.record for reading in readings)))
    for record, *_ in readings:
        if not (math.isfinite(record.loss) and math.isfinite(record.grad_norm)):
            last = t.checkpoints.last
            raise WorkFailed(
                f"The loss became {record.loss:g} and its gradient's norm {record.grad_norm:g} in step {record.step} "
                f"(epoch {record.epoch + 1}, learning rate {record.lr:.2e}). Try a lower --lr, a longer warm-up "
                f"(--set schedule.warmup_ratio=0.2) or --precision fp32. "
                f"The last good checkpoint is {last.name if last else 'none'}."
            )


def finish_epoch(t: Training) -> bool | None:
    """Evaluate every split with the weights that are saved for use, close the epoch, tell; True when it is the best.

    None when a stop was requested meanwhile: the epoch is then evaluated after the resume.
    """
    p, device = t.trained.progress, t.accelerator.device
    module = t.trained.average.module if t.trained.average is not None else t.trained.bundle.module
    images = max(1, p.images)
    metrics = [Metric("train", "epoch_loss", p.loss_sum / images), Metric("train", "top1", p.correct / images)]
    scores: dict[str, Scores] = {}
    for split, loader in t.evaluation.items():
        measured = validate(
            module, loader, device, lambda text: t.emit(Notice(text, "warning", p.step)), t.stop_requested
        )
        if measured is None:
            return None
        scores[split] = measured
        metrics += measured.metrics(split)
    metrics.append(Metric("", "memory_gb", memory_in_use_gb(device)))
    is_best = p.finish_epoch(scores.get("val"))
    t.emit(EpochDone(p.step, p.epoch, tuple(metrics), is_best))
    return is_best


def stops_early(t: Training) -> bool:
    """True when the validation has not become better for as many epochs as the option says."""
    patience = t.config.train.early_stop_epochs
    return patience > 0 and t.trained.progress.epochs_since_best >= patience


def save(t: Training, cadence: Cadence) -> None:
    """Write a checkpoint; observers are told before, so that what they know is on disk first."""
    p = t.trained.progress
    started = time.monotonic()
    t.emit(CheckpointStarting(p.step))
    info = {
        "name": t.config.name,
        "step": p.step,
        "epoch": p.epoch,
        "best_top1": p.best_top1 if math.isfinite(p.best_top1) else None,
    }
    try:
        path = t.checkpoints.save(t.trained, info)
    except (OSError, RuntimeError, SafetensorError) as error:  # torch says RuntimeError where the disk is full
        last = t.checkpoints.last
        raise WorkFailed(
            f"The checkpoint of step {p.step} could not be written to {t.checkpoints.folder} "
            f"({str(error).splitlines()[0]}). Is the disk full? Make room and resume: the last good checkpoint is "
            f"{last.name if last else 'none'}."
        ) from None
    seconds = time.monotonic() - started
    cadence.saved(seconds)
    t.emit(CheckpointSaved(p.step, path, p.best_step == p.step, seconds))


def tell_problems(t: Training, batch: Batch) -> None:
    """Pictures that turned out bad in this batch."""
    for problem in batch.problems:
        t.emit(Notice(problem, "warning", t.trained.progress.step))
