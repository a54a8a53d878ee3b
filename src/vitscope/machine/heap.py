"""The C library's heap, which is to keep the memory that tensors free: the next step takes as much again.

glibc gives large blocks back to the kernel, which maps and clears each page anew when a step takes it: where steps are
short that was up to a third of the time. Those above 32 MiB it maps whatever the threshold, so nothing is to be mapped.
Other systems are left as they are, and so is who set the C library otherwise.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4  # of malloc.h
GROWTH = 64 * 2**20  # bytes by which the heap grows at least


def keep_freed_memory() -> bool:
    """Have this process keep what it frees; False where the C library has no such setting, or was set otherwise."""
    is_set = "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", "") or any(n.startswith("MALLOC_") for n in os.environ)
    mallopt = None if is_set else _of_c("mallopt")
    if mallopt is None:
        return False
    taken = [mallopt(M_MMAP_MAX, 0), mallopt(M_TRIM_THRESHOLD, 2**31 - 1), mallopt(M_TOP_PAD, GROWTH)]
    return all(taken)


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
