from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from tests.inspection.tiny import SIDE, pixels, tiny
from vitscope.inspection.probe import capture
from vitscope.inspection.windows import Windows, received, window_distance, window_entropy, windows_of

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


def test_distance_down_and_across_are_of_the_patchs_sides() -> None:
    oblong = Windows(rows=1, cols=1, size=(2, 2), shift=(0, 0), grid=(2, 2), patch=(3, 11))
    down = np.roll(np.eye(4), 2, axis=1)[None, None]  # each to the patch above or below
    across = np.eye(4)[[1, 0, 3, 2]][None, None]
    assert window_distance(down, oblong)[0] == pytest.approx(3)
    assert window_distance(across, oblong)[0] == pytest.approx(11)


def test_padding_is_no_query() -> None:
    """A grid of 3 × 3 in windows of 2 × 2, shifted by one: against loops over the nine patches alone."""
    padded = Windows(rows=2, cols=2, size=(2, 2), shift=(1, 1), grid=(3, 3), patch=(8, 4))
    raised = np.exp(np.random.default_rng(4).normal(size=(4, 2, 4, 4)))
    weights = raised / raised.sum(axis=-1, keepdims=True)
    weights[~padded.is_patch.repeat(2, axis=0).reshape(4, 2, 4)] = np.eye(4)[0]  # what must not count
    places = [(row, col) for row in range(3) for col in range(3)]  # after the shift
    assert padded.is_patch.sum() == 9
    entropies, distances, expected = np.zeros(2), np.zeros(2), np.zeros((2, 3, 3))
    for row, col in places:
        window, query = (row // 2) * 2 + col // 2, (row % 2) * 2 + col % 2
        for head in range(2):
            shares = [float(share) for share in weights[window, head, query]]
            entropies[head] -= sum(p * math.log(p) for p in shares) / 9
            inside = [(r, c) for r, c in places if (r // 2, c // 2) == (row // 2, col // 2)]
            looks = {(r, c): shares[(r % 2) * 2 + c % 2] for r, c in inside}
            total = sum(looks.values())
            distances[head] += (
                sum(share / total * math.hypot(8 * (r - row), 4 * (c - col)) for (r, c), share in looks.items()) / 9
            )
            for (r, c), share in looks.items():
                expected[head, (r + 1) % 3, (c + 1) % 3] += share / len(inside)
    np.testing.assert_allclose(window_entropy(weights, padded), entropies)
    np.testing.assert_allclose(window_distance(weights, padded), distances)
    np.testing.assert_allclose(received(weights, padded), expected)
