"""Attention inside windows (swin): where the windows of a layer lie on the picture."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from torch import nn

from vitscope.inspection.attention import reach, row_entropy


class Windows(NamedTuple):
    """The windows of one layer, row by row, after its patches were rolled up and left by `shift`."""

    rows: int
    cols: int
    size: tuple[int, int]  # patches a window, down and across
    shift: tuple[int, int]  # patches, down and across
    grid: tuple[int, int]  # patches of this layer, down and across; padding is left out
    patch: tuple[int, int]  # pixels of such a patch

    @property
    def is_patch(self) -> np.ndarray:
        """(W, M) bool: which places of the windows hold a patch. The others are padding below and at the right."""
        down, across = (np.arange(n * side) for n, side in zip((self.rows, self.cols), self.size, strict=True))
        whole = (down < self.grid[0])[:, None] & (across < self.grid[1])[None]
        return whole.reshape(self.rows, self.size[0], self.cols, self.size[1]).swapaxes(1, 2).reshape(-1, self.area)

    @property
    def area(self) -> int:
        """M, patches a window."""
        return self.size[0] * self.size[1]


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
    """(W, H, M, M) → (H, gh, gw): how much attention each patch gets from its window, the mean over its patches.

    The counterpart of `looked_at` for a model whose patches see only their window. Padding is no query.
    """
    heads, looks = weights.shape[1], windows.is_patch[:, None, :, None]
    got = (weights.astype(np.float64) * looks).sum(axis=2) / np.maximum(looks.sum(axis=2), 1)
    got = got.reshape(windows.rows, windows.cols, heads, *windows.size)
    whole = got.transpose(2, 0, 3, 1, 4).reshape(heads, windows.rows * windows.size[0], windows.cols * windows.size[1])
    inside = whole[:, : windows.grid[0], : windows.grid[1]]
    return np.roll(inside, windows.shift, axis=(1, 2))


def window_entropy(weights: np.ndarray, windows: Windows) -> np.ndarray:
    """(W, H, M, M) → (H,): entropy of a patch's shares in nats, the mean over the patches; padding can be looked at."""
    return _mean_over_patches(row_entropy(weights), windows)


def window_distance(weights: np.ndarray, windows: Windows) -> np.ndarray:
    """(W, H, M, M) → (H,): mean distance in pixels between a patch and those it looks at; padding is left out.

    Places are those inside the window; where a shifted window joins two edges of the picture, a mask keeps these apart.
    """
    rows, columns = np.mgrid[: windows.size[0], : windows.size[1]].reshape(2, -1).astype(np.float64)
    places = np.stack((rows * windows.patch[0], columns * windows.patch[1]), axis=-1)
    return _mean_over_patches(reach(weights * windows.is_patch[:, None, None, :], places), windows)


def _mean_over_patches(values: np.ndarray, windows: Windows) -> np.ndarray:
    """(W, H, M) → (H,), over the places that hold a patch and whose value is known."""
    counts = windows.is_patch[:, None, :] & np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.where(counts, values, 0.0).sum(axis=(0, 2)) / counts.sum(axis=(0, 2))
