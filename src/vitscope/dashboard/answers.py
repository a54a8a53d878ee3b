"""What the process beside the dashboard answers: documents about models, pictures, what only torch and timm know.

That process is `python -m vitscope.dashboard.answers`.
"""

from __future__ import annotations

import io
import signal
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import torch
from PIL import Image

from vitscope.dashboard.child import Answers, Content, Refusal, as_json, serve, stamp
from vitscope.data.manifest import SPLITS
from vitscope.errors import BadImage, RequestError, ViTScopeError
from vitscope.models.families import listing
from vitscope.preprocess import decode
from vitscope.storage.workspace import Workspace
from vitscope.visualization.document import to_json
from vitscope.workflows.jobs import check
from vitscope.workflows.pictures import UPLOADS, Pictures
from vitscope.workflows.run import Run
from vitscope.workflows.views import MOST_HEADS, Views

KEPT = 3  # runs whose models and pictures stay in memory
MOST_UPLOADED_PIXELS = 50_000_000  # a large camera's; three bytes each, some times over while it is decoded

T = TypeVar("T")


def answers(where: dict[str, Any]) -> Answers:
    """By what is asked; `where`: the workspace's root, and the database where one was given."""
    return Answerer(Workspace(where["workspace"], where["database"])).table


class Answerer:
    def __init__(self, workspace: Workspace):
        self._workspace = workspace
        self._views: OrderedDict[str, _Looked] = OrderedDict()
        self._pictures: OrderedDict[str, _Shown] = OrderedDict()
        self.table: Answers = {
            "document": self.document,
            "images": self.images,
            "thumbnail": self.thumbnail,
            "upload": self.upload,
            "models": self.models,
            "check": self.check,
        }

    def document(self, request: dict[str, Any]) -> Content:
        """`run`, `key`, `query`; `threads` that may be used."""
        if torch.get_num_threads() != request["threads"]:
            torch.set_num_threads(request["threads"])
        run_id, key, query = request["run"], request["key"], request["query"]

        def look() -> _Looked:
            return _Looked(Views(Run(run_id, self._workspace), self._workspace))

        looked = _kept(self._views, run_id, look)
        stamps = _stamps(looked.views, key, query)
        if any(looked.stamps.get(file, now) != now for file, now in stamps.items()):
            looked = self._views[run_id] = look()  # a picture is another by now: what was seen of it is forgotten
        looked.stamps |= stamps
        data = to_json(looked.views.document(key, **query))
        return Content("application/json", data, tuple(stamps.items()))

    def images(self, request: dict[str, Any]) -> Content:
        """The pictures of a split of a run, `limit` from `offset` on, in an order in which classes are mixed."""
        shown = self._pictures_of(request["run"])
        manifest = shown.pictures.manifest
        if manifest is None:
            return as_json({"total": 0, "images": [], "splits": {}})
        counts, rows = shown.counts, shown.rows(request["split"])
        chosen = rows[request["offset"] : request["offset"] + request["limit"]]
        images = [
            {"id": f"sample:{i}", "label": manifest.classes[label], "split": request["split"]} for i, label in chosen
        ]
        splits = {split: counts[split] for split in SPLITS}
        return as_json({"total": len(rows), "images": images, "splits": splits})

    def thumbnail(self, request: dict[str, Any]) -> Content:
        """A picture by its id, in a square of `side`, its proportions kept."""
        picture = Image.fromarray(self._pictures_of(request["run"]).pictures.pixels(request["image"]))
        side = request["side"]
        if max(picture.size) >= side:
            picture.thumbnail((side, side))
        else:  # a small one is enlarged as it is: each of its pixels can be seen
            scale = side // max(picture.size)
            picture = picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST)
        out = io.BytesIO()
        kind = "PNG" if picture.width * picture.height <= 128 * 128 else "JPEG"
        picture.save(out, kind)
        return Content(f"image/{kind.lower()}", out.getvalue())

    def upload(self, request: dict[str, Any]) -> Content:
        """Whether an uploaded file is a picture that can be used, and its size."""
        file = self._workspace.cache_folder / UPLOADS / request["sum"]
        try:
            _refuse_too_many_pixels(file)
            height, width, _ = decode(file).shape
        except BadImage as error:
            raise Refusal(422, f"This file cannot be used: {error}.") from None
        return as_json({"width": width, "height": height})

    def models(self, _: dict[str, Any]) -> Content:
        """Those that a new run can have."""
        return as_json({"models": [{"name": model.name, "family": model.family} for model in listing()]})

    def check(self, request: dict[str, Any]) -> Content:
        """Whether what a new run is described as can be trained; `limit_s`: after it nothing is said either way."""
        try:
            with _limited(request["limit_s"]):
                check(request["requested"], self._workspace)
        except _TooLong:
            return as_json({"is_checked": False})
        except ViTScopeError as error:
            raise Refusal(422, str(error)) from None
        return as_json({"is_checked": True})

    def _pictures_of(self, run_id: str) -> _Shown:
        folder = self._workspace.run_folder(run_id)
        uploads = self._workspace.cache_folder / UPLOADS
        found = _kept(self._pictures, run_id, lambda: _Shown(Pictures(folder, uploads)))
        if found.pictures.manifest is None:  # a run that was just begun has none yet, and will
            self._pictures.pop(run_id)
        return found


class _Looked:
    """A run's views, and the stamps of the pictures that they have seen."""

    def __init__(self, views: Views):
        self.views = views
        self.stamps: dict[str, str] = {}


class _Shown:
    """A run's pictures, and the order in which they are listed: made once, not for every page of them."""

    def __init__(self, pictures: Pictures):
        self.pictures = pictures
        self._rows: dict[str, list[tuple[str, int]]] = {}

    @cached_property
    def counts(self) -> Counter[str]:
        """How many each split has."""
        manifest = self.pictures.manifest
        return Counter(manifest.table["split"].to_pylist()) if manifest is not None else Counter()

    def rows(self, split: str) -> list[tuple[str, int]]:
        """Ids and labels of a split, by id: ids are hashes."""
        manifest = self.pictures.manifest
        if split not in self._rows and manifest is not None:
            table = manifest.of_split(split).table
            self._rows[split] = sorted(zip(table["sample_id"].to_pylist(), table["label"].to_pylist(), strict=True))
        return self._rows.get(split, [])


def _refuse_too_many_pixels(file: Path) -> None:
    """Raise `BadImage` before anything of it is decoded. What is no picture at all `decode` will say."""
    most = f"{MOST_UPLOADED_PIXELS / 1e6:,.0f} million"
    try:
        with Image.open(file) as picture:
            pixels = picture.width * picture.height
    except Image.DecompressionBombError:  # Pillow's own bound, far above
        raise BadImage(f"more than {most} pixels, which is the most that is taken") from None
    except Exception:
        return
    if pixels > MOST_UPLOADED_PIXELS:
        raise BadImage(f"{pixels / 1e6:,.0f} million pixels; {most} at most")


class _TooLong(Exception):
    """What was begun has taken longer than it may."""


@contextmanager
def _limited(limit_s: float) -> Iterator[None]:
    """Raise `_TooLong` in what is done inside after so long, where the system can; it is in the main thread."""

    def end(*_: object) -> None:
        raise _TooLong

    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, limit_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _stamps(views: Views, key: str, query: dict[str, str]) -> dict[str, str]:
    """The files of the pictures that a document is about, each with its stamp. What cannot be asked for has none."""
    with suppress(RequestError, ValueError):
        if key == "heads":
            ids = views.pictures.of_split(query.get("split", "val"), min(int(query.get("count", 32)), MOST_HEADS))
        elif key == "timeline" or key.partition("/")[0] == "attention":
            first = [query["image"]] if "image" in query else [c["id"] for c in views.document("overview")["pinned"]]
            ids = first[:1]
        else:
            return {}
        files = [file.resolve() for image in ids if (file := views.pictures.file_of(image)) is not None]
        return {str(file): stamp(file) for file in files}
    return {}


def _kept(known: OrderedDict[str, T], run_id: str, make: Callable[[], T]) -> T:
    if run_id not in known:
        known[run_id] = make()
        while len(known) > KEPT:
            known.popitem(last=False)
    known.move_to_end(run_id)
    return known[run_id]


if __name__ == "__main__":
    serve(answers)
