"""Moments of a training: what attention on a few pinned pictures and the fully connected layers were like, on disk.

A folder holds `pinned.json` (which pictures and which layers), `initial.safetensors` (the weights before the first
step) and `step-00000040.npz`, a file a moment, with these arrays (I pictures, L layers of attention, H heads, a grid of
gh × gw patches, K fully connected layers; no pickles):

| array | shape | what |
|---|---|---|
| `images` | (I,) text | sample ids, the order of the first axis below |
| `top_labels`, `top_probabilities` | (I, ≤ 5) int32, float32 | the prediction, most likely first |
| `reads` | text | "class token" or "patches": whose rows the two below are, see `attention.reader` |
| `thumbnails`, `thumbnail_max` | (I, L, H, gh, gw) uint8, (I, L, H) float32 | where each head looks, 255 = max |
| `rollout`, `rollout_max` | (I, L, gh, gw) uint8, (I, L) float32 | the same of rollout, 255 = max |
| `entropy`, `distance`, `class_share` | (I, L, H) float32 | as in `attention.py`; nats, pixels, share |
| `frobenius`, `change`, `effective_rank` | (K,) float64 | norm; relative distance from the start; see `weights.py` |
| `edges`, `histogram` | (K, 41) float32, (K, 40) int32 | bins that are the same for the whole run; the ends are open |
| `maps` | (K, 24, 24) float16 | means of the weights, each matrix in 24 × 24 cells |
| `kind`, `reason` | text | the kind of attention, and why there is none |
| `step`, `epoch`, `seconds` | numbers | when, and what the moment cost |

An array that a model cannot give is left out: those of attention where it is not of every token to every other,
`class_share` without a class token, `change` where the initial weights are not known. `reads` is missing in what was
recorded before there was a choice: then it is the class token, where there is one.
"""

from __future__ import annotations

import io
import json
import os
import re
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from vitscope.inspection import attention, prediction, weights
from vitscope.inspection.probe import Probed, attention_layers, capture
from vitscope.inspection.tokens import Tokens
from vitscope.inspection.weights import BINS, Linear, effective_rank, linears, norm, relative_change, singular_values
from vitscope.models.bundle import write_weights

INITIAL, PINNED = "initial.safetensors", "pinned.json"
CELLS = 24  # a side of a weight matrix's picture
MOST_ATTENTION_BYTES = 256e6  # in one pass; more pictures are looked at one after another
_NAME = re.compile(r"step-([0-9]{8,12})\.npz")
MOST_DECOMPOSED = 5e8  # multiplications of all layers' Gram matrices: beyond, effective ranks are left out


class Pinned(NamedTuple):
    """A picture that is looked at at every moment."""

    sample_id: str
    label: str
    split: str


class Layer(NamedTuple):
    """A fully connected layer: the k-th of the arrays' K."""

    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody misses
    id: str
    role: str
    block: int | None
    shape: tuple[int, int]


class Snapshot(NamedTuple):
    """What one file holds. `arrays` as in the table above."""

    step: int
    epoch: float
    seconds: float
    arrays: dict[str, np.ndarray]


class Timeline(NamedTuple):
    pinned: list[Pinned]
    layers: list[Layer]
    moments: list[Snapshot]  # by step


# ------------------------------------------------------------------------------------------------ taking


def take(
    module: nn.Module,
    pixels: torch.Tensor,
    tokens: Tokens | None,
    initial: Mapping[str, torch.Tensor] | None,
    edges: np.ndarray,
) -> dict[str, np.ndarray]:
    """The arrays of a moment, without `images`, `step`, `epoch` and `seconds`.

    `module` is in evaluation mode and left as it was; `pixels` (I, 3, S, S), normalised, I may be 0; `tokens` is None
    for a model without patches; `initial` is the state dict at the start, where known; `edges` are `fixed_edges`'.
    """
    return {**_of_pictures(module, pixels, tokens), **_of_layers(linears(module), initial, edges)}


def fixed_edges(module: nn.Module) -> np.ndarray:
    """(K, 41) float32: bins for the whole run, around 0, twice as wide as the weights now and at least 3/√(inputs)."""
    edges = []
    for layer in linears(module):
        widest = max(2 * float(layer.weight.abs().max()), 3 / layer.weight.shape[1] ** 0.5)
        edges.append(np.linspace(-widest, widest, BINS + 1))
    return np.array(edges, np.float32).reshape(-1, BINS + 1)


def bytes_a_picture(module: nn.Module, tokens: Tokens) -> int:
    """What a moment needs on disk for each pinned picture, about: the maps of every head, and of the rollout."""
    heads = [int(getattr(layer, "num_heads", 1)) for layer in attention_layers(module)]
    return sum(number + 1 for number in heads) * tokens.patches


def _of_pictures(module: nn.Module, pixels: torch.Tensor, tokens: Tokens | None) -> dict[str, np.ndarray]:
    if not len(pixels):
        return {}
    parts = []
    for part in pixels.split(_at_once(module, tokens)):
        probed = capture(module, part, attention=tokens is not None)
        parts.append({**_prediction(probed), **_attention(probed, tokens)})
    told = {name: parts[0].pop(name) for name in ("kind", "reason", "reads") if name in parts[0]}
    return told | {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _at_once(module: nn.Module, tokens: Tokens | None) -> int:
    """How many pictures one pass may take, at least one."""
    heads = sum(int(getattr(layer, "num_heads", 1)) for layer in attention_layers(module))
    needed = heads * (tokens.count if tokens is not None else 1) ** 2 * 4
    return max(1, int(MOST_ATTENTION_BYTES / max(1, needed)))


def _prediction(probed: Probed) -> dict[str, np.ndarray]:
    shares = prediction.probabilities(probed.logits)
    best = prediction.best(shares)
    return {
        "top_labels": best.astype(np.int32),
        "top_probabilities": np.take_along_axis(shares, best, axis=1).astype(np.float32),
    }


def _attention(probed: Probed, tokens: Tokens | None) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {"kind": np.array(probed.kind), "reason": np.array(probed.reason)}
    shapes = {weights.shape for weights in probed.attention}
    if tokens is None or probed.kind != "global" or len(shapes) != 1 or shapes.pop()[-1] != tokens.count:
        return found
    found["reads"] = np.array(tokens.reads)
    layers = probed.attention
    looked = np.stack([attention.looked_at(layer, tokens) for layer in layers], axis=1)
    found["thumbnails"], found["thumbnail_max"] = attention.scaled(looked)
    through = attention.rollout(layers).swapaxes(0, 1)  # (I, L, N, N): the layers stand where heads do elsewhere
    found["rollout"], found["rollout_max"] = attention.scaled(attention.looked_at(through, tokens))
    found["entropy"] = np.stack([attention.entropy(layer) for layer in layers], axis=1).astype(np.float32)
    found["distance"] = np.stack([attention.distance(layer, tokens) for layer in layers], axis=1).astype(np.float32)
    if tokens.has_class_token:
        share = [attention.class_share(layer, tokens) for layer in layers]
        found["class_share"] = np.stack(share, axis=1).astype(np.float32)
    return found


def _of_layers(
    layers: Sequence[Linear], initial: Mapping[str, torch.Tensor] | None, edges: np.ndarray
) -> dict[str, np.ndarray]:
    if not layers:
        return {}
    matrices = [layer.weight.float() for layer in layers]
    counts = [weights.histogram(matrix, each).counts for matrix, each in zip(matrices, edges, strict=True)]
    found = {
        "frobenius": np.array([norm(matrix) for matrix in matrices]),
        "edges": edges,
        "histogram": np.stack(counts).astype(np.int32),
        "maps": np.stack([_picture(matrix) for matrix in matrices]),
    }
    if initial is not None:
        before = [initial[f"{layer.id}.weight"].flatten(1) for layer in layers]
        found["change"] = np.array([relative_change(now, then) for now, then in zip(matrices, before, strict=True)])
    if sum(w.numel() * min(w.shape) for w in matrices) <= MOST_DECOMPOSED:
        found["effective_rank"] = np.array([effective_rank(singular_values(matrix)) for matrix in matrices])
    return found


def _picture(weight: torch.Tensor) -> np.ndarray:
    """(24, 24) float16: means of cells that overlap by a row or column where the sizes do not divide."""
    return nn.functional.adaptive_avg_pool2d(weight[None, None], CELLS)[0, 0].half().cpu().numpy()


# ------------------------------------------------------------------------------------------------ files


def write_pinned(folder: Path, pinned: Sequence[Pinned], module: nn.Module) -> None:
    """`pinned.json`, the folder made where missing."""
    folder.mkdir(parents=True, exist_ok=True)
    layers = [Layer(one.index, one.id, one.role, one.block, _shape(one.weight)) for one in linears(module)]
    content = {"images": [p._asdict() for p in pinned], "layers": [layer._asdict() for layer in layers]}
    _replace(folder / PINNED, (json.dumps(content, ensure_ascii=False) + "\n").encode())


def _shape(weight: torch.Tensor) -> tuple[int, int]:
    return weight.shape[0], weight.shape[1]


def write_initial(folder: Path, state: Mapping[str, torch.Tensor]) -> None:
    """`initial.safetensors`, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(folder / INITIAL)
    try:
        write_weights(state, temporary)
        temporary.replace(folder / INITIAL)
    finally:
        temporary.unlink(missing_ok=True)


def write(
    folder: Path, step: int, epoch: float, seconds: float, images: Sequence[str], arrays: Mapping[str, np.ndarray]
) -> Path:
    """The moment's file, whole or not at all. Not flushed to the disk: a power cut may cost what can be missed."""
    content = io.BytesIO()
    when = {"step": np.array(step), "epoch": np.array(epoch), "seconds": np.array(seconds)}
    np.savez(content, allow_pickle=False, images=np.array(images, dtype="U16"), **when, **arrays)
    file = moment_file(folder, step)
    _replace(file, content.getvalue())
    return file


def moment_file(folder: Path, step: int) -> Path:
    return folder / f"step-{step:08d}.npz"


def steps(folder: Path) -> list[int]:
    """The steps of which there is a moment, in order."""
    return sorted(int(found[1]) for file in folder.glob("step-*.npz") if (found := _NAME.fullmatch(file.name)))


def read_moment(folder: Path, step: int) -> Snapshot | None:
    """One moment; None where it is missing or damaged."""
    with suppress(OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        with np.load(moment_file(folder, step), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        when, epoch, seconds = (arrays.pop(name).item() for name in ("step", "epoch", "seconds"))
        return Snapshot(when, epoch, seconds, arrays)
    return None


def read_pinned(folder: Path) -> tuple[list[Pinned], list[Layer]]:
    """The pinned pictures and the layers; none where nothing was recorded."""
    try:
        content: Any = json.loads((folder / PINNED).read_text(encoding="utf-8"))
        layers = [Layer(**{**one, "shape": (one["shape"][0], one["shape"][1])}) for one in content["layers"]]
        return [Pinned(**one) for one in content["images"]], layers
    except (OSError, ValueError, KeyError, TypeError):
        return [], []


def read_timeline(folder: Path) -> Timeline:
    """Everything recorded in a run's `snapshots` folder; empty where there is nothing, damaged files left out."""
    return Reader(folder).read()


class Reader:
    """Reads a run's `snapshots` folder again and again while it grows: every file once."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._known: dict[tuple[int, int, int], Snapshot | None] = {}  # by step, time and size

    def read(self) -> Timeline:
        """As `read_timeline`."""
        found: dict[tuple[int, int, int], Snapshot | None] = {}
        for step in steps(self._folder):
            try:
                told = moment_file(self._folder, step).stat()
            except OSError:  # it has gone since the folder was listed
                continue
            key = (step, told.st_mtime_ns, told.st_size)
            found[key] = self._known[key] if key in self._known else read_moment(self._folder, step)
        self._known = found
        return Timeline(*read_pinned(self._folder), [moment for moment in found.values() if moment is not None])


def remove_after(folder: Path, step: int) -> None:
    """Remove the moments later than `step`, and what a process that was killed left of a file."""
    for later in (s for s in steps(folder) if s > step):
        moment_file(folder, later).unlink(missing_ok=True)
    for left in folder.glob(".*.tmp"):
        left.unlink(missing_ok=True)


def _replace(file: Path, content: bytes) -> None:
    temporary = _temporary(file)
    try:
        temporary.write_bytes(content)
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)


def _temporary(file: Path) -> Path:
    return file.with_name(f".{file.name}.{os.getpid()}.tmp")
