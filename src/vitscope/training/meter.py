"""What the steps measured, read from the device in bulk."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import NamedTuple

import psutil
import torch

from vitscope.data.loader import Batch
from vitscope.events import StepRecord
from vitscope.training.progress import Progress

BULK_STEPS = 10  # on an accelerator a read waits for the device, so several steps are read at once


class _Work(NamedTuple):
    """When a CUDA device began and ended a step, in its own time: it works behind the process that asks for it."""

    began: torch.cuda.Event
    ended: torch.cuda.Event


class _Pending(NamedTuple):
    step: int
    epoch: int
    images: int
    lr: float
    scalars: torch.Tensor  # (3,): mean loss, gradient norm, correct
    work: _Work | None


class Reading(NamedTuple):
    """A step's record, and the images of it and how many were classified right."""

    record: StepRecord
    images: int
    correct: int


class StepMeter:
    """Keeps device scalars until they are read, and the time that training waited for data.

    On a CUDA device it waited only while the device had nothing to do; on Apple's GPU, which is not asked, the share is
    an upper bound.
    """

    def __init__(self, device: torch.device):
        self.bulk = 1 if device.type == "cpu" else BULK_STEPS
        self._is_cuda = device.type == "cuda"
        self._pending: list[_Pending] = []
        self._began: torch.cuda.Event | None = None
        self._waited_s = 0.0
        self._last_at = time.perf_counter()

    def batches(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """The same batches; the time that each lets training wait is noted."""
        while True:
            asked_at = time.perf_counter()
            batch = next(batches, None)
            self._waited_s += time.perf_counter() - asked_at
            if batch is None:
                return
            if self._is_cuda:
                self._began = self._mark()
            yield batch

    def pause(self) -> None:
        """What comes now (evaluation, saving) is not training time."""
        self._last_at, self._waited_s = time.perf_counter(), 0.0

    def add(
        self, p: Progress, *, images: int, lr: float, loss: torch.Tensor, grad_norm: torch.Tensor, correct: torch.Tensor
    ) -> None:
        """Note the step that `p` has just finished."""
        scalars = torch.stack([loss.detach().float(), grad_norm.detach().float(), correct.float()])
        work = _Work(self._began, self._mark()) if self._began is not None else None
        self._pending.append(_Pending(p.step, p.epoch, images, lr, scalars, work))

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
        idle_s = elapsed - sum(p.work.began.elapsed_time(p.work.ended) / 1000 for p in self._pending if p.work)
        data_wait = max(0.0, min(self._waited_s, idle_s)) / elapsed
        records = []
        for pending, (loss, grad_norm, correct) in zip(self._pending, values, strict=True):
            record = StepRecord(pending.step, pending.epoch, loss, pending.lr, grad_norm, images_per_s, data_wait)
            records.append(Reading(record, pending.images, int(correct)))
        self._pending.clear()
        self._last_at, self._waited_s = time.perf_counter(), 0.0
        return tuple(records)

    def _mark(self) -> torch.cuda.Event:
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event


def memory_in_use_gb(device: torch.device) -> float:
    """Largest memory allocated on the device so far, on the CPU what this process occupies now; in 1e9 bytes."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    return psutil.Process().memory_info().rss / 1e9
