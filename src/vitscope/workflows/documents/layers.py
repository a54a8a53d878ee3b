"""Documents about fully connected layers: `layers` and `layer/{index}`."""

from __future__ import annotations

import time
from collections.abc import Mapping

import torch
from torch import nn

from vitscope.errors import RequestError
from vitscope.inspection.weights import Linear, cells, linears, spectrum, summarize
from vitscope.visualization.document import Document, pack
from vitscope.workflows.documents.query import Query

SPECTRUM = 64  # singular values that are sent
CELLS, MOST_CELLS = 256, 1024
Weights = Mapping[str, torch.Tensor]


class LayerList:
    """`layers`: every layer in numbers, with its change since the start where that is known.

    Singular values take seconds where there are many large matrices. So `document(module, patience_s)` gives up on them
    after that time (those that are not known yet are null, and `is_complete` is false), and goes on where it is asked
    again. It keeps numbers alone, never the weights of a model that may be closed meanwhile.
    """

    def __init__(self, module: nn.Module, initial: Weights | None):
        self._told = [_summary(layer, _initial(layer, initial)) for layer in linears(module)]
        self._known = 0

    def document(self, module: nn.Module, patience_s: float = float("inf")) -> Document:
        """`module` with the same weights as before."""
        started = time.monotonic()
        layers = linears(module) if self._known < len(self._told) else []
        while self._known < len(self._told) and time.monotonic() - started < patience_s:
            self._told[self._known] |= _spectrum(layers[self._known])
            self._known += 1
        return {"layers": [dict(one) for one in self._told], "is_complete": self._known == len(self._told)}


def _summary(layer: Linear, initial: torch.Tensor | None) -> Document:
    told = summarize(layer.weight, initial)
    return {
        "index": layer.index,
        "id": layer.id,
        "role": layer.role,
        "block": layer.block,
        "shape": list(layer.weight.shape),
        "parts": [list(part) for part in layer.parts],
        **{name: getattr(told, name) for name in ("mean", "std", "min", "max", "frobenius", "near_zero")},
        "histogram": {"edges": pack(told.histogram.edges), "counts": pack(told.histogram.counts)},
        "change": told.change._asdict() if told.change is not None else None,
        "singular_count": min(layer.weight.shape),
        **dict.fromkeys(("singular_values", "spectral", "effective_rank", "rank_share")),
    }


def _spectrum(layer: Linear) -> Document:
    told = spectrum(layer.weight)
    names = ("spectral", "effective_rank", "rank_share")
    return {"singular_values": pack(told.singular_values[:SPECTRUM]), **{name: getattr(told, name) for name in names}}


def layer(module: nn.Module, initial: Weights | None, index: int, query: Query) -> Document:
    """Part of one weight matrix (or of its change since the start) in cells.

    `low` and `high`, the extremes of each cell, are null where a cell is one weight.
    """
    every = linears(module)
    if index >= len(every):
        raise RequestError(f"There is no layer {index}: this model has {len(every)}, counted from 0.")
    one = every[index]
    weight, bias = one.weight, one.bias
    if query.choice("of", ("weight", "change"), "weight") == "change":
        before = _initial(one, initial)
        if before is None:
            raise RequestError(f"The change of {one.id} is not known: its weights at the start were not recorded.")
        weight, bias = weight - before.to(weight), None
    rows, cols = query.span("rows", weight.shape[0]), query.span("cols", weight.shape[1])
    return _tile(one, weight, bias, rows, cols, query.number("cells", CELLS, 1, MOST_CELLS))


def whole(module: nn.Module, index: int) -> Document:
    """The same of a whole matrix, every weight of it."""
    one = linears(module)[index]
    height, width = one.weight.shape
    return _tile(one, one.weight, one.bias, (0, height), (0, width), max(height, width))


def _tile(
    layer: Linear,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    rows: tuple[int, int],
    cols: tuple[int, int],
    most: int,
) -> Document:
    shown = cells(weight, rows, cols, most)
    is_exact = shown.cell == (1, 1)
    return {
        "index": layer.index,
        "shape": list(weight.shape),
        "rows": list(rows),
        "cols": list(cols),
        "cell": list(shown.cell),
        "mean": pack(shown.mean),
        "low": None if is_exact else pack(shown.low),
        "high": None if is_exact else pack(shown.high),
        "scale": float(weight.abs().max()),
        "biases": pack(bias[rows[0] : rows[1]].float().cpu().numpy()) if bias is not None else None,
    }


def _initial(layer: Linear, initial: Weights | None) -> torch.Tensor | None:
    """The layer's matrix at the start; None where it is not known or was of another shape."""
    before = initial.get(f"{layer.id}.weight") if initial is not None else None
    if before is None or before.flatten(1).shape != layer.weight.shape:
        return None
    return before.flatten(1)
