"""What attention weights say: how spread they are, how far they reach, what the class token sees.

Weights are (…, H, N, N): a head's row i says how the query token i shares its attention among the N tokens. All is
computed in float64.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vitscope.inspection.tokens import Tokens


def entropy(weights: np.ndarray) -> np.ndarray:
    """(…, H, Q, N) → (…, H): entropy of a query's shares in nats, the mean over the queries; 0 to ln N."""
    shares = weights.astype(np.float64)
    safe = np.where(shares > 0, shares, 1.0)  # 0 · ln 0 is 0
    return -(shares * np.log(safe)).sum(axis=-1).mean(axis=-1)


def distance(weights: np.ndarray, tokens: Tokens) -> np.ndarray:
    """(…, H, N, N) → (…, H): mean distance in pixels between the centres of the query's patch and those it looks at.

    As in Dosovitskiy et al. 2021 (arXiv:2010.11929), figure 7. Prefix tokens are left out, as queries and as keys, and
    the rest of each row is scaled to sum 1.
    """
    return mean_distance(weights[..., tokens.prefix :, tokens.prefix :], centres(tokens.grid, tokens.patch))


def mean_distance(weights: np.ndarray, places: np.ndarray) -> np.ndarray:
    """(…, H, M, M) weights among M patches at `places` (M, 2) → (…, H), in the places' unit. NaN without any weight."""
    between = np.linalg.norm(places[:, None] - places[None], axis=-1)
    shares = weights.astype(np.float64)
    total = shares.sum(axis=-1)
    # A query that looks at prefix tokens alone has no distance; it is left out of the mean.
    looks = total > 0
    reach = (shares * between).sum(axis=-1) / np.where(looks, total, 1.0)
    with np.errstate(invalid="ignore"):
        return (reach * looks).sum(axis=-1) / looks.sum(axis=-1)


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
    """(…, H, N, N) → (…, H, gh, gw): the class token's row on the grid, or the mean over the patches' rows without one.

    Works for rollout too. (…, H, 1, N), where only the class token looks, is taken as it is.
    """
    shares = weights.astype(np.float64)
    if tokens.has_class_token or shares.shape[-2] == 1:
        row = shares[..., 0, :]
    else:
        row = shares[..., tokens.prefix :, :].mean(axis=-2)
    return row[..., tokens.prefix :].reshape(*row.shape[:-1], *tokens.grid)
