"""The C library's heap, which is to keep the memory that tensors free: the next step takes as much again.

glibc gives large blocks back to the kernel, which maps and clears each page anew when a step takes it: where steps are
short that was up to a third of the time. Other systems are left as they are, and so is who set the C library otherwise.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3  # of malloc.h
LARGEST_MMAP_THRESHOLD = 32 * 2**20  # bytes; mallopt(3) takes no more
GROWTH = 64 * 2**20  # bytes by which the heap grows at least


def keep_freed_memory() -> bool:
    """Have this process keep what it frees; False where the C library has no such setting, or was set otherwise."""
    is_set = "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", "") or any(n.startswith("MALLOC_") for n in os.environ)
    mallopt = None if is_set else _of_c("mallopt")
    if mallopt is None:
        return False
    taken = [mallopt(M_MMAP_THRESHOLD, LARGEST_MMAP_THRESHOLD), mallopt(M_TRIM_THRESHOLD, 2**31 - 1)]
    return all(taken) and mallopt(M_TOP_PAD, GROWTH) == 1


def give_back_freed_memory() -> None:
    """Hand what was freed and kept to the kernel, once: for when memory has run out."""
    if (trim := _of_c("malloc_trim")) is not None:
        trim(0)


def _of_c(name: str) -> Callable[..., int] | None:
    """A function of glibc, or None where that is not the C library."""
    if sys.platform != "linux":
        return None
    try:
        return getattr(ctypes.CDLL(None), name)
    except (OSError, AttributeError):  # musl has none
        return None
