from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from tests.inspection.tiny import SIDE, pixels, tiny
from vitscope.inspection.probe import capture
from vitscope.inspection.windows import Windows, received, window_distance, windows_of

SHIFTED = Windows(rows=2, cols=2, size=(2, 2), shift=(1, 1), grid=(4, 4), patch=(8, 8))


def test_windows_are_those_of_the_blocks() -> None:
    windows = windows_of(tiny("swin_tiny_patch4_window7_224"), (SIDE, SIDE))
    assert windows == [
        Windows(4, 4, (4, 4), (0, 0), (16, 16), (2, 2)),
        Windows(4, 4, (4, 4), (2, 2), (16, 16), (2, 2)),
        Windows(2, 2, (4, 4), (0, 0), (8, 8), (4, 4)),
        Windows(2, 2, (4, 4), (2, 2), (8, 8), (4, 4)),
    ]


def test_a_patch_is_where_a_change_of_the_picture_says_it_is() -> None:
    """Whole in the picture, from pixels to the shifted windows: queries see only a change in their own window."""
    module: Any = tiny("swin_tiny_patch4_window7_224")
    place = windows_of(module, (SIDE, SIDE))[1]
    images = pixels(1).repeat(2, 1, 1, 1)
    images[1, :, 6:8, 10:12] += 3.0  # the patch in row 3, column 5
    # The first block mixes windows of its own, so it is left out of the way.
    module.layers[0].blocks[0] = torch.nn.Identity()
    module.layers[0].blocks[1].norm1 = torch.nn.Identity()
    first, second = capture(module, images).attention[0]
    changed = np.unique(np.nonzero(np.abs(first - second).max(axis=(1, 2, 3)) > 1e-6))
    row, col = (3 - place.shift[0]) // 4, (5 - place.shift[1]) // 4
    assert changed.tolist() == [row * place.cols + col]


def test_received_against_loops() -> None:
    raised = np.exp(np.random.default_rng(0).normal(size=(4, 3, 4, 4)))
    weights = raised / raised.sum(axis=-1, keepdims=True)
    expected = np.zeros((3, 4, 4))
    for row in range(4):
        for col in range(4):
            # A patch at (row, col) stands one up and one left after the shift.
            r, c = (row - 1) % 4, (col - 1) % 4
            window, key = (r // 2) * 2 + c // 2, (r % 2) * 2 + c % 2
            expected[:, row, col] = weights[window, :, :, key].mean(axis=-1)
    np.testing.assert_allclose(received(weights, SHIFTED), expected)
    assert received(weights, SHIFTED).sum() == pytest.approx(3 * 4)  # every window gives 1 in the mean


def test_distance_inside_windows() -> None:
    uniform = np.full((4, 1, 4, 4), 0.25)
    corner = (0 + 8 + 8 + math.hypot(8, 8)) / 4
    assert window_distance(uniform, SHIFTED)[0] == pytest.approx(corner)
    assert window_distance(np.tile(np.eye(4), (4, 2, 1, 1)), SHIFTED).tolist() == [0.0, 0.0]
