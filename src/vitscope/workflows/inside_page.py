"""`vitscope inspect`: the inside of a model as one HTML file that opens from disk, without a network."""

from __future__ import annotations

import base64
import gzip
import html
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from vitscope.errors import RequestError
from vitscope.preprocess import ImageLike
from vitscope.storage.artifacts import write_atomically
from vitscope.text import count, size
from vitscope.visualization.document import Document, to_json
from vitscope.workflows.load import ModelRef, WorkspaceRef
from vitscope.workflows.views import Views

MARKER = "<!--documents-->"
LIMIT_BYTES = 25_000_000
RESERVED_BYTES = 100_000  # of the limit, for the list of what is left out
CELLS = 96  # a side of a weight matrix's picture, without `layers`
HEADS = 32  # pictures of the validation split that the heads are measured on


class Written(NamedTuple):
    """The file, and what a person should be told: what is left out of it."""

    path: Path
    notices: list[str]


def write_page(
    model: ModelRef,
    image: ImageLike | None,
    output: str | Path,
    *,
    template: Path,
    layers: bool = False,
    workspace: WorkspaceRef = None,
) -> Written:
    """Write the inside of a model, as it is at its best, into one file.

    `image` is for attention; without one a run's own is taken. `template` is the page without documents, as the front
    end's build makes it. The file has at most 25 MB: weight matrices are reduced to pictures, and what has no room is
    left out and named in the file and in the notices. `layers` lifts both limits: every single weight is in the file.
    Raises `RequestError` before anything is written.
    """
    target = Path(output).expanduser()
    if target.suffix.lower() not in (".html", ".htm"):
        raise RequestError(f"{target}: the page is an HTML file; give a name that ends in .html.")
    if not target.absolute().parent.is_dir():
        raise RequestError(f"{target}: there is no folder {target.absolute().parent}.")
    page = _read(template)
    views = Views(model, workspace, images=[] if image is None else [image])
    before, after = page.split(MARKER)
    room = LIMIT_BYTES - RESERVED_BYTES - len(page.encode())
    elements: list[str] = []
    left_out: list[str] = []
    for key, document in _documents(views, image is not None, layers, left_out):
        element = _element(key, document)
        if len(element) > room and not layers:
            left_out.append(f"{key}: {size(len(element))}, more than there is room for")
            continue
        elements.append(element)
        room -= len(element)
    elements.append(_element("left_out", {"items": left_out}))
    write_atomically(target, before + "\n".join(elements) + after)
    return Written(target, _notices(left_out))


def _documents(views: Views, is_given: bool, layers: bool, left_out: list[str]) -> Iterator[tuple[str, Document]]:
    """Every document for the page, the most important first; what it does without is added to `left_out`."""
    overview = views.document("overview")
    yield "overview", overview
    for key in ("structure", "layers", "filters"):
        yield key, views.document(key)
    if (attention := _attention(views, overview["pinned"], is_given, left_out)) is not None:
        yield "attention", attention
        if (heads := _heads(views)) is not None:
            yield "heads", heads
        chosen = attention["image"]["id"]
        for layer in range(attention["layers"]):
            if attention["layer_bytes"][layer] > attention["most_bytes"]:
                left_out.append(f"attention/{layer}: {size(attention['layer_bytes'][layer])} of weights")
                continue
            yield f"attention/{layer}", views.document(f"attention/{layer}", image=chosen)
    if not layers:
        left_out.append(f"single weights: matrices are pictures of at most {CELLS} × {CELLS} cells (--layers has them)")
    if len(overview["moments"]) > 1:
        left_out.append("other moments of the training and the time line: they are in the dashboard")
    for layer in views.document("layers")["layers"]:
        index = layer["index"]
        yield (
            f"layer/{index}",
            views.whole_layer(index) if layers else views.document(f"layer/{index}", cells=str(CELLS)),
        )


def _attention(views: Views, pinned: list[Document], is_given: bool, left_out: list[str]) -> Document | None:
    """On the picture that was given, or the first of the run's that can be read. Why there is none is added."""
    for choice in pinned:
        try:
            return views.document("attention", image=choice["id"])
        except RequestError as error:
            if is_given:
                raise
            left_out.append(f"attention on {choice['id']}: {error}")
    left_out.append("attention: no picture was given (--image)" + (", none of its own can be read" if pinned else ""))
    return None


def _heads(views: Views) -> Document | None:
    """Where the images of the model's run are at hand."""
    for split in ("val", "test", "train"):
        try:
            return views.document("heads", split=split, count=str(HEADS))
        except RequestError:
            continue
    return None


def _element(key: str, document: Document) -> str:
    """Compressed, and base64: no name in it, however strange, can end the element or begin another."""
    data = base64.b64encode(gzip.compress(to_json(document), 6, mtime=0)).decode("ascii")
    named = html.escape(key, quote=True)
    return f'<script type="application/json" data-key="{named}" data-encoding="gzip">{data}</script>'


def _read(file: Path) -> str:
    try:
        page = file.read_text(encoding="utf-8")
    except OSError:
        raise RequestError(
            f"{file}: the front end is not built, and the page is made of it. An installed vitscope has it; in a git "
            "checkout 'make setup' (or 'pip install .') builds it."
        ) from None
    if page.count(MARKER) != 1:
        raise RequestError(
            f"{file}: not a template of the page ({MARKER} must be in it once). Build the front end anew."
        )
    return page


def _notices(left_out: list[str]) -> list[str]:
    if not left_out:
        return []
    rows = [f"Left out of the page ({count(len(left_out), 'thing')}; the page lists them too):"]
    return ["\n".join(rows + [f"  {item}" for item in left_out])]
