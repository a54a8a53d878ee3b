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
from vitscope.inspection.probe import Probed
from vitscope.inspection.score import Score, score
from vitscope.inspection.tokens import Tokens
from vitscope.inspection.windows import Windows, received, window_distance
from vitscope.visualization.document import Document, pack
from vitscope.workflows.pictures import Picture

TOP = 5
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
    raised = np.exp(logits.astype(np.float64) - logits.max())
    shares = raised / raised.sum()
    best = np.argsort(-shares, kind="stable")[:TOP]
    return [{"label": classes[i], "probability": float(shares[i])} for i in best]


def attention(
    one: Picture, probed: Probed, tokens: Tokens | None, windows: Sequence[Windows], classes: Sequence[str]
) -> Document:
    """All layers and heads at a glance, on one picture."""
    weights = [layer[0] for layer in probed.attention]
    maps = _maps(weights, probed.kind, tokens, windows)
    told = heads_of(one, probed, tokens, windows)
    largest = maps.max(axis=(-2, -1)) if maps is not None else None
    flow = _rollout(weights, probed.kind, tokens)
    return {
        "image": picture(one),
        "prediction": prediction(probed.logits[0], classes),
        "kind": probed.kind,
        "layers": len(weights),
        "heads": [layer.shape[-3] for layer in weights],
        "tokens": tokens.count if tokens is not None else 0,
        "prefix_tokens": tokens.prefix if tokens is not None else 0,
        "grid": list(tokens.grid) if tokens is not None else [0, 0],
        "thumbnails": pack(_bytes(maps, largest)) if maps is not None and largest is not None else None,
        "thumbnail_max": pack(largest) if largest is not None else None,
        "rollout": pack(flow) if flow is not None else None,
        "rollout_reason": "" if flow is not None else probed.reason or _NO_ROLLOUT.get(probed.kind, ""),
        **{name: _packed(getattr(told, name)) for name in ("entropy", "distance", "class_share")},
        "score": scored(told.score),
    }


def scored(found: Score | None) -> Document | None:
    if found is None:
        return None
    return {"rollout_auc": found.auc, "rollout_mass": found.mass, "object_share": found.object_share}


def attention_layer(index: int, probed: Probed, windows: Sequence[Windows]) -> Document:
    """The weights of one layer on one picture, with all heads."""
    if index >= len(probed.attention):
        count = len(probed.attention)
        raise RequestError(
            f"There is no attention layer {index}: "
            + (f"there are {count}, counted from 0." if count else probed.reason)
        )
    told: Document = {
        "layer": index,
        "kind": probed.kind,
        "weights": pack(probed.attention[index][0].astype(np.float16)),
    }
    if probed.kind == "window":
        told |= {"windows": [windows[index].rows, windows[index].cols], "shift": list(windows[index].shift)}
    return told


def heads_of(one: Picture, probed: Probed, tokens: Tokens | None, windows: Sequence[Windows]) -> Heads:
    """Entropy, distance and class-token share of every head on one picture, and how well rollout finds its object."""
    weights = [layer[0] for layer in probed.attention]
    if not weights or tokens is None:
        return Heads(None, None, None)
    keys = max(layer.shape[-1] for layer in weights)
    if probed.kind == "window":
        entropies = [measure.entropy(layer).mean(axis=0) for layer in weights]
        distances = [window_distance(layer, place) for layer, place in zip(weights, windows, strict=True)]
        return Heads(_side_by_side(entropies), _side_by_side(distances), None, keys=keys)
    entropies = _side_by_side([measure.entropy(layer) for layer in weights])
    if probed.kind != "global":
        return Heads(entropies, None, None, keys=keys)
    distances = _side_by_side([measure.distance(layer, tokens) for layer in weights])
    share = _side_by_side([measure.class_share(layer, tokens) for layer in weights]) if tokens.has_class_token else None
    return Heads(entropies, distances, share, _object_found(one, weights, tokens), keys)


def heads(each: Sequence[Heads], kind: str, tokens: Tokens | None, is_complete: bool) -> Document:
    """The same over several pictures: mean and standard deviation of each head."""
    told: Document = {"count": len(each), "is_complete": is_complete}
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
    """(L, N): the class token's row of rollout after each layer, the mean over the patches' rows without one."""
    if kind != "global" or tokens is None or not weights:
        return None
    through = measure.rollout([layer[None] for layer in weights])[:, 0]
    return through[:, 0] if tokens.has_class_token else through[:, tokens.prefix :].mean(axis=1)


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


def _bytes(maps: np.ndarray, largest: np.ndarray) -> np.ndarray:
    scale = np.where(largest > 0, largest, 1.0)[..., None, None]
    return np.rint(255 * np.clip(maps / scale, 0, 1)).astype(np.uint8)


def _packed(values: np.ndarray | None) -> Document | None:
    return pack(values) if values is not None else None
