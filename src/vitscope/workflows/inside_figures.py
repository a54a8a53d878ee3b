"""Figures of a model's inside: attention on a picture, filters, weights, and how far heads look."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from vitscope.errors import RequestError
from vitscope.inspection import weights
from vitscope.inspection.weights import Linear
from vitscope.text import count
from vitscope.visualization import style
from vitscope.visualization.document import Document, unpack
from vitscope.workflows.views import Views

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from vitscope.storage.workspace import Workspace
    from vitscope.visualization.weights import Matrix

SAMPLE = 32  # pictures over which heads are averaged
CELLS = 48  # a side of a matrix's picture
BINS = 61  # of a histogram of weights
COLUMNS = {
    "qkv": "query, key, value",
    "proj": "projection",
    "fc1": "MLP, first",
    "fc2": "MLP, second",
}

WHOSE = {"class token": "the class token", "patches": "the mean patch", None: "the mean patch"}


def draw(
    figure: str,
    model: str,
    workspace: Workspace,
    *,
    image: str | Path | None = None,
    layer: int | None = None,
    head: int | None = None,
) -> Figure:
    """One of `FIGURES` of a run's best model, or of a model by its path.

    `image`, `layer` and `head` are the attention's: a picture instead of the run's first pinned one, and which maps.
    Raises `RequestError` for a picture, layer or head that there is not, and where the model has nothing of the kind.
    """
    views = Views(model, workspace, images=[] if image is None else [image])
    if figure == "attention":
        return _attention(views, layer, head)
    if given := [name for name, value in (("image", image), ("layer", layer), ("head", head)) if value is not None]:
        raise RequestError(f"--{given[0]} is for --figure attention; '{figure}' shows the whole model.")
    return FIGURES[figure](views)


def _attention(views: Views, layer: int | None, head: int | None) -> Figure:
    from vitscope.visualization import attention

    document = views.document("attention")
    if document["thumbnails"] is None:
        raise RequestError(f"There is no map of attention to draw. {_why(views, document['kind'])}")
    maps = unpack(document["thumbnails"]) / 255 * unpack(document["thumbnail_max"])[..., None, None]
    layers = _chosen("layer", layer, maps.shape[0])
    heads = _chosen("head", head, maps.shape[1] if layer is None else document["heads"][layer])
    rollout = None
    if document["rollout"] is not None:
        rollout = unpack(document["rollout"])[-1, document["prefix_tokens"] :].reshape(document["grid"])
    mask = document["image"]["mask"]
    return attention.figure(
        _picture(document["image"]),
        maps[np.ix_(layers, heads)],
        rollout,
        layers=layers,
        heads=heads,
        title=_title("Attention", views),
        told=_predicted(document),
        mask=None if mask is None else unpack(mask),
        whose=WHOSE[document["reads"]],
    )


def _filters(views: Views) -> Figure:
    from vitscope.visualization import filters

    document = views.document("filters")
    patch, position = document["patch"], document["position"]
    return filters.figure(
        None if patch["pixels"] is None else unpack(patch["pixels"]).astype(np.float64) - 127.5,
        None if position is None else unpack(position["similarity"]),
        title=_title("Filters and positions", views),
        told=_model(views),
        reasons=(patch["reason"], document["position_reason"]),
    )


def _weights(views: Views) -> Figure:
    from vitscope.visualization import weights as drawn

    layers = weights.linears(views.moments.open().bundle.module)
    columns = {
        name: _matrices(chosen)
        for role, name in COLUMNS.items()
        if (chosen := [layer for layer in layers if layer.role == role and layer.block is not None])
    }
    if not columns:
        raise RequestError("This model has no blocks of fully connected layers.")
    title = _title("Fully connected layers, block by block", views)
    return drawn.figure(columns, title=title, told=_model(views))


def _distances(views: Views) -> Figure:
    from vitscope.visualization import distances

    split = next((name for name in ("val", "test", "train") if _has(views, name)), "val")
    document = views.document("heads", split=split, count=str(SAMPLE))
    while not document["is_complete"]:
        document = views.document("heads", split=split, count=str(SAMPLE))
    if document["distance"] is None:
        raise RequestError(f"There are no distances of attention to draw. {_why(views, document['kind'])}")
    panels = [
        distances.Panel(
            "How far a head looks",
            "mean distance (pixels)",
            *_measured(document, "distance"),
            distances.Reference("the same everywhere", unpack(document["uniform_distance"])),
        ),
        distances.Panel(
            "How widely it looks",
            "entropy (nats)",
            *_measured(document, "entropy"),
            distances.Reference("the same everywhere", unpack(document["uniform_entropy"])),
        ),
    ]
    if document["class_share"] is not None:
        share = _measured(document, "class_share")
        panels.append(distances.Panel("How much patches look at the class token", "share (%)", *share, scale=100))
    told = f"{_model(views)}; mean over {count(document['count'], 'picture')} of '{split}'"
    return distances.figure(panels, title=_title("Attention of every head", views), told=told)


FIGURES: dict[str, Callable[..., Any]] = {
    "attention": _attention,
    "filters": _filters,
    "weights": _weights,
    "distances": _distances,
}


# ------------------------------------------------------------------------------------------------ parts


def _chosen(what: str, number: int | None, there_are: int) -> list[int]:
    if number is None:
        return list(range(there_are))
    if not 0 <= number < there_are:
        raise RequestError(f"--{what} {number}: there are {there_are}, counted from 0.")
    return [number]


def _picture(image: Document) -> np.ndarray:
    content = base64.b64decode(image["pixels"].partition(",")[2])
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def _predicted(document: Document) -> str:
    first, *others = document["prediction"]
    text = f"predicted {style.one_line(first['label'], 30)} ({100 * first['probability']:.1f} %)"
    if others:
        text += f", then {style.one_line(others[0]['label'], 30)} ({100 * others[0]['probability']:.1f} %)"
    if (label := document["image"]["label"]) is not None:
        text += f"; it is {style.one_line(label, 30)}"
    if (score := document["score"]) is not None:
        text += f"; rollout finds the object with an area under ROC of {score['rollout_auc']:.2f}"
    return text


def _title(what: str, views: Views) -> str:
    run = views.document("overview")["run"]
    return what if run is None else f"{what} · {style.one_line(run['name'])}"


def _model(views: Views) -> str:
    bundle = views.moments.open().bundle
    step = bundle.info.get("step")
    size = bundle.preprocess.size
    return f"{bundle.name} at {size} × {size} pixels" + (f", step {step:,}" if isinstance(step, int) else "")


def _why(views: Views, kind: str) -> str:
    reason = views.document("overview")["attention"]["reason"]
    if not reason and kind == "global":
        return "Which part of a picture each of its tokens stands for is not known."
    return reason or f"Its attention is of kind '{kind}'."


def _has(views: Views, split: str) -> bool:
    manifest = views.pictures.manifest
    return manifest is not None and len(manifest.of_split(split)) > 0


def _measured(document: Document, name: str) -> tuple[np.ndarray, np.ndarray]:
    return unpack(document[name]).astype(np.float64), unpack(document[f"{name}_std"]).astype(np.float64)


def _matrices(layers: Sequence[Linear]) -> list[Matrix]:
    """Layers of one kind, with common bins that hold all but a thousandth of the weights of each."""
    from vitscope.visualization.weights import Matrix

    exact = [layer.weight.double().cpu().numpy() for layer in layers]
    widest = max(float(np.quantile(np.abs(matrix), 0.999)) for matrix in exact) or 1.0
    edges = np.linspace(-widest, widest, BINS + 1)
    found = []
    for layer, matrix in zip(layers, exact, strict=True):
        height, width = matrix.shape
        shown = weights.cells(layer.weight, (0, height), (0, width), CELLS)
        counts = np.histogram(matrix, edges)[0]  # without what lies outside
        found.append(Matrix(str(layer.block), (height, width), edges, counts, shown.mean, shown.cell))
    return found
