from __future__ import annotations

import math

import numpy as np
import pytest

from vitscope.inspection.attention import class_share, distance, entropy, looked_at, reader, rollout, scaled
from vitscope.inspection.tokens import Tokens

TOKENS = Tokens(grid=(2, 3), prefix=2, has_class_token=True, patch=(4, 8))
BARE = Tokens(grid=(2, 3), prefix=0, has_class_token=False, patch=(4, 8))


def random_weights(*shape: int, seed: int = 0) -> np.ndarray:
    raised = np.exp(2 * np.random.default_rng(seed).normal(size=shape))
    return (raised / raised.sum(axis=-1, keepdims=True)).astype(np.float32)


def uniform(heads: int, count: int) -> np.ndarray:
    return np.full((heads, count, count), 1 / count)


def identity(heads: int, count: int) -> np.ndarray:
    return np.tile(np.eye(count), (heads, 1, 1))


def test_entropy_against_loops() -> None:
    weights = random_weights(2, 3, 8, 8)
    expected = np.zeros((2, 3))
    for b in range(2):
        for h in range(3):
            for q in range(8):
                expected[b, h] -= sum(float(p) * math.log(float(p)) for p in weights[b, h, q]) / 8
    np.testing.assert_allclose(entropy(weights), expected, rtol=1e-12)


def test_entropy_of_known_attention() -> None:
    np.testing.assert_allclose(entropy(uniform(2, 9)), [math.log(9)] * 2)
    assert entropy(identity(2, 9)).tolist() == [0.0, 0.0]


def test_distance_against_loops() -> None:
    weights = random_weights(2, 3, 8, 8)
    centres = [(4 * (r + 0.5), 8 * (c + 0.5)) for r in range(2) for c in range(3)]
    expected = np.zeros((2, 3))
    for b in range(2):
        for h in range(3):
            for q in range(6):
                row = [float(w) for w in weights[b, h, 2 + q, 2:]]
                reach = sum(w * math.dist(centres[q], centres[k]) for k, w in enumerate(row))
                expected[b, h] += reach / sum(row) / 6
    np.testing.assert_allclose(distance(weights, TOKENS), expected, rtol=1e-12)


def test_distance_of_known_attention() -> None:
    assert distance(identity(2, 8), TOKENS).tolist() == [0.0, 0.0]
    to_the_right = np.roll(np.eye(6), 1, axis=1)[None]  # the patch to the right, or the next row's first
    width, back = 8.0, math.hypot(16, 4)
    assert distance(to_the_right, BARE)[0] == pytest.approx((4 * width + 2 * back) / 6)


def test_a_query_that_sees_prefix_tokens_alone_has_no_distance() -> None:
    weights = identity(1, 8)
    weights[0, 3] = np.eye(8)[0]
    weights[0, 4] = np.eye(8)[2]
    assert distance(weights, TOKENS)[0] == pytest.approx(16.0 / 5)  # of the five others one looks 16 pixels away
    weights[0, 2:] = np.eye(8)[0]
    assert math.isnan(distance(weights, TOKENS)[0])


def test_class_share_against_loops() -> None:
    weights = random_weights(2, 3, 8, 8)
    expected = [[sum(float(weights[b, h, q, 0]) for q in range(2, 8)) / 6 for h in range(3)] for b in range(2)]
    np.testing.assert_allclose(class_share(weights, TOKENS), expected, rtol=1e-12)
    assert np.isnan(class_share(random_weights(3, 6, 6), BARE)).all()


def test_rollout_against_loops() -> None:
    layers = [random_weights(1, 2, 4, 4, seed=i) for i in range(3)]
    product = np.eye(4)
    for weights, told in zip(layers, rollout(layers), strict=True):
        mean = [[(float(weights[0, 0, i, j]) + float(weights[0, 1, i, j])) / 2 for j in range(4)] for i in range(4)]
        mixed = [[0.5 * mean[i][j] + (0.5 if i == j else 0.0) for j in range(4)] for i in range(4)]
        product = [[sum(mixed[i][k] * product[k][j] for k in range(4)) for j in range(4)] for i in range(4)]
        np.testing.assert_allclose(told[0], product, atol=1e-7)
        np.testing.assert_allclose(told[0].sum(axis=-1), 1.0, atol=1e-12)


def test_rollout_of_known_attention() -> None:
    np.testing.assert_array_equal(rollout([identity(2, 5)[None]] * 4), np.tile(np.eye(5), (4, 1, 1, 1)))
    # Uniform attention, half of it passed by: what stays of a token itself halves with each layer.
    last = rollout([uniform(2, 5)[None]] * 3)[-1, 0]
    np.testing.assert_allclose(last, 0.125 * np.eye(5) + 0.875 / 5)


def test_looked_at_is_the_class_tokens_row_on_the_grid() -> None:
    weights = random_weights(2, 3, 8, 8)
    maps = looked_at(weights, TOKENS)
    assert maps.shape == (2, 3, 2, 3)
    assert maps[1, 2, 1, 0] == weights[1, 2, 0, 2 + 3]
    bare = random_weights(3, 6, 6)
    np.testing.assert_allclose(looked_at(bare, BARE)[1].ravel(), bare[1].astype(np.float64).mean(axis=0))
    registers = Tokens((2, 3), 2, False, (4, 8))
    expected = weights[0, 1, 2:, 2:].astype(np.float64).mean(axis=0)
    np.testing.assert_allclose(looked_at(weights, registers)[0, 1].ravel(), expected)
    only_class = random_weights(3, 1, 8)
    np.testing.assert_array_equal(looked_at(only_class, TOKENS)[2].ravel(), only_class[2, 0, 2:])


def test_where_the_class_token_is_not_read_the_patches_look() -> None:
    unread = TOKENS._replace(is_class_token_read=False)
    weights = random_weights(2, 3, 8, 8)
    expected = weights[1, 2, 2:, 2:].astype(np.float64).mean(axis=0)
    np.testing.assert_allclose(looked_at(weights, unread)[1, 2].ravel(), expected)
    np.testing.assert_allclose(reader(weights, unread)[1, 2], weights[1, 2, 2:].astype(np.float64).mean(axis=0))
    np.testing.assert_array_equal(reader(weights, TOKENS)[1, 2], weights[1, 2, 0])


def test_maps_as_bytes() -> None:
    maps = np.random.default_rng(0).random((2, 3, 4, 5)) * 7
    maps[1, 1] = 0
    shown, largest = scaled(maps)
    for i in range(2):
        for j in range(3):
            assert largest[i, j] == np.float32(maps[i, j].max())
            share = maps[i, j] / (maps[i, j].max() or 1)
            assert (shown[i, j] == [[round(255 * float(v)) for v in row] for row in share]).all()
