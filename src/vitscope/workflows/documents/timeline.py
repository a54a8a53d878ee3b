"""Documents about moments of a training: `timeline` and `timeline/layers`, from what was recorded while it ran."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from vitscope.errors import RequestError, closest
from vitscope.inspection.snapshots import Snapshot, Timeline
from vitscope.text import shown
from vitscope.visualization.document import Document, pack

_OF_PICTURES = ("thumbnails", "thumbnail_max", "rollout", "rollout_max", "entropy", "distance", "class_share")


def timeline(recorded: Timeline, sample_id: str, image: Document, classes: Sequence[str]) -> Document:
    """Attention and prediction on one pinned picture, at every moment.

    `reads` of a moment: whose rows its maps are, "class token" or "patches"; null without maps.
    """
    moments = []
    for moment in recorded.moments:
        order = moment.arrays["images"].tolist()
        if sample_id in order:
            moments.append(_of_picture(moment, order.index(sample_id), classes))
    if not moments and sample_id not in (one.sample_id for one in recorded.pinned):
        pinned = [f"sample:{one.sample_id}" for one in recorded.pinned]
        hint = closest(f"sample:{sample_id}", pinned)
        raise RequestError(f"The time line does not follow picture '{shown(sample_id)}'. {hint}".rstrip())
    return {"image": image, "moments": moments}


def _of_picture(moment: Snapshot, index: int, classes: Sequence[str]) -> Document:
    arrays = moment.arrays
    best = zip(arrays["top_labels"][index].tolist(), arrays["top_probabilities"][index].tolist(), strict=True)
    return {
        "step": moment.step,
        "epoch": moment.epoch,
        **{name: pack(arrays[name][index]) if name in arrays else None for name in _OF_PICTURES},
        "reads": _reads(arrays),
        "prediction": [{"label": classes[label], "probability": probability} for label, probability in best],
    }


def _reads(arrays: dict[str, np.ndarray]) -> str | None:
    if "reads" in arrays:
        return str(arrays["reads"])
    if "thumbnails" not in arrays:
        return None
    return "class token" if "class_share" in arrays else "patches"  # recorded before there was a choice


def timeline_layers(recorded: Timeline) -> Document:
    """Every fully connected layer at every moment."""
    layers = [one._asdict() | {"shape": list(one.shape)} for one in recorded.layers]
    return {"layers": layers, "moments": [_of_layers(moment) for moment in recorded.moments if "maps" in moment.arrays]}


def _of_layers(moment: Snapshot) -> Document:
    arrays: dict[str, np.ndarray] = moment.arrays
    told: dict[str, Any] = {"step": moment.step, "epoch": moment.epoch}
    for name in ("frobenius", "effective_rank", "change", "histogram", "edges", "maps"):
        told[name] = pack(arrays[name]) if name in arrays else None
    return told
