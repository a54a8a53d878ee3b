"""Random numbers without history: every draw about data comes from a generator keyed by what it is for.

A crop is keyed by (seed, epoch, sample, repeat), the order by (seed, epoch), mixing by (seed, epoch, step). So nothing
depends on how many workers load, on an interruption, or on what was drawn before. Philox is a counter-based generator
(Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC'11): any key starts an independent stream.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.random.bit_generator import ISeedSequence


class _Key(ISeedSequence):
    """A Philox key as it is. (Given as `key=`, numpy asks the system for randomness first, and uses none of it.)"""

    def __init__(self, digest: bytes):
        self.words = np.frombuffer(digest, dtype=np.uint64)

    def generate_state(self, n_words: int, dtype: Any = np.uint32) -> np.ndarray:
        assert (n_words, np.dtype(dtype)) == (len(self.words), np.uint64), "Philox takes two words of 64 bits"
        return self.words


def generator(purpose: str, *key: int | str) -> np.random.Generator:
    """The stream that belongs to `purpose` and `key`, always from its beginning."""
    digest = hashlib.blake2b("\0".join((purpose, *map(str, key))).encode(), digest_size=16).digest()
    keyed: Any = _Key(digest)
    return np.random.Generator(np.random.Philox(keyed))


def order(count: int, seed: int, epoch: int) -> np.ndarray:
    """A permutation of `count` samples for one epoch, (count,) int64."""
    return generator("order", seed, epoch).permutation(count)
