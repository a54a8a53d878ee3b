"""Which pictures an epoch sees, and in which order; drawn from (seed, epoch) alone."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

from vitscope.data import draw

Sampling = Literal["uniform", "balanced"]


class Draws(NamedTuple):
    """`rows` (N,) int64 in their order, and how often each has come before in the same epoch, `earlier` (N,)."""

    rows: np.ndarray
    earlier: np.ndarray


def draws(sampling: Sampling, labels: np.ndarray, count: int, seed: int, epoch: int) -> Draws:
    """The first `count` pictures of an epoch of those with these `labels` (N,)."""
    if sampling == "balanced":
        return balanced(labels, count, seed, epoch)
    rows, earlier = uniform(len(labels), seed, epoch)
    return Draws(rows[:count], earlier[:count])


def uniform(count: int, seed: int, epoch: int) -> Draws:
    """Each of `count` pictures once."""
    return Draws(draw.order(count, seed, epoch), np.zeros(count, np.int64))


def balanced(labels: np.ndarray, count: int, seed: int, epoch: int) -> Draws:
    """`count` pictures, each class that has any equally often (within one).

    Of a class with more pictures than its share another part comes in each epoch; those of a rare one come repeatedly,
    none of them a second time before all have come.
    """
    place = draw.generator("balance", seed, epoch)
    classes = place.permutation(np.unique(labels))  # the first ones get the odd draws, other ones in each epoch
    rows, earlier = [], []
    for i, label in enumerate(classes):
        of_class = np.flatnonzero(labels == label)
        share = count // len(classes) + (i < count % len(classes))
        rounds = -(-share // len(of_class))
        drawn = [place.permutation(of_class) for _ in range(rounds)]
        rows.append(np.concatenate(drawn)[:share] if drawn else of_class[:0])
        earlier.append(np.repeat(np.arange(rounds), len(of_class))[:share])
    order = draw.order(count, seed, epoch)
    return Draws(np.concatenate(rows)[order], np.concatenate(earlier)[order])
