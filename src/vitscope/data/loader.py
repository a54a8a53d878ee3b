"""Batches of training views and of evaluation inputs.

Which samples form a batch, and how each is augmented, follows from (seed, epoch, position) alone: worker processes
carry no state, so a run may stop at any step and go on with another number of workers.
"""

from __future__ import annotations

import math
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import numpy as np
import psutil
import torch
from torch.utils.data import DataLoader, Dataset

from vitscope.data import draw
from vitscope.data.augment import Augment
from vitscope.data.manifest import Manifest
from vitscope.data.pictures import Pictures
from vitscope.data.sampling import Sampling, draws
from vitscope.data.workers import SHORT_OF_SHARED_MEMORY, is_shared
from vitscope.errors import BadImage, WorkFailed
from vitscope.preprocess import Preprocess

REPLACEMENTS = 20  # a data set in which so many draws in a row are bad is not worth going on with
WATCH_S = 2.0  # how often a worker looks whether the main process is still there


class Key(NamedTuple):
    """A request to a worker: one sample of the split, in one epoch; `repeat` tells its views apart."""

    row: int
    epoch: int
    repeat: int = 0


class Item(NamedTuple):
    """What a worker makes of a key. `image` is None where the picture is bad and was left out."""

    image: torch.Tensor | None
    label: int
    problems: tuple[str, ...]
    sample_id: str
    repeat: int = 0


class Batch(NamedTuple):
    """images (B, 3, S, S): uint8 views in training, float32 inputs in evaluation; labels (B,) int64.

    `samples` and `repeats` (B) say which views they are: what is drawn for a view is keyed by them. `is_piped`: it came
    from a loader process not by shared memory, which had no room.
    """

    images: torch.Tensor
    labels: torch.Tensor
    problems: tuple[str, ...]
    samples: tuple[str, ...]
    repeats: tuple[int, ...]
    is_piped: bool = False

    def __reduce__(self) -> tuple[Any, ...]:
        """How it is handed to another process: its tensors by shared memory, else with their bytes."""
        if is_shared(self.images, self.labels):
            return Batch, tuple(self)
        return _unpiped, (self.images.numpy(), self.labels.numpy(), *self[2:5])


def _unpiped(images: np.ndarray, labels: np.ndarray, *others: Any) -> Batch:
    return Batch(torch.from_numpy(images), torch.from_numpy(labels), *others, is_piped=True)


@dataclass(frozen=True)
class TrainingViews(Dataset[Item]):
    """Augmented views; a picture that turns out bad is replaced by another sample, chosen by the seed."""

    samples: Manifest
    augment: Augment
    seed: int
    pictures: Pictures

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, key: Key) -> Item:
        row = key.row
        first = sample = self.samples.sample(row)
        problems: list[str] = []
        while True:
            try:
                picture = self.pictures(row)
            except BadImage as reason:
                problems.append(f"{sample.path}: {reason}. Another picture was used in its place.")
                if len(problems) == REPLACEMENTS:
                    # `TrainingLoader` raises, in the main process.
                    return Item(None, sample.label, tuple(problems), sample.sample_id)
                place = draw.generator("replace", self.seed, key.epoch, first.sample_id, len(problems))
                row = int(place.integers(len(self.samples)))
                sample = self.samples.sample(row)
                continue
            if (complaint := self.pictures.complaint()) is not None:
                problems.append(complaint)
            place = draw.generator("augment", self.seed, key.epoch, sample.sample_id, key.repeat)
            return Item(self.augment(picture, place), sample.label, tuple(problems), sample.sample_id, key.repeat)


@dataclass(frozen=True)
class EvaluationInputs(Dataset[Item]):
    """Preprocessed pictures exactly as prediction and exports see them; a bad one is left out and told."""

    samples: Manifest
    preprocess: Preprocess

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Item:
        sample = self.samples.sample(index)
        try:
            return Item(self.preprocess(sample.path), sample.label, (), sample.sample_id)
        except BadImage as reason:
            told = f"{sample.path}: {reason}. Left out of the evaluation."
            return Item(None, sample.label, (told,), sample.sample_id)


def collate(items: list[Item]) -> Batch:
    """Stack what there is; every problem is handed on."""
    kept = [item for item in items if item.image is not None]
    return Batch(
        images=torch.stack([cast(torch.Tensor, item.image) for item in kept]) if kept else torch.empty(0, 3, 0, 0),
        labels=torch.tensor([item.label for item in kept], dtype=torch.int64),
        problems=tuple(problem for item in items for problem in item.problems),
        samples=tuple(item.sample_id for item in kept),
        repeats=tuple(item.repeat for item in kept),
    )


class TrainingLoader:
    """Full batches of an epoch from any position on; the last partial batch of an epoch is left out.

    (Every epoch draws another order, so no sample is left out for good; one batch shape is what compiled models want.)
    `is_pinned`: in memory that a GPU copies from while it computes.
    """

    def __init__(
        self,
        views: TrainingViews,
        batch_size: int,
        workers: int,
        repeats: int = 1,
        sampling: Sampling = "uniform",
        *,
        is_pinned: bool = False,
    ):
        self.batch_size = batch_size
        self.steps_per_epoch = len(views) // batch_size
        labels = views.samples.table["label"].to_numpy()
        self._plan = _EpochPlan(labels, batch_size, views.seed, repeats, sampling)
        self._is_told = False  # that batches come through pipes
        self._loader: Any = DataLoader(  # gives batches; its type speaks of items
            views,
            batch_sampler=self._plan,
            num_workers=workers,
            collate_fn=collate,
            persistent_workers=workers > 0,
            pin_memory=is_pinned,
            worker_init_fn=WorkerStart(os.getpid()),
            generator=torch.Generator(),  # else every epoch would draw from the generator of dropout and drop path
        )

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches `start`, `start + 1`, … of one epoch (counted from 0). Raises `WorkFailed` when all is bad."""
        self._plan.epoch, self._plan.start = epoch, start
        for batch in self._loader:
            if len(batch.labels) < self.batch_size:
                raise WorkFailed(
                    f"{batch.problems[0]} So were {REPLACEMENTS - 1} more, chosen in its place. "
                    "Run 'vitscope data check' for the list."
                )
            if batch.is_piped and not self._is_told:
                self._is_told = True
                batch = batch._replace(problems=(*batch.problems, SHORT_OF_SHARED_MEMORY))
            yield batch

    def close(self) -> None:
        """End the worker processes, which ignore the signal that the interpreter would end them with."""
        iterator = getattr(self._loader, "_iterator", None)
        if iterator is not None and hasattr(iterator, "_shutdown_workers"):
            iterator._shutdown_workers()
            self._loader._iterator = None


class _EpochPlan:
    """The batch sampler: lists of keys of the current epoch.

    With `repeats` a batch holds so many views of each of its pictures, and an epoch, as long as ever, so many times
    fewer pictures: repeated augmentation (arXiv:1901.09335).
    """

    def __init__(
        self, labels: np.ndarray, batch_size: int, seed: int, repeats: int = 1, sampling: Sampling = "uniform"
    ):
        self.labels = labels
        self.sampling: Sampling = sampling
        self.batch_size, self.seed, self.repeats = batch_size, seed, repeats
        self.steps = len(labels) // batch_size
        self.epoch = self.start = 0

    def __len__(self) -> int:
        return self.steps - self.start

    def __iter__(self) -> Iterator[list[Key]]:
        pictures = self.batch_size // self.repeats
        rows, earlier = draws(self.sampling, self.labels, self.steps * pictures, self.seed, self.epoch)
        for step in range(self.start, self.steps):
            chosen = range(step * pictures, (step + 1) * pictures)
            views = ((int(rows[i]), int(earlier[i]) * self.repeats) for i in chosen)
            yield [Key(row, self.epoch, seen + repeat) for row, seen in views for repeat in range(self.repeats)]


def still_loader(views: TrainingViews, batch_size: int, workers: int) -> DataLoader[Batch]:
    """The training views of all samples in their order, for views that are the same in every epoch."""
    loader: Any = DataLoader(
        views,
        batch_size=batch_size,
        sampler=cast(Any, [Key(row, 0) for row in range(len(views))]),
        num_workers=workers,
        collate_fn=collate,
        worker_init_fn=WorkerStart(os.getpid()),
        generator=torch.Generator(),
    )
    return loader


def evaluation_loader(samples: Manifest, preprocess: Preprocess, batch_size: int, workers: int) -> DataLoader[Batch]:
    """The samples in their order, preprocessed; the last batch may be smaller."""
    loader: Any = DataLoader(
        EvaluationInputs(samples, preprocess),
        batch_size=batch_size,
        num_workers=workers,
        collate_fn=collate,
        worker_init_fn=WorkerStart(os.getpid()),
        generator=torch.Generator(),
    )
    return loader


@dataclass(frozen=True)
class WorkerStart:
    """What a worker process does first.

    Ctrl-C and SIGTERM reach every process of a job: the main process decides, workers finish their batch. And they end
    when the main process is gone, however it ended and however they were started (torch watches the parent, which is
    another process where workers come from a fork server).
    """

    main_pid: int

    def __call__(self, worker: int) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if hasattr(signal, "SIGHUP"):
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
        threading.Thread(target=self._watch, daemon=True, name="watch-main-process").start()

    def _watch(self) -> None:
        while True:
            time.sleep(WATCH_S)
            if not psutil.pid_exists(self.main_pid):
                os._exit(1)


def choose_workers(samples: Manifest, cores: int) -> int:
    """Worker processes by size of the files: small pictures decode faster than a process hands them over."""
    sizes = samples.table["size_bytes"].to_numpy()
    mean_bytes = float(sizes.mean()) if len(sizes) else 0.0
    return 0 if mean_bytes < 8_192 else min(4, max(1, cores))


WORTH = 0.05  # share of a step below which processes beside training are not worth the handing over


def workers_for(view_s: float, image_s: float, cores: int, *, on_cpu: bool) -> tuple[int, str]:
    """Worker processes by measurement, and why: a view takes `view_s` to make, an image `image_s` to train on.

    Without any, training stands still while views are made. On a CPU they compete with training for the cores, so that
    only what the other cores would do meanwhile is won: half on two cores, nothing on one. Enough is as many as keep up
    with training, at most the cores; on a CPU one is left to training.
    """
    share = view_s / image_s
    lost = share * (1 - 1 / cores) if on_cpu else share
    told = f"making a batch takes {share:.0%} of a step"
    if lost < WORTH:
        return 0, f"workers 0: {told}; a process beside training would save {lost:.0%}"
    number = min(math.ceil(share), max(1, cores - 1) if on_cpu else cores)
    return number, f"workers {number}: {told}"
