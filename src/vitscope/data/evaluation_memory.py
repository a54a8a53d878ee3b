"""Evaluation inputs kept in memory: they are the same after every epoch, and decoding may take longer than the model.

Only where they take a small part of the machine's memory; else each evaluation loads them again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from vitscope.data.loader import Batch

SHARE = 0.05  # of the memory that the inputs of one split may take


@dataclass
class KeptBatches:
    """The batches of `loader`, from the second time on as they were the first time that it was gone through."""

    loader: Iterable[Batch]
    _kept: tuple[Batch, ...] = field(default=(), init=False)

    def __iter__(self) -> Iterator[Batch]:
        if self._kept:
            yield from self._kept
            return
        batches: list[Batch] = []
        for batch in self.loader:
            batches.append(own(batch))
            yield batch
        self._kept = tuple(batches)


def own(batch: Batch) -> Batch:
    """The batch in this process's own memory: what a worker made lies in /dev/shm, which may be small."""
    if not batch.images.is_shared():
        return batch
    return batch._replace(images=batch.images.clone(), labels=batch.labels.clone())


def kept_bytes(images: int, side: int, memory_bytes: int) -> int:
    """What `images` inputs, (3, side, side) float32, take where they are kept; 0 where that is too much to be."""
    needed = 4 * 3 * side * side * images
    return needed if needed <= SHARE * memory_bytes else 0


def kept_where_small(loader: Iterable[Batch], images: int, side: int, memory_bytes: int) -> Iterable[Batch]:
    """The batches of `loader`, kept where its inputs take little of the memory."""
    return KeptBatches(loader) if kept_bytes(images, side, memory_bytes) else loader
