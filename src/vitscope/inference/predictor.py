"""`Predictor`: decoded pictures in, probabilities out, whatever runs the model.

Evaluation, prediction and the proof of an export all go through this one way. A runtime is one file beside this one.

Shapes: N pictures, H × W pixels (of any size, each its own), C classes.
"""

from __future__ import annotations

import os
import warnings
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np

from vitscope.errors import BadImage, WorkFailed
from vitscope.preprocess import ImageLike, decode

T = TypeVar("T")

MAX_BATCH_BYTES = 64 * 2**20  # of decoded pixels: a batch of large photographs must not fill the memory


class Predictor(Protocol):
    """What every runtime offers."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the C classes, in the order of the probabilities."""
        ...

    def __call__(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
        """N pictures as `preprocess.decode` gives them, (H, W, 3) uint8 → (N, C) float32 probabilities."""
        ...


def answers(predictor: Predictor, images: Iterable[ImageLike], batch_size: int = 64) -> Iterator[np.ndarray | BadImage]:
    """One answer an image, in order: its (C,) float32 probabilities, or why it is no picture.

    Files are decoded in threads while the model computes. Raises `WorkFailed` when the model answers NaN.
    """
    for batch in batches(decoded(images), batch_size, lambda item: 0 if isinstance(item, BadImage) else item.nbytes):
        pictures = [item for item in batch if not isinstance(item, BadImage)]
        found = predictor(pictures) if pictures else np.empty((0, len(predictor.classes)), np.float32)
        if not np.isfinite(found).all():
            raise WorkFailed(
                "The model answers NaN, not probabilities: its training diverged. Take another checkpoint."
            )
        rows = iter(found)
        for item in batch:
            yield item if isinstance(item, BadImage) else next(rows)


def stacks(pictures: Sequence[np.ndarray]) -> Iterator[tuple[list[int], np.ndarray]]:
    """Pictures of equal size together: their positions and one (n, H, W, 3) uint8 array."""
    by_size: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for position, picture in enumerate(pictures):
        by_size[picture.shape].append(position)
    for positions in by_size.values():
        yield positions, np.stack([pictures[position] for position in positions])


def decoded(images: Iterable[ImageLike], threads: int | None = None) -> Iterator[np.ndarray | BadImage]:
    """Each image as (H, W, 3) uint8 or the reason why not, in order; files are read a little ahead in threads."""
    threads = threads or min(8, os.cpu_count() or 1)
    # `decode` changes the warning filters, which threads share: what was there is put back.
    with warnings.catch_warnings(), ThreadPoolExecutor(threads, thread_name_prefix="decode") as pool:
        ahead: deque[Future[np.ndarray | BadImage] | np.ndarray | BadImage] = deque()
        for image in images:
            # A picture that is already in memory may be listed twice, and Pillow loads lazily: not in two threads.
            ahead.append(pool.submit(_decode, image) if isinstance(image, (str, Path)) else _decode(image))
            if len(ahead) > 2 * threads:
                yield _result(ahead.popleft())
        while ahead:
            yield _result(ahead.popleft())


def _decode(image: ImageLike) -> np.ndarray | BadImage:
    try:
        return decode(image)
    except BadImage as reason:
        return reason


def _result(item: Future[np.ndarray | BadImage] | np.ndarray | BadImage) -> np.ndarray | BadImage:
    return item.result() if isinstance(item, Future) else item


def batches(items: Iterable[T], size: int, size_bytes: Callable[[T], int]) -> Iterator[list[T]]:
    """Lists of at most `size` items that hold at most `MAX_BATCH_BYTES` together (one alone may hold more)."""
    batch: list[T] = []
    held = 0
    for item in items:
        if batch and (len(batch) == size or held + size_bytes(item) > MAX_BATCH_BYTES):
            yield batch
            batch, held = [], 0
        batch.append(item)
        held += size_bytes(item)
    if batch:
        yield batch
