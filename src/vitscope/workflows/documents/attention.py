"""Documents about attention: `attention`, `attention/{layer}` and `heads`."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from vitscope.errors import RequestError
from vitscope.inspection import attention as measure
from vitscope.inspection import prediction as answered
from vitscope.inspection.probe import Probed
from vitscope.inspection.score import Score, score
from vitscope.inspection.tokens import Tokens
from vitscope.inspection.windows import Windows, received, window_distance, window_entropy
from vitscope.text import size
from vitscope.visualization.document import Document, pack
from vitscope.workflows.documents.query import Query
from vitscope.workflows.pictures import Picture

MOST_BYTES = 64_000_000  # of attention weights in one document, before they are written as text
_NO_ROLLOUT = {
    "window": "A patch sees its window alone, so the layers have no common tokens to multiply through.",
    "channel": "Its channels look at each other, not its patches.",
    "class": "The class token alone looks, in its last layers; there is no way from layer to layer to follow.",
}


class Heads(NamedTuple):
    """What attention says of one picture, (L, H) float64 each, NaN where a layer has no such head; None: no meaning."""

    entropy: np.ndarray | None
    distance: np.ndarray | None
    class_share: np.ndarray | None
    score: Score | None = None  # of rollout, for a picture whose object is known
    keys: int = 1  # among which a query shares its attention; the most of all layers


def picture(one: Picture) -> Document:
    """A picture as the model is fed it."""
    stream = io.BytesIO()
    Image.fromarray(one.shown).save(stream, "PNG")
    height, width = one.shown.shape[:2]
    return {
        "id": one.id,
        "label": one.label,
        "width": width,
        "height": height,
        "pixels": f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode('ascii')}",
        "mask": pack(one.mask) if one.mask is not None else None,
    }


def prediction(logits: np.ndarray, classes: Sequence[str]) -> list[Document]:
    """(C,) logits → the most probable classes, best first."""
    shares = answered.probabilities(logits)
    return [{"label": classes[i], "probability": float(shares[i])} for i in answered.best(shares)]


def attention(
    one: Picture, probed: Probed, tokens: Tokens | None, windows: Sequence[Windows], classes: Sequence[str]
) -> Document:
    """All layers and heads at a glance, on one picture.

    `reads`: whose rows the maps and the rollout are, "class token" or "patches" (their mean); null without maps of that
    kind. `layer_bytes`: what the weights of each layer take as float16; a document of one holds `most_bytes` at most.
    """
    weights = [layer[0] for layer in probed.attention]
    maps = _maps(weights, probed.kind, tokens, windows)
    told = heads_of(one, probed, tokens, windows)
    bytes_, largest = measure.scaled(maps) if maps is not None else (None, None)
    flow = _rollout(weights, probed.kind, tokens)
    return {
        "image": picture(one),
        "prediction": prediction(probed.logits[0], classes),
        "kind": probed.kind,
        "reason": probed.reason,
        "reads": _reads(probed.kind, tokens),
        "layers": len(weights),
        "layer_bytes": [2 * layer.size for layer in weights],
        "most_bytes": MOST_BYTES,
        "heads": [layer.shape[-3] for layer in weights],
        "tokens": tokens.count if tokens is not None else 0,
        "prefix_tokens": tokens.prefix if tokens is not None else 0,
        "grid": list(tokens.grid) if tokens is not None else [0, 0],
        "thumbnails": _packed(bytes_),
        "thumbnail_max": _packed(largest),
        "rollout": _packed(flow),
        "rollout_reason": "" if flow is not None else probed.reason or _NO_ROLLOUT.get(probed.kind, ""),
        **{name: _packed(getattr(told, name)) for name in ("entropy", "distance", "class_share")},
        "score": scored(told.score),
    }


def _reads(kind: str, tokens: Tokens | None) -> str | None:
    if tokens is None or kind not in ("global", "class"):
        return None
    return "class token" if kind == "class" else tokens.reads


def scored(found: Score | None) -> Document | None:
    if found is None:
        return None
    return {"rollout_auc": found.auc, "rollout_mass": found.mass, "object_share": found.object_share}


def attention_layer(index: int, probed: Probed, windows: Sequence[Windows], query: Query) -> Document:
    """The weights of one layer on one picture, of all heads and queries or of those asked for (`heads`, `rows`: a:b).

    Raises `RequestError` where they would take more than 64 MB.
    """
    if index >= len(probed.attention):
        count = len(probed.attention)
        raise RequestError(
            f"There is no attention layer {index}: "
            + (f"there are {count}, counted from 0." if count else probed.reason)
        )
    every = probed.attention[index][0]
    heads, rows = query.span("heads", every.shape[-3]), query.span("rows", every.shape[-2])
    chosen = every[..., slice(*heads), slice(*rows), :]
    if 2 * chosen.size > MOST_BYTES:
        raise RequestError(_too_large(index, chosen))
    told: Document = {
        "layer": index,
        "kind": probed.kind,
        "weights": pack(chosen.astype(np.float16)),
        "heads": list(heads),
        "rows": list(rows),
        "shape": list(every.shape),
    }
    if probed.kind == "window":
        told |= {"windows": [windows[index].rows, windows[index].cols], "shift": list(windows[index].shift)}
    return told


def _too_large(index: int, chosen: np.ndarray) -> str:
    """What to ask for instead: as many heads as there is room for, or as many queries of one."""
    each = 2 * chosen.size // chosen.shape[-3]
    some, what = (
        (MOST_BYTES // each, "heads") if each <= MOST_BYTES else (MOST_BYTES * chosen.shape[-2] // each, "rows")
    )
    one = "" if what == "heads" else "one head and "
    return (
        f"The attention of layer {index} takes {size(2 * chosen.size)} here, {size(MOST_BYTES)} at most come at once: "
        f"ask for {one}fewer {what} ({what}=0:{max(1, some)})."
    )


def heads_of(one: Picture, probed: Probed, tokens: Tokens | None, windows: Sequence[Windows]) -> Heads:
    """Entropy, distance and class-token share of every head on one picture, and how well rollout finds its object."""
    weights = [layer[0] for layer in probed.attention]
    if not weights or tokens is None:
        return Heads(None, None, None)
    keys = max(layer.shape[-1] for layer in weights)
    if probed.kind == "window":
        entropies = [window_entropy(layer, place) for layer, place in zip(weights, windows, strict=True)]
        distances = [window_distance(layer, place) for layer, place in zip(weights, windows, strict=True)]
        return Heads(_side_by_side(entropies), _side_by_side(distances), None, keys=keys)
    entropies = _side_by_side([measure.entropy(layer) for layer in weights])
    if probed.kind != "global":
        return Heads(entropies, None, None, keys=keys)
    distances = _side_by_side([measure.distance(layer, tokens) for layer in weights])
    share = _side_by_side([measure.class_share(layer, tokens) for layer in weights]) if tokens.has_class_token else None
    return Heads(entropies, distances, share, _object_found(one, weights, tokens), keys)


def heads(
    each: Sequence[Heads], kind: str, tokens: Tokens | None, windows: Sequence[Windows], is_complete: bool
) -> Document:
    """The same over several pictures: mean and standard deviation of each head.

    `uniform_entropy` and `uniform_distance`, (L,): those of a head that gives all it can look at the same.
    """
    told: Document = {"count": len(each), "is_complete": is_complete}
    layers = next((len(one.entropy) for one in each if one.entropy is not None), 0)
    entropies, distances = _uniform(kind, layers, tokens, windows)
    told |= {"uniform_entropy": _packed(entropies), "uniform_distance": _packed(distances)}
    for name in ("entropy", "distance", "class_share"):
        values = [getattr(one, name) for one in each]
        known = np.stack(values) if values and all(value is not None for value in values) else None
        told[name] = _packed(known.mean(axis=0)) if known is not None else None
        told[f"{name}_std"] = _packed(known.std(axis=0)) if known is not None else None
    scores = [one.score for one in each if one.score is not None]
    far = [tokens.grid[axis] - 1 for axis in (0, 1)] if tokens is not None else [0, 0]
    patch = tokens.patch if tokens is not None else (0, 0)
    return told | {
        "kind": kind,
        "max_entropy": float(np.log(max(one.keys for one in each))),
        "largest_distance": float(np.hypot(far[0] * patch[0], far[1] * patch[1])),
        "score": {
            "rollout_auc": float(np.nanmean([found.auc for found in scores])),
            "object_share": float(np.mean([found.object_share for found in scores])),
            "count": len(scores),
        }
        if any(np.isfinite(found.auc) for found in scores)
        else None,
    }


def _uniform(
    kind: str, layers: int, tokens: Tokens | None, windows: Sequence[Windows]
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Entropy and distance (L,) of a head that looks everywhere the same."""
    if tokens is None or not layers:
        return None, None
    if kind == "window":
        even = [np.full((place.rows * place.cols, 1, place.area, place.area), 1 / place.area) for place in windows]
        pairs = list(zip(even, windows, strict=True))
        far = [window_distance(layer, place)[0] for layer, place in pairs]
        return np.array([window_entropy(layer, place)[0] for layer, place in pairs]), np.array(far)
    if kind != "global":
        return None, None
    places = measure.centres(tokens.grid, tokens.patch)
    far = measure.reach(np.ones((len(places), len(places))), places).mean()
    return np.full(layers, np.log(tokens.count)), np.full(layers, far)


# ------------------------------------------------------------------------------------------------ maps


def _maps(
    weights: Sequence[np.ndarray], kind: str, tokens: Tokens | None, windows: Sequence[Windows]
) -> np.ndarray | None:
    """(L, H, gh, gw): where each head looks; layers with fewer heads have zeros for the others."""
    if not weights or tokens is None or kind == "channel":
        return None
    if kind != "window":
        return _side_by_side([measure.looked_at(layer, tokens) for layer in weights], fill=0.0)
    fine = []
    for layer, place in zip(weights, windows, strict=True):
        coarse = received(layer, place)
        down, across = (-(-tokens.grid[axis] // place.grid[axis]) for axis in (0, 1))
        fine.append(coarse.repeat(down, axis=1).repeat(across, axis=2)[:, : tokens.grid[0], : tokens.grid[1]])
    return _side_by_side(fine, fill=0.0)


def _rollout(weights: Sequence[np.ndarray], kind: str, tokens: Tokens | None) -> np.ndarray | None:
    """(L, N): rollout after each layer, the row of the class token or the mean over those of the patches."""
    if kind != "global" or tokens is None or not weights:
        return None
    return measure.reader(measure.rollout([layer[None] for layer in weights])[:, 0], tokens)


def _object_found(one: Picture, weights: Sequence[np.ndarray], tokens: Tokens) -> Score | None:
    if one.mask is None:
        return None
    row = _rollout(weights, "global", tokens)
    assert row is not None
    return score(row[-1, tokens.prefix :].reshape(tokens.grid), one.mask)


def _side_by_side(layers: Sequence[np.ndarray], fill: float = np.nan) -> np.ndarray:
    """Layers of (H, …) → (L, most heads, …)."""
    most = max(len(layer) for layer in layers)
    return np.stack([
        np.concatenate([layer, np.full((most - len(layer), *layer.shape[1:]), fill)]) for layer in layers
    ])  # fmt: skip


def _packed(values: np.ndarray | None) -> Document | None:
    return pack(values) if values is not None else None
