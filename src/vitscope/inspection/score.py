"""How well a map of patches finds an object whose mask is known.

A map says how much a model looks at each patch (attention of the class token, rollout, an explanation); the mask says
which pixels are the object. Two numbers hold one against the other, and a third says what a map that knows nothing
would have.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

IS_OBJECT = 0.5  # a patch of which more than this share is the object counts as the object


class Score(NamedTuple):
    """All from 0 to 1.

    `auc`: of a patch of the object and one of the ground, drawn at random, how often the map gives the former more
    (ties count half); 0.5 is chance, 1 finds it wholly, NaN where no patch, or every one, is the object. `mass`: the
    share of the map that lies on the object, each patch's spread evenly over its pixels; NaN for a map of zeros.
    `object_share`: the object's share of the picture, which is also the mass of a map that is the same everywhere.
    """

    auc: float
    mass: float
    object_share: float


def score(values: np.ndarray, mask: np.ndarray) -> Score:
    """A map (gh, gw), not below 0, against a mask (H, W) of the same picture: uint8 up to 255, or 0 to 1."""
    share = patch_shares(mask, (values.shape[0], values.shape[1]))
    looked = values.astype(np.float64)
    is_object = share > IS_OBJECT
    total = looked.sum()
    mass = float((looked * share).sum() / total) if total > 0 else float("nan")
    return Score(area_under_roc(looked[is_object], looked[~is_object]), mass, float(share.mean()))


def patch_shares(mask: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """The mask's share of each patch, (gh, gw) float64; a pixel on the border of two counts for both by its parts."""
    covered = mask.astype(np.float64) / (255.0 if mask.dtype == np.uint8 else 1.0)
    down, across = (_parts(length, count) for length, count in zip(mask.shape, grid, strict=True))
    return down @ covered @ across.T


def _parts(length: int, count: int) -> np.ndarray:
    """(count, length): which share of each of `count` equal stretches every pixel of a line makes up; rows sum to 1."""
    edges = np.arange(count + 1) * (length / count)
    first, last = edges[:-1, None], edges[1:, None]
    pixels = np.arange(length)[None, :]
    overlap = np.minimum(last, pixels + 1) - np.maximum(first, pixels)
    return np.clip(overlap, 0, None) * (count / length)


def area_under_roc(inside: np.ndarray, outside: np.ndarray) -> float:
    """The chance that a value of `inside` is above one of `outside`, ties counting half (Mann and Whitney's U)."""
    if not len(inside) or not len(outside):
        return float("nan")
    ordered = np.sort(outside)
    below, up_to = (np.searchsorted(ordered, inside, side) for side in ("left", "right"))
    return float((below + up_to).mean() / (2 * len(outside)))
