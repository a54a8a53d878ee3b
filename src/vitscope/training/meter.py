"""What the steps measured, read from the device in bulk."""

from __future__ import annotations

import time
from typing import NamedTuple

import psutil
import torch

from vitscope.events import StepRecord
from vitscope.training.progress import Progress

BULK_STEPS = 10  # on an accelerator a read waits for the device, so several steps are read at once


class _Pending(NamedTuple):
    step: int
    epoch: int
    images: int
    lr: float
    scalars: torch.Tensor  # (3,): mean loss, gradient norm, correct


class Reading(NamedTuple):
    """A step's record, and the images of it and how many were classified right."""

    record: StepRecord
    images: int
    correct: int


class StepMeter:
    """Keeps device scalars until they are read."""

    def __init__(self, device: torch.device):
        self.bulk = 1 if device.type == "cpu" else BULK_STEPS
        self._pending: list[_Pending] = []
        self._last_at = time.perf_counter()

    def pause(self) -> None:
        """What comes now (evaluation, saving) is not training time."""
        self._last_at = time.perf_counter()

    def add(
        self, p: Progress, *, images: int, lr: float, loss: torch.Tensor, grad_norm: torch.Tensor, correct: torch.Tensor
    ) -> None:
        """Note the step that `p` has just finished."""
        scalars = torch.stack([loss.detach().float(), grad_norm.detach().float(), correct.float()])
        self._pending.append(_Pending(p.step, p.epoch, images, lr, scalars))

    @property
    def is_full(self) -> bool:
        return len(self._pending) >= self.bulk

    def read(self) -> tuple[Reading, ...]:
        """The steps since the last read, in order."""
        if not self._pending:
            return ()
        values = torch.stack([p.scalars for p in self._pending]).tolist()
        elapsed = max(1e-9, time.perf_counter() - self._last_at)
        images_per_s = sum(p.images for p in self._pending) / elapsed
        records = []
        for pending, (loss, grad_norm, correct) in zip(self._pending, values, strict=True):
            record = StepRecord(pending.step, pending.epoch, loss, pending.lr, grad_norm, images_per_s)
            records.append(Reading(record, pending.images, int(correct)))
        self._pending.clear()
        self._last_at = time.perf_counter()
        return tuple(records)


def memory_in_use_gb(device: torch.device) -> float:
    """Largest memory allocated on the device so far, on the CPU what this process occupies now; in 1e9 bytes."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    return psutil.Process().memory_info().rss / 1e9
