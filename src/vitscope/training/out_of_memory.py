"""Out of memory in a step: smaller parts of the same batch, and the step is what it would have been with them."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from vitscope.errors import WorkFailed
from vitscope.events import Notice
from vitscope.machine import give_back_freed_memory

if TYPE_CHECKING:
    from vitscope.training.loop import Training

T = TypeVar("T")

# What torch's allocator on the CPU, and libraries beneath it, say in a RuntimeError. (oneDNN names no reason: met here
# where its scratch memory could not be had; anything else that it cannot do fails with one image too, and is told.)
PHRASES = ("can't allocate memory", "not enough memory", "out of memory", "bad_alloc", "could not create a primitive")
PHRASES += ("could not execute a primitive",)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether that is what an error of torch means."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(phrase in str(error) for phrase in PHRASES)


def in_parts_that_fit(t: Training, count: int, compute: Callable[[int], T]) -> T:
    """`compute(images a part)` of a batch of `count`; where memory runs out, anew with half of them, told and kept.

    Before each new attempt gradients are dropped, and buffers and random generators put back. Raises `WorkFailed` when
    a single image does not fit.
    """
    p, module = t.trained.progress, t.trained.module
    generators = _generators(t.accelerator.device)
    buffers = [buffer.clone() for buffer in module.buffers()]
    while True:
        part = min(count, p.micro_batch or math.ceil(count / t.config.train.accumulation))
        try:
            return compute(part)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            reason = str(error).partition("\n")[0]
        # Here the error is gone, and with it what its traceback held.
        t.trained.optimizer.zero_grad(set_to_none=True)
        gc.collect()
        give_back_freed_memory()
        if t.accelerator.device.type == "cuda":
            torch.cuda.empty_cache()
        if part == 1:
            raise WorkFailed(
                f"Out of memory with a single image at a time ({reason}). Take a smaller --model or --image-size, or "
                "add --checkpoint-activations. 'vitscope train … --dry-run' says what a run needs."
            )
        p.micro_batch = math.ceil(part / 2)
        t.emit(
            Notice(
                f"Out of memory with {part} images at a time: from step {p.step + 1} on it is {p.micro_batch}, "
                f"{math.ceil(count / p.micro_batch)} parts a batch. The batch stays {count}, the result the same "
                f"but for rounding{' and for batch norm, which sees a part at a time' if buffers else ''}.",
                "warning",
                p.step,
            )
        )
        _put_back(generators, t.accelerator.device)
        with torch.no_grad():
            for buffer, before in zip(module.buffers(), buffers, strict=True):
                buffer.copy_(before)


def _generators(device: torch.device) -> list[Any]:
    return [torch.get_rng_state(), torch.cuda.get_rng_state(device) if device.type == "cuda" else None]


def _put_back(states: list[Any], device: torch.device) -> None:
    torch.set_rng_state(states[0])
    if states[1] is not None:
        torch.cuda.set_rng_state(states[1], device)
