"""Attention inside windows (swin): where the windows of a layer lie on the picture."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from torch import nn

from vitscope.inspection.attention import mean_distance


class Windows(NamedTuple):
    """The windows of one layer, row by row, after its patches were rolled up and left by `shift`."""

    rows: int
    cols: int
    size: tuple[int, int]  # patches a window, down and across
    shift: tuple[int, int]  # patches, down and across
    grid: tuple[int, int]  # patches of this layer, down and across; padding is left out
    patch: tuple[int, int]  # pixels of such a patch


def windows_of(module: nn.Module, image_size: tuple[int, int]) -> list[Windows]:
    """A layer each of a swin model, in the order of its attention."""
    found: list[Windows] = []
    for part in module.modules():
        block: Any = part
        if not (hasattr(block, "window_size") and hasattr(block, "shift_size") and hasattr(block, "input_resolution")):
            continue
        grid, size, shift = (tuple(map(int, v)) for v in (block.input_resolution, block.window_size, block.shift_size))
        rows, cols = -(-grid[0] // size[0]), -(-grid[1] // size[1])
        patch = (-(-image_size[0] // grid[0]), -(-image_size[1] // grid[1]))  # an odd grid is padded when it is halved
        found.append(Windows(rows, cols, size, shift, grid, patch))  # type: ignore[arg-type]
    return found


def received(weights: np.ndarray, windows: Windows) -> np.ndarray:
    """(W, H, M, M) → (H, gh, gw): how much attention each patch gets from its window, the mean over the queries.

    The counterpart of `looked_at` for a model whose patches see only their window.
    """
    heads = weights.shape[1]
    got = weights.astype(np.float64).mean(axis=2).reshape(windows.rows, windows.cols, heads, *windows.size)
    whole = got.transpose(2, 0, 3, 1, 4).reshape(heads, windows.rows * windows.size[0], windows.cols * windows.size[1])
    inside = whole[:, : windows.grid[0], : windows.grid[1]]
    return np.roll(inside, windows.shift, axis=(1, 2))


def window_distance(weights: np.ndarray, windows: Windows) -> np.ndarray:
    """(W, H, M, M) → (H,): mean distance in pixels between a patch and those it looks at.

    Places are those inside the window; where a shifted window joins two edges of the picture, a mask keeps these apart.
    """
    rows, columns = np.mgrid[: windows.size[0], : windows.size[1]].reshape(2, -1).astype(np.float64)
    places = np.stack((rows * windows.patch[0], columns * windows.patch[1]), axis=-1)
    return mean_distance(weights, places).mean(axis=0)
