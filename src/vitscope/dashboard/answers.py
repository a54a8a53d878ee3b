"""What the process beside the dashboard answers: documents about models, pictures, what only torch and timm know.

That process is `python -m vitscope.dashboard.answers`.
"""

from __future__ import annotations

import io
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from PIL import Image

from vitscope.config import schema
from vitscope.dashboard.child import Answers, Content, Refusal, as_json, serve
from vitscope.data.manifest import SPLITS
from vitscope.data.sources import SOURCES, imported
from vitscope.errors import BadImage, RequestError
from vitscope.models.create import listing
from vitscope.preprocess import decode
from vitscope.storage.workspace import Workspace
from vitscope.training.recipes import RECIPES
from vitscope.visualization.document import to_json
from vitscope.workflows.inspect import Views
from vitscope.workflows.jobs import check
from vitscope.workflows.pictures import UPLOADS, Pictures
from vitscope.workflows.run import Run

KEPT = 3  # runs whose models and pictures stay in memory
MOST_UPLOADED_PIXELS = 50_000_000  # a large camera's; three bytes each, some times over while it is decoded

T = TypeVar("T")


def answers(where: dict[str, Any]) -> Answers:
    """By what is asked; `where`: the workspace's root, and the database where one was given."""
    return Answerer(Workspace(where["workspace"], where["database"])).table


class Answerer:
    def __init__(self, workspace: Workspace):
        self._workspace = workspace
        self._views: OrderedDict[str, Views] = OrderedDict()
        self._pictures: OrderedDict[str, Pictures] = OrderedDict()
        self.table: Answers = {
            "document": self.document,
            "images": self.images,
            "thumbnail": self.thumbnail,
            "upload": self.upload,
            "options": self.options,
            "check": self.check,
        }

    def document(self, request: dict[str, Any]) -> Content:
        """`run`, `key`, `query`; `threads` that may be used."""
        if torch.get_num_threads() != request["threads"]:
            torch.set_num_threads(request["threads"])
        run_id = request["run"]
        views = _kept(self._views, run_id, lambda: Views(Run(run_id, self._workspace), self._workspace))
        return Content("application/json", to_json(views.document(request["key"], **request["query"])))

    def images(self, request: dict[str, Any]) -> Content:
        """The pictures of a split of a run, `limit` from `offset` on, in an order in which classes are mixed."""
        manifest = self._pictures_of(request["run"]).manifest
        if manifest is None:
            return as_json({"total": 0, "images": [], "splits": {}})
        counts = Counter(manifest.table["split"].to_pylist())
        table = manifest.of_split(request["split"]).table
        rows = sorted(zip(table["sample_id"].to_pylist(), table["label"].to_pylist(), strict=True))  # ids are hashes
        chosen = rows[request["offset"] : request["offset"] + request["limit"]]
        images = [
            {"id": f"sample:{i}", "label": manifest.classes[label], "split": request["split"]} for i, label in chosen
        ]
        splits = {split: counts[split] for split in SPLITS}
        return as_json({"total": len(rows), "images": images, "splits": splits})

    def thumbnail(self, request: dict[str, Any]) -> Content:
        """A picture by its id, in a square of `side`, its proportions kept."""
        picture = Image.fromarray(self._pictures_of(request["run"]).pixels(request["image"]))
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
            with Image.open(file) as picture:
                pixels = picture.width * picture.height
            if pixels > MOST_UPLOADED_PIXELS:
                raise BadImage(f"{pixels / 1e6:,.0f} million pixels; {MOST_UPLOADED_PIXELS / 1e6:,.0f} million at most")
            height, width, _ = decode(file).shape
        except (OSError, Image.DecompressionBombError, BadImage) as error:
            why = error if isinstance(error, BadImage) else "not an image, or one that is too large"
            raise Refusal(422, f"This file cannot be used: {why}.") from None
        return as_json({"width": width, "height": height})

    def options(self, _: dict[str, Any]) -> Content:
        """What a new run can be made of."""
        sources = [{"name": name, "kind": "builtin", "count": None} for name in SOURCES]
        sources += [{"name": r.name, "kind": "imported", "count": r.count} for r in imported(self._workspace).values()]
        recipes = [
            {"name": name, "help": (recipe.__doc__ or "").partition("\n")[0]} for name, recipe in RECIPES.items()
        ]
        models = [{"name": model.name, "family": model.family} for model in listing()]
        return as_json({"schema": schema(), "recipes": recipes, "sources": sources, "models": models})

    def check(self, request: dict[str, Any]) -> Content:
        """Whether the names in the description of a new run are known."""
        try:
            check(request["requested"], self._workspace)
        except RequestError as error:
            raise Refusal(422, str(error)) from None
        return as_json({})

    def _pictures_of(self, run_id: str) -> Pictures:
        folder = self._workspace.run_folder(run_id)
        uploads = self._workspace.cache_folder / UPLOADS
        found = _kept(self._pictures, run_id, lambda: Pictures(folder, uploads))
        if found.manifest is None:  # a run that was just begun has none yet, and will
            self._pictures.pop(run_id)
        return found


def _kept(known: OrderedDict[str, T], run_id: str, make: Callable[[], T]) -> T:
    if run_id not in known:
        known[run_id] = make()
        while len(known) > KEPT:
            known.popitem(last=False)
    known.move_to_end(run_id)
    return known[run_id]


if __name__ == "__main__":
    serve(answers)
