"""Random numbers without history: every draw about data comes from a generator keyed by what it is for.

A crop is keyed by (seed, epoch, sample, repeat), the order by (seed, epoch), mixing by (seed, epoch, step). So nothing
depends on how many workers load, on an interruption, or on what was drawn before. Philox is a counter-based generator
(Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC'11): any key starts an independent stream.
"""

from __future__ import annotations

import hashlib

import numpy as np


def generator(purpose: str, *key: int | str) -> np.random.Generator:
    """The stream that belongs to `purpose` and `key`, always from its beginning."""
    digest = hashlib.blake2b("\0".join((purpose, *map(str, key))).encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=np.frombuffer(digest, dtype=np.uint64)))


def order(count: int, seed: int, epoch: int) -> np.ndarray:
    """A permutation of `count` samples for one epoch, (count,) int64."""
    return generator("order", seed, epoch).permutation(count)
