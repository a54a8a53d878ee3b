"""A loss or gradient that is no number: the run stops or, by option, the step is left out."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from vitscope.errors import WorkFailed
from vitscope.events import Notice, StepRecord

if TYPE_CHECKING:
    from vitscope.training.loop import Training

IN_A_ROW = 20  # steps left out one after the other: no batch is to blame then


def is_finite(record: StepRecord) -> bool:
    return math.isfinite(record.loss) and math.isfinite(record.grad_norm)


def keeper(t: Training) -> Callable[[torch.Tensor, torch.Tensor], bool]:
    """To be called before a step: says after it, of its loss and gradient norm, whether the weights are to follow.

    Where steps may be left out, what the forward pass counted in the module (batch norm) is put back then.
    """
    if t.config.train.if_not_finite == "stop":
        return lambda loss, grad_norm: True  # it is told, before anything is saved, without waiting for the device here
    before = [buffer.clone() for buffer in t.trained.module.buffers()]

    def keeps(loss: torch.Tensor, grad_norm: torch.Tensor) -> bool:
        if bool(torch.isfinite(loss) & torch.isfinite(grad_norm)):
            return True
        with torch.no_grad():
            for buffer, value in zip(t.trained.module.buffers(), before, strict=True):
                buffer.copy_(value)
        return False

    return keeps


def tell(t: Training, record: StepRecord) -> None:
    """Of a step that is not finite. Raises `WorkFailed` where the run stops."""
    p, last = t.trained.progress, t.checkpoints.last
    p.left_out += 1
    happened = (
        f"The loss became {record.loss:g} and its gradient's norm {record.grad_norm:g} in step {record.step} "
        f"(epoch {record.epoch + 1}, learning rate {record.lr:.2e})"
    )
    if t.config.train.if_not_finite == "skip" and p.left_out < IN_A_ROW:
        t.emit(Notice(f"{happened}. The step is left out: its batch changed no weight.", "warning", record.step))
        return
    also = f", and so in the {IN_A_ROW - 1} steps before" if t.config.train.if_not_finite == "skip" else ""
    raise WorkFailed(
        f"{happened}{also}. Try a lower --lr, a longer warm-up (--set schedule.warmup_ratio=0.2) or --precision fp32. "
        f"The last good checkpoint is {last.name if last else 'none'}."
    )
