"""The C library's heap, which is to keep the memory that tensors free: the next step takes as much again.

glibc gives large blocks back to the kernel, which maps and clears each page anew when a step takes it: where steps are
short that was up to a third of the time. Other systems are left as they are.
"""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3  # of malloc.h
LARGEST_MMAP_THRESHOLD = 32 * 2**20  # bytes; mallopt(3) takes no more
GROWTH = 64 * 2**20  # bytes by which the heap grows at least


def keep_freed_memory() -> bool:
    """Have this process keep what it frees, for good; False where the C library has no such setting."""
    if sys.platform != "linux":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # musl has none
        return False
    taken = [mallopt(M_MMAP_THRESHOLD, LARGEST_MMAP_THRESHOLD), mallopt(M_TRIM_THRESHOLD, 2**31 - 1)]
    return all(taken) and mallopt(M_TOP_PAD, GROWTH) == 1
