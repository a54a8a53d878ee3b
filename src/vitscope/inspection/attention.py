"""What attention weights say: how spread they are, how far they reach, where a model looks.

Weights are (…, H, N, N): a head's row i says how the query token i shares its attention among the N tokens. All is
computed in float64.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vitscope.inspection.tokens import Tokens


def entropy(weights: np.ndarray) -> np.ndarray:
    """(…, H, Q, N) → (…, H): entropy of a query's shares in nats, the mean over the queries; 0 to ln N."""
    return row_entropy(weights).mean(axis=-1)


def row_entropy(weights: np.ndarray) -> np.ndarray:
    """(…, N) → (…): of each query."""
    shares = weights.astype(np.float64)
    safe = np.where(shares > 0, shares, 1.0)  # 0 · ln 0 is 0
    return -(shares * np.log(safe)).sum(axis=-1)


def distance(weights: np.ndarray, tokens: Tokens) -> np.ndarray:
    """(…, H, N, N) → (…, H): mean distance in pixels between the centres of the query's patch and those it looks at.

    As in Dosovitskiy et al. 2021 (arXiv:2010.11929), figure 7. Prefix tokens are left out, as queries and as keys, and
    the rest of each row is scaled to sum 1.
    """
    far = reach(weights[..., tokens.prefix :, tokens.prefix :], centres(tokens.grid, tokens.patch))
    looks = np.isfinite(far)  # a query that looks at prefix tokens alone has no distance; it is left out of the mean
    with np.errstate(invalid="ignore"):
        return np.where(looks, far, 0.0).sum(axis=-1) / looks.sum(axis=-1)


def reach(weights: np.ndarray, places: np.ndarray) -> np.ndarray:
    """(…, M, M) weights among M patches at `places` (M, 2) → (…, M): how far each looks, in the places' unit.

    Each row is scaled to sum 1; NaN for one of zeros.
    """
    between = np.linalg.norm(places[:, None] - places[None], axis=-1)
    shares = weights.astype(np.float64)
    with np.errstate(invalid="ignore"):
        return np.einsum("...qk,qk->...q", shares, between) / shares.sum(axis=-1)


def centres(grid: tuple[int, int], patch: tuple[int, int]) -> np.ndarray:
    """(gh·gw, 2) float64: row and column of each patch's centre in pixels."""
    rows, columns = np.mgrid[: grid[0], : grid[1]].reshape(2, -1).astype(np.float64)
    return np.stack(((rows + 0.5) * patch[0], (columns + 0.5) * patch[1]), axis=-1)


def class_share(weights: np.ndarray, tokens: Tokens) -> np.ndarray:
    """(…, H, N, N) → (…, H): share of their attention that patches give the class token; NaN where there is none."""
    if not tokens.has_class_token:
        return np.full(weights.shape[:-2], np.nan)
    return weights[..., tokens.prefix :, 0].astype(np.float64).mean(axis=-1)


def rollout(attention: Sequence[np.ndarray]) -> np.ndarray:
    """Layers of (B, H, N, N) → (L, B, N, N) float64: where what a token holds after each layer came from.

    Abnar & Zuidema 2020 (arXiv:2005.00928): the mean over the heads, half of it replaced by the identity for the
    residual connection, multiplied layer by layer. Rows sum to 1.
    """
    product, through = None, []
    for weights in attention:
        mixed = 0.5 * weights.astype(np.float64).mean(axis=1) + 0.5 * np.eye(weights.shape[-1])
        mixed /= mixed.sum(axis=-1, keepdims=True)  # the rounding of float32 weights would add up
        product = mixed if product is None else mixed @ product
        through.append(product)
    return np.stack(through)


def looked_at(weights: np.ndarray, tokens: Tokens) -> np.ndarray:
    """(…, H, N, N) → (…, H, gh, gw): what `reader` says, on the grid. Works for rollout too."""
    row = reader(weights, tokens)[..., tokens.prefix :]
    return row.reshape(*row.shape[:-1], *tokens.grid)


def reader(weights: np.ndarray, tokens: Tokens) -> np.ndarray:
    """(…, N, N) → (…, N): the row of the class token where the classifier reads it, else the mean of the patches' rows.

    (…, 1, N), where only the class token looks, is taken as it is.
    """
    shares = weights.astype(np.float64)
    if tokens.reads == "class token" or shares.shape[-2] == 1:
        return shares[..., 0, :]
    return shares[..., tokens.prefix :, :].mean(axis=-2)


def scaled(maps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(…, gh, gw), not below 0 → bytes of which 255 is each map's largest, and those largest ones (…) float32."""
    largest = maps.max(axis=(-2, -1))
    parts = maps / np.where(largest > 0, largest, 1.0)[..., None, None]
    return np.rint(255 * np.clip(parts, 0, 1)).astype(np.uint8), largest.astype(np.float32)
