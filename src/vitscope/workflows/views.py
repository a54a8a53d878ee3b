"""`Views`: every document about the inside of one model, by its key. The dashboard and the offline page ask here."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import torch

from vitscope.errors import RequestError, unknown
from vitscope.inspection import snapshots
from vitscope.inspection.probe import Probed, attention_layers, capture, confirmed_kind
from vitscope.inspection.structure import Structure, structure
from vitscope.inspection.tokens import Tokens, tokens_if_any
from vitscope.inspection.windows import Windows, windows_of
from vitscope.models.bundle import ModelBundle
from vitscope.preprocess import ImageLike
from vitscope.storage.workspace import Workspace, as_workspace
from vitscope.text import shown
from vitscope.visualization.document import Document
from vitscope.workflows.documents import attention, layers, model, timeline
from vitscope.workflows.documents.query import Query
from vitscope.workflows.kept import Kept
from vitscope.workflows.load import Found, ModelRef, WorkspaceRef, locate
from vitscope.workflows.moments import BEST, Moments, Opened
from vitscope.workflows.pictures import UPLOADS, Choice, Picture, Pictures
from vitscope.workflows.run import Run

KEYS = (
    "overview",
    "structure",
    "layers",
    "layer/INDEX",
    "filters",
    "attention",
    "attention/LAYER",
    "heads",
    "timeline",
    "timeline/layers",
)
PROBED_BYTES = 300e6  # attention of pictures that is kept in memory
MADE_BYTES = 100e6  # of documents and pictures
MOST_HEADS = 256  # pictures of a sample
AT_ONCE = 8  # pictures in a pass, where passes are quick
PATIENCE_S = 0.8  # with `partial=1`, after which what is slow is told as far as it is known


class Views:
    """One run, or one model by path or in memory.

    `document(key, **query)` gives what the modules of `documents/` make, as plain data for `to_json`. Models of two
    moments, the attention of the last pictures and what was heavy to compute stay in memory, as far as there is room;
    a weights file or a picture that changes is read anew. `layers` and `heads` can take many seconds: `partial="1"`
    gives what is known after one, with `is_complete` false until nothing is missing, and goes on from there when it is
    asked again. Not for several threads at once.
    """

    def __init__(
        self,
        model: ModelRef,
        workspace: WorkspaceRef = None,
        *,
        images: Iterable[ImageLike] = (),
        initial: Mapping[str, torch.Tensor] | None = None,
    ):
        """`images` can be asked for by the ids of `pictures.given`. Raises `RequestError` as `vitscope.load` does."""
        self._place = as_workspace(workspace)
        found = model if isinstance(model, ModelBundle) else _locate(model, self._place)
        folder = found.run_folder if isinstance(found, Found) else None
        self._run_id = folder.name if isinstance(found, Found) and found.is_run and folder is not None else None
        self.moments = Moments(found, initial)
        self.pictures = Pictures(folder, self._place.cache_folder / UPLOADS, images)
        self._made = Kept(MADE_BYTES)
        self._probed = Kept(PROBED_BYTES)
        self._recordings: snapshots.Reader | None = None
        self._measured: dict[tuple, attention.Heads | None] = {}  # None: a picture that could not be read

    def document(self, key: str, **query: str) -> Document:
        """The document of a key.

        Raises `RequestError` for a key, option, moment, picture, layer or range that there is not, and its kind
        `NoWeights` for a run that has none yet.
        """
        name, index = _split(key)
        make, options = self._makers()[name]
        return make(Query(key, query, options), index)

    def _makers(self) -> dict[str, tuple[Callable[[Query, int], Document], tuple[str, ...]]]:
        return {
            "overview": (self._overview, ()),
            "structure": (self._structure, ()),
            "layers": (self._layers, ("at", "partial")),
            "layer/": (self._layer, ("at", "rows", "cols", "cells", "of")),
            "filters": (self._filters, ("at",)),
            "attention": (self._attention, ("at", "image")),
            "attention/": (self._attention_layer, ("at", "image", "heads", "rows")),
            "heads": (self._heads, ("at", "split", "count", "partial")),
            "timeline": (self._timeline, ("image",)),
            "timeline/layers": (self._timeline_layers, ()),
        }

    # ------------------------------------------------------------------------------------------ the model

    def _overview(self, query: Query, _: int) -> Document:
        opened = self.moments.open()
        bundle, kind = opened.bundle, self._kind(opened)
        pinned = self.pictures.to_begin_with(self._pinned())
        return model.overview(
            bundle, _tokens(bundle), kind, self._tree(bundle), self.moments.all(), pinned, self._run()
        )

    def _kind(self, opened: Opened) -> tuple[str, str]:
        """The kind of attention that its documents show, and why there is none: of a pass, with a grey picture."""

        def look() -> tuple[str, str]:
            bundle, size = opened.bundle, opened.bundle.preprocess.size
            kind, reason, keys = confirmed_kind(bundle.module, torch.zeros(1, 3, size, size))
            return (kind, reason) if kind == "none" else _placed(bundle, kind, reason, keys)

        return self._made.get(("kind", opened.key), look)

    def _structure(self, query: Query, _: int) -> Document:
        return model.structure(self._tree(self.moments.open().bundle))

    def _tree(self, bundle: ModelBundle) -> Structure:
        """The same at every moment: weights change, the structure does not."""
        size = bundle.preprocess.size
        key = ("tree", bundle.name, repr(dict(bundle.kwargs)))
        return self._made.get(key, lambda: structure(bundle.module, torch.zeros(1, 3, size, size)))

    def _filters(self, query: Query, _: int) -> Document:
        key, bundle = self._opened(query)
        return self._made.get(("filters", key), lambda: model.filters(bundle.module, _tokens(bundle)))

    def _run(self) -> Document | None:
        if self._run_id is None:
            return None
        row = self._place.find_run(self._run_id)
        return {
            "id": row.id,
            "name": row.name,
            "status": self._place.live_status(row),
            "step": row.step,
            "total_steps": row.total_steps,
        }

    # ------------------------------------------------------------------------------------------ layers

    def _layers(self, query: Query, _: int) -> Document:
        patience_s = _patience_s(query)
        key, bundle = self._opened(query)
        started = time.monotonic()
        told = self._made.get(("layers", key), lambda: layers.LayerList(bundle.module, self.moments.initial))
        return told.document(bundle.module, patience_s - (time.monotonic() - started))

    def whole_layer(self, index: int) -> Document:
        """`layer/{index}` with every weight of the matrix, however many: too much for one answer of a server."""
        return layers.whole(self.moments.open().bundle.module, index)

    def _layer(self, query: Query, index: int) -> Document:
        return layers.layer(self._opened(query).bundle.module, self.moments.initial, index, query)

    # ------------------------------------------------------------------------------------------ attention

    def _attention(self, query: Query, _: int) -> Document:
        opened = self._opened(query)
        picture = self._picture(query, opened.bundle)
        seen = self._seen(opened, picture)
        return attention.attention(picture, seen.probed, seen.tokens, seen.windows, opened.bundle.classes)

    def _attention_layer(self, query: Query, index: int) -> Document:
        opened = self._opened(query)
        seen = self._seen(opened, self._picture(query, opened.bundle))
        return attention.attention_layer(index, seen.probed, seen.windows, query)

    def _heads(self, query: Query, _: int) -> Document:
        opened = self._opened(query)
        split = query.choice("split", ("train", "val", "test"), "val")
        names = self.pictures.of_split(split, query.number("count", 32, 1, MOST_HEADS))
        is_complete = self._measure(opened, names, _patience_s(query))
        each = [found for name in names if (found := self._measured.get(self._of(opened, name))) is not None]
        if not each:
            raise RequestError(f"None of the pictures of '{split}' could be read.")
        kind, tokens = self._kind(opened)[0], _tokens(opened.bundle)
        windows = _windows(opened.bundle) if kind == "window" else []
        return attention.heads(each, kind, tokens, windows, is_complete)

    def _of(self, opened: Opened, name: str) -> tuple:
        """What tells a model's look at a picture from every other: the weights, the picture, and its file as it is."""
        return opened.key, name, self.pictures.stamp(name)

    def _measure(self, opened: Opened, names: list[str], patience_s: float) -> bool:
        """Measure the heads on each picture, and keep it; whether all are done. At least one is, whatever the time."""
        if len(self._measured) > 8 * MOST_HEADS:  # of earlier moments of a run that goes on
            self._measured.clear()
        missing = [name for name in names if self._of(opened, name) not in self._measured]
        started, at_once, is_late = time.monotonic(), 1, False
        while missing and not is_late:
            some, missing = missing[:at_once], missing[at_once:]
            before = time.monotonic()
            self._measure_together(opened, some)
            took_s = (time.monotonic() - before) / len(some)
            at_once = max(1, min(AT_ONCE, int(PATIENCE_S / 4 / took_s))) if took_s else AT_ONCE
            is_late = time.monotonic() - started > patience_s
        return not missing

    def _measure_together(self, opened: Opened, names: list[str]) -> None:
        pictures, keys = [], []
        for name in names:
            key = self._of(opened, name)  # before it is read
            try:
                pictures.append(self.pictures.find(name, opened.bundle.preprocess))
                keys.append(key)
            except RequestError:  # gone or damaged since: the number of those that count is told
                self._measured[key] = None
        if not pictures:
            return
        together = capture(opened.bundle.module, torch.cat([one.pixels for one in pictures]))
        for i, one in enumerate(pictures):
            weights = [layer[i : i + 1] for layer in together.attention]
            seen = _Seen.of(opened.bundle, together._replace(logits=together.logits[i : i + 1], attention=weights))
            self._measured[keys[i]] = attention.heads_of(one, seen.probed, seen.tokens, seen.windows)

    def _seen(self, opened: Opened, picture: Picture) -> _Seen:
        """One pass with a picture; the last ones are kept, so that its layers cost nothing more."""
        probed = self._probed.get(
            (opened.key, picture.id, picture.stamp), lambda: capture(opened.bundle.module, picture.pixels)
        )
        return _Seen.of(opened.bundle, probed)

    def _picture(self, query: Query, bundle: ModelBundle) -> Picture:
        wanted = query.text("image")
        if wanted is not None:
            return self._found(wanted, bundle)
        choices = self.pictures.to_begin_with(self._pinned())
        if not choices:
            raise RequestError(f"'{query.key}' needs a picture: give one with image=.")
        return self._first(choices, bundle)

    def _first(self, choices: Iterable[Choice], bundle: ModelBundle) -> Picture:
        """The first that can be read; raises what the first says where none can."""
        told: RequestError | None = None
        for choice in choices:
            try:
                return self._found(choice.id, bundle)
            except RequestError as error:
                told = told or error
        raise told or RequestError("There is no picture.")

    def _found(self, image_id: str, bundle: ModelBundle) -> Picture:
        """A picture, read anew where its file has changed."""
        key = ("picture", image_id, self.pictures.stamp(image_id), bundle.preprocess)
        return self._made.get(key, lambda: self.pictures.find(image_id, bundle.preprocess))

    # ------------------------------------------------------------------------------------------ time line

    def _timeline(self, query: Query, _: int) -> Document:
        bundle = self.moments.open().bundle
        wanted, pinned = query.text("image"), self._pinned()
        recorded = self._recorded()
        if not recorded.moments or not (wanted or pinned):
            raise RequestError("Nothing was recorded while this model was trained: it has no time line.")
        shown = self._found(wanted, bundle) if wanted else self._first(pinned, bundle)
        return timeline.timeline(recorded, shown.id.partition(":")[2], attention.picture(shown), bundle.classes)

    def _timeline_layers(self, query: Query, _: int) -> Document:
        return timeline.timeline_layers(self._recorded())

    def _recorded(self) -> snapshots.Timeline:
        folder = self.moments.snapshots_folder
        if folder is None:
            return snapshots.Timeline([], [], [])
        if self._recordings is None:
            self._recordings = snapshots.Reader(folder)
        return self._recordings.read()

    def _pinned(self) -> list[Choice]:
        folder = self.moments.snapshots_folder
        pinned = snapshots.read_pinned(folder)[0] if folder is not None else []
        return [Choice(f"sample:{one.sample_id}", one.label, one.split) for one in pinned]

    # ------------------------------------------------------------------------------------------ memory

    def _opened(self, query: Query) -> Opened:
        return self.moments.open(query.text("at") or BEST)


class _Seen(NamedTuple):
    """A pass with one picture, and what its tokens and windows stand for."""

    probed: Probed
    tokens: Tokens | None
    windows: list[Windows]

    @classmethod
    def of(cls, bundle: ModelBundle, probed: Probed) -> _Seen:
        tokens, counts = _tokens(bundle), {weights.shape[-1] for weights in probed.attention}
        kind, reason = _placed(bundle, probed.kind, probed.reason, sorted(counts))
        if kind == "none":
            return cls(Probed(probed.logits, [], kind, reason, {}), tokens, [])
        return cls(probed, tokens, _windows(bundle) if kind == "window" else [])


def _placed(bundle: ModelBundle, kind: str, reason: str, keys: Sequence[int]) -> tuple[str, str]:
    """The kind, if it is known where on the picture what a layer of so many keys looks at lies; else "none" and why."""
    tokens = _tokens(bundle)
    if kind in ("global", "class") and tokens is not None and set(keys) != {tokens.count}:
        return "none", f"It works on {', '.join(map(str, keys))} tokens, a picture has {tokens.count}."
    if kind == "window" and len(_windows(bundle)) != len(attention_layers(bundle.module)):
        return "none", "Where its windows lie is not known."
    return kind, reason


def _windows(bundle: ModelBundle) -> list[Windows]:
    size = bundle.preprocess.size
    return windows_of(bundle.module, (size, size))


def _patience_s(query: Query) -> float:
    return PATIENCE_S if query.choice("partial", ("0", "1"), "0") == "1" else float("inf")


def _tokens(bundle: ModelBundle) -> Tokens | None:
    return tokens_if_any(bundle.module, bundle.preprocess.size)


def _split(key: str) -> tuple[str, int]:
    """`layer/12` → ("layer/", 12)."""
    if found := re.fullmatch(r"(layer/|attention/)([0-9]{1,6})", key):
        return found[1], int(found[2])
    if key in KEYS and key.isascii() and key.lower() == key:
        return key, 0
    raise unknown("document", shown(key), KEYS)


def _locate(model: str | Path | Run, workspace: Workspace) -> Found:
    """As `locate`, but a run may be without weights yet: `Moments.open` tells it, when they are asked for."""
    if isinstance(model, Run):
        return Found(model.folder, model.folder, is_run=True)
    try:
        return locate(model, workspace)
    except RequestError:
        if Path(model).expanduser().exists() or not isinstance(model, str):
            raise
        with suppress(RequestError):
            folder = workspace.run_folder(workspace.find_run(model).id)
            return Found(folder, folder, is_run=True)
        raise
