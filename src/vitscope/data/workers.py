"""What goes wrong with loader processes: one is killed, or there is no shared memory for what it hands over."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.utils.data import get_worker_info

from vitscope.errors import WorkFailed

SHORT_OF_SHARED_MEMORY = (
    "Shared memory (/dev/shm) has no room for a batch: the loader processes send them through pipes, which takes "
    "longer. Give it more (docker run --shm-size=2g), or train with --workers 0."
)


def is_shared(*tensors: torch.Tensor) -> bool:
    """Move what a loader process made into shared memory; False where that has no room.

    Torch would do it in a thread, where failing loses the batch and the main process waits for it for ever.
    """
    if get_worker_info() is None:
        return True  # not in a loader process: nothing is handed over
    try:
        for tensor in tensors:
            tensor.share_memory_()
    except (OSError, RuntimeError):  # torch says RuntimeError, "unable to allocate shared memory"
        return False
    return True


def is_death(error: BaseException) -> bool:
    """Whether an error, raised wherever the main thread was, is torch's word that a loader process is gone."""
    return isinstance(error, RuntimeError) and str(error).startswith("DataLoader worker (pid")


@contextmanager
def deaths_told(command: str) -> Iterator[None]:
    """Raises `WorkFailed` where a loader process was killed; `command` is how the run goes on."""
    try:
        yield
    except RuntimeError as error:
        if not is_death(error):
            raise
        raise WorkFailed(
            f"A loader process ended ({str(error).splitlines()[0].strip().rstrip('.')}). Mostly the system ends one "
            "where memory runs short: fewer --workers take less. What was saved is kept. "
            f"Go on with: {command}"
        ) from None
