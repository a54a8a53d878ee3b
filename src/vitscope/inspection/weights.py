"""Fully connected layers: which there are, what their weights are like, and their weights in cells of a picture."""

from __future__ import annotations

import math
import re
from typing import Any, NamedTuple

import numpy as np
import torch
from timm.layers.std_conv import ScaledStdConv2d, ScaledStdConv2dSame, StdConv2d, StdConv2dSame
from torch import nn

BINS = 40
NEAR_ZERO = 1e-3  # of the largest weight
_ROLES = {
    "qkv": "qkv", "q_proj": "qkv", "k_proj": "qkv", "v_proj": "qkv", "q": "qkv", "k": "qkv", "v": "qkv",
    "proj": "proj", "fc1": "fc1", "fc1_g": "fc1", "fc1_x": "fc1", "w1": "fc1", "w2": "fc1", "fc2": "fc2", "w3": "fc2",
}  # fmt: skip
_BLOCK = re.compile(r"^(?:.*\.)?[^.]*blocks?[^.]*\.\d+(?=\.)")


class Linear(NamedTuple):
    """A layer that multiplies by a matrix."""

    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody misses
    id: str  # the module's name
    role: str  # qkv, proj, fc1, fc2, head, patch_embed or other
    block: int | None  # number of the block that it is in, counted through the whole model
    parts: list[tuple[str, int, int]]  # rows [from, to) that make queries, keys, values; [] where it is one thing
    weight: torch.Tensor  # (out, in); the model's own, not a copy
    bias: torch.Tensor | None  # (out,)


class Histogram(NamedTuple):
    edges: np.ndarray  # (41,) float64, from the smallest weight to the largest
    counts: np.ndarray  # (40,) int64


class Change(NamedTuple):
    """The difference from the weights at the start."""

    relative_frobenius: float  # ‖now − then‖ / ‖then‖
    cosine: float  # between both as vectors


class Summary(NamedTuple):
    """A weight matrix in numbers, computed in float64."""

    mean: float
    std: float
    min: float
    max: float
    frobenius: float
    near_zero: float  # share of weights below a thousandth of the largest
    histogram: Histogram
    change: Change | None


class Spectrum(NamedTuple):
    """A weight matrix by its singular values, computed in float64; takes several times as long as the summary."""

    singular_values: np.ndarray  # all, largest first
    spectral: float  # the largest
    effective_rank: float
    rank_share: float  # effective rank / the smaller side


class Cells(NamedTuple):
    """Part of a matrix in cells of `cell` weights, (rows, columns) float32; those at the far edges may be smaller."""

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    cell: tuple[int, int]


def linears(module: nn.Module) -> list[Linear]:
    """Every fully connected layer, first to last: `nn.Linear`, and convolutions of the patch embedding's projection.

    A convolution (out, 3, h, w) counts as the matrix (out, 3·h·w) that multiplies a patch. The convolutional network
    before the projection of a hybrid (vit_small_r26_s32_224) is left out.
    """
    heads = _heads(module)
    named = dict(module.named_modules())
    blocks: dict[str, int] = {}
    found: list[Linear] = []
    for name, part in named.items():
        is_embedding = isinstance(part, nn.Conv2d) and part.groups == 1 and f"{name}.".startswith("patch_embed.proj.")
        if not isinstance(part, nn.Linear) and not is_embedding:
            continue
        assert isinstance(part, (nn.Linear, nn.Conv2d))
        inside = _BLOCK.match(name)
        block = blocks.setdefault(inside[0], len(blocks)) if inside else None
        parent = named[name.rpartition(".")[0]]
        leaf = name.rpartition(".")[2]
        role = "patch_embed" if is_embedding else "head" if id(part) in heads else _ROLES.get(leaf, "other")
        weight = acting_weight(part).flatten(1)
        parts = _parts(leaf, len(weight)) if role == "qkv" else []
        found.append(Linear(len(found), name, role, block, parts, weight, _bias(part, parent, leaf)))
    return found


def acting_weight(part: nn.Linear | nn.Conv2d) -> torch.Tensor:
    """The weights with which a layer multiplies: its own, or those made of them where it standardises them.

    Weight standardisation (Qiao et al., arXiv:1903.10520; timm's `StdConv2d` and the like): each filter with mean 0
    and variance 1, `ScaledStdConv2d` times a learned gain and a scale too.
    """
    own = part.weight.detach()
    if not isinstance(part, (StdConv2d, StdConv2dSame, ScaledStdConv2d, ScaledStdConv2dSame)):
        return own
    layer: Any = part
    filters = own.double().flatten(1)
    spread = (filters.var(dim=1, correction=0, keepdim=True) + layer.eps).sqrt()
    acting = (filters - filters.mean(dim=1, keepdim=True)) / spread
    if isinstance(part, (ScaledStdConv2d, ScaledStdConv2dSame)):
        acting = acting * layer.scale * layer.gain.detach().double().flatten(1)
    return acting.to(own.dtype).reshape(own.shape)


def _heads(module: nn.Module) -> set[int]:
    classifier = getattr(module, "get_classifier", lambda: getattr(module, "head", None))()
    each = classifier if isinstance(classifier, (tuple, list)) else (classifier,)
    return {id(part) for head in each if isinstance(head, nn.Module) for part in head.modules()}


def _parts(leaf: str, rows: int) -> list[tuple[str, int, int]]:
    if leaf != "qkv":
        return [(leaf[0], 0, rows)]
    third = rows // 3
    return [("q", 0, third), ("k", third, 2 * third), ("v", 2 * third, rows)]


def _bias(part: nn.Linear | nn.Conv2d, parent: nn.Module, leaf: str) -> torch.Tensor | None:
    if part.bias is None and leaf == "qkv" and getattr(parent, "q_bias", None) is not None:
        three = [getattr(parent, f"{name}_bias") for name in "qkv"]  # beit and eva keep them beside the matrix
        return torch.cat([torch.as_tensor(bias).detach() for bias in three])
    return part.bias.detach() if part.bias is not None else None


def summarize(weight: torch.Tensor, initial: torch.Tensor | None = None) -> Summary:
    """The numbers of a matrix (out, in); `initial` is the same matrix at the start, where it is known."""
    exact = weight.detach().double().cpu()
    low, high = (float(end) for end in torch.aminmax(exact))
    largest = max(abs(low), abs(high))
    mean, frobenius = float(exact.mean()), float(exact.norm())
    return Summary(
        mean=mean,
        std=float((exact - mean).norm()) / math.sqrt(exact.numel()),
        min=low,
        max=high,
        frobenius=frobenius,
        near_zero=int(torch.count_nonzero(exact.abs() < NEAR_ZERO * largest)) / exact.numel() if largest else 1.0,
        histogram=histogram(exact),
        change=change(exact, initial) if initial is not None else None,
    )


def spectrum(weight: torch.Tensor) -> Spectrum:
    """The singular values of a matrix (out, in) and what they say."""
    values = singular_values(weight)
    rank = effective_rank(values)
    return Spectrum(values, float(values[0]), rank, rank / len(values))


def histogram(matrix: torch.Tensor, edges: np.ndarray | None = None) -> Histogram:
    """How many weights lie in each of 40 bins of equal width, the last with its upper edge.

    The bins reach from the smallest weight to the largest, or are those of `edges` (equal widths too); what lies
    outside these counts in the first or the last, what is NaN in the first.
    """
    if edges is None:
        low, high = (float(end) for end in torch.aminmax(matrix))
        if not high > low:  # one value alone: a bin of width 1 around it, as NumPy does
            low, high = low - 0.5, high + 0.5
        edges = np.linspace(low, high, BINS + 1)
    bins = len(edges) - 1
    if not np.isfinite(edges).all():
        return Histogram(edges, np.zeros(bins, np.int64))
    values = matrix.detach().flatten()
    values = values if values.dtype == torch.float64 else values.float()
    place = (values - float(edges[0])).mul_(bins / float(edges[-1] - edges[0])).nan_to_num_(0.0, bins, 0.0)
    counts = torch.bincount(place.clamp_(0, bins - 1).to(torch.int32), minlength=bins)
    return Histogram(edges, counts.cpu().numpy())


def singular_values(matrix: torch.Tensor) -> np.ndarray:
    """All of them, largest first, float64; NaN where a weight is not finite.

    From the eigenvalues of the smaller Gram matrix, which is several times faster than a decomposition. Squaring costs
    half of the digits of what is small, so a matrix with values below 1e-5 of the largest is decomposed after all.
    """
    exact = matrix.detach().double()
    gram = _gram(exact)
    if not math.isfinite(float(gram.diagonal().sum())):
        return np.full(min(exact.shape), np.nan)
    squares = torch.linalg.eigvalsh(gram, UPLO="U").flip(0)
    if squares[-1] < 1e-10 * squares[0]:
        return torch.linalg.svdvals(exact).cpu().numpy()
    return squares.sqrt().cpu().numpy()


def _gram(matrix: torch.Tensor) -> torch.Tensor:
    """The upper triangle of the Gram matrix of the smaller side, in blocks: what lies below would be done twice."""
    tall = matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix
    side = tall.shape[1]
    gram = tall.new_zeros(side, side)
    step = -(-side // 4)
    for start in range(0, side, step):
        gram[start : start + step, start:] = tall[:, start : start + step].T @ tall[:, start:]
    return gram


def effective_rank(values: np.ndarray) -> float:
    """exp of the entropy of the singular values scaled to sum 1: between 1 and their number; 0 where all are 0.

    Roy & Vetterli 2007, "The effective rank: a measure of effective dimensionality".
    """
    total = values.sum()
    if not total > 0:
        return 0.0 if total == 0 else float("nan")
    shares = values[values > 0] / total
    return float(np.exp(-(shares * np.log(shares)).sum()))


def change(now: torch.Tensor, initial: torch.Tensor) -> Change:
    """How far a matrix has moved from `initial`; infinite and NaN where that is all zeros."""
    a, b = now.detach().flatten().double(), initial.detach().to(now.device).flatten().double()
    length = norm(a) * norm(b)
    return Change(relative_change(a, b), float(a @ b) / length if length else float("nan"))


def relative_change(now: torch.Tensor, then: torch.Tensor) -> float:
    """‖now − then‖ / ‖then‖; infinite where that was all zeros and is no more. The difference is of their precision."""
    start, moved = norm(then), norm(now - then.to(now))
    return moved / start if start else float("inf") if moved else 0.0


def norm(matrix: torch.Tensor) -> float:
    """Frobenius, summed in float64."""
    return float(torch.linalg.vector_norm(matrix, dtype=torch.float64))


def cells(weight: torch.Tensor, rows: tuple[int, int], cols: tuple[int, int], most: int) -> Cells:
    """Rows [a, b) and columns [c, d) of (out, in) in at most `most` × `most` cells; single weights where they fit."""
    part = np.ascontiguousarray(weight[rows[0] : rows[1], cols[0] : cols[1]].detach().float().cpu().numpy())
    height, width = -(-part.shape[0] // most), -(-part.shape[1] // most)
    if (height, width) == (1, 1):
        return Cells(part, part, part, (1, 1))
    down, across = np.arange(0, part.shape[0], height), np.arange(0, part.shape[1], width)
    total = _reduce(np.add, part.astype(np.float64), down, across)
    number = np.outer(np.diff(down, append=part.shape[0]), np.diff(across, append=part.shape[1]))
    low, high = _reduce(np.minimum, part, down, across), _reduce(np.maximum, part, down, across)
    return Cells((total / number).astype(np.float32), low, high, (height, width))


def _reduce(how: np.ufunc, matrix: np.ndarray, down: np.ndarray, across: np.ndarray) -> np.ndarray:
    return how.reduceat(how.reduceat(matrix, down, axis=0), across, axis=1)
