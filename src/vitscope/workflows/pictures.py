"""Pictures to look at a model with: of its run's data, uploaded, or given from Python, each under an id.

`sample:<sample id>` is a picture of the run's manifest, `upload:<sha256>` a file of that sum in the workspace's uploads
or one that was given. Nothing else is an id: no path ever comes out of one.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from vitscope.data.manifest import SPLITS, Manifest
from vitscope.data.sources.shapes import mask_of
from vitscope.errors import BadImage, RequestError
from vitscope.preprocess import ImageLike, Preprocess, decode
from vitscope.text import shown
from vitscope.workflows.load import MANIFEST

UPLOADS = "uploads"
FALLBACK = 4  # pictures to begin with, where a run pinned none
_ID = re.compile(r"sample:(?P<sample>[0-9a-f]{16})|upload:(?P<upload>[0-9a-f]{64})")


class Picture(NamedTuple):
    """A picture ready to be fed."""

    id: str
    label: str | None  # its class, where it is known
    pixels: torch.Tensor  # (1, 3, S, S) float32, normalised
    shown: np.ndarray  # (S, S, 3) uint8: the same before normalisation
    mask: np.ndarray | None  # (S, S) uint8, 255 where the object is; None where it is not known
    stamp: tuple[int, ...] = ()  # as `Pictures.stamp` was before it was read


class Choice(NamedTuple):
    """A picture that can be chosen."""

    id: str
    label: str | None
    split: str


class Pictures:
    """`run_folder` holds the manifest; None for a model that is of no run."""

    def __init__(self, run_folder: Path | None, uploads: Path, given: Iterable[ImageLike] = ()):
        self._file = run_folder / MANIFEST if run_folder is not None else None
        self._uploads = uploads
        self._given = {upload_id(image): image for image in given}

    @property
    def given(self) -> list[str]:
        """Ids of the pictures that were given, in order."""
        return list(self._given)

    @cached_property
    def manifest(self) -> Manifest | None:
        return Manifest.load(self._file) if self._file is not None and self._file.is_file() else None

    @cached_property
    def _rows(self) -> dict[str, int]:
        return (
            {name: row for row, name in enumerate(self.manifest.table["sample_id"].to_pylist())}
            if self.manifest
            else {}
        )

    def find(self, image_id: str, preprocess: Preprocess) -> Picture:
        """The picture of an id, prepared. Raises `RequestError` for what is no id, or whose file cannot be used."""
        stamp = self.stamp(image_id)
        source, label = self._source(image_id)
        mask = mask_of(source) if isinstance(source, Path) else None
        return prepare(image_id, label, self.pixels(image_id), preprocess, mask)._replace(stamp=stamp)

    def pixels(self, image_id: str) -> np.ndarray:
        """The picture of an id as it lies there, (H, W, 3) uint8. Raises `RequestError` as `find`."""
        source, _ = self._source(image_id)
        try:
            return decode(source)
        except BadImage as error:
            is_of_run = isinstance(source, (str, Path)) and image_id.startswith("sample:")
            raise RequestError(f"{shown(source) if is_of_run else 'The picture'}: {error}.") from None

    def file_of(self, image_id: str) -> Path | None:
        """Where the picture of an id lies; None for one that is no file. Raises `RequestError` as `find`."""
        source, _ = self._source(image_id)
        return Path(source).expanduser() if isinstance(source, (str, Path)) else None

    def stamp(self, image_id: str) -> tuple[int, ...]:
        """Time and size of a picture's file, and of its mask's: what is known of it holds as long as these stay."""
        try:
            source, _ = self._source(image_id)
        except RequestError:
            return ()
        files = [Path(source)] if isinstance(source, (str, Path)) else []
        if files and (mask := mask_of(files[0])) is not None:
            files.append(mask)
        found: list[int] = []
        for file in files:
            try:
                told = file.stat()
            except OSError:
                continue
            found += (told.st_mtime_ns, told.st_size)
        return tuple(found)

    def _source(self, image_id: str) -> tuple[ImageLike, str | None]:
        found = _ID.fullmatch(image_id)
        if found is None:
            raise RequestError(f"'{shown(image_id)}' names no picture: an id is sample:… or upload:….")
        if image_id in self._given:
            return self._given[image_id], None
        if found["upload"]:
            file = self._uploads / found["upload"]
            if not file.is_file():
                raise RequestError("That picture is no longer among the uploads. Choose it again.")
            return file, None
        row = self._rows.get(found["sample"])
        if row is None or self.manifest is None:
            raise RequestError(f"'{image_id}' is not among the pictures of this run.")
        sample = self.manifest.sample(row)
        return sample.path, self.manifest.classes[sample.label] if sample.label is not None else None

    def of_split(self, split: str, count: int) -> list[str]:
        """Ids of up to `count` usable pictures of a split: those with the smallest sample ids, which are hashes."""
        if self.manifest is None:
            raise RequestError("This model is of no run: there are no pictures to measure its heads on.")
        names = sorted(self.manifest.of_split(split).table["sample_id"].to_pylist())
        if not names:
            raise RequestError(f"The run has no pictures in '{split}'.")
        return [f"sample:{name}" for name in names[:count]]

    def to_begin_with(self, pinned: Iterable[Choice]) -> list[Choice]:
        """The given ones, then the pinned ones; without either a few that the model was not trained on."""
        chosen = [Choice(name, None, "") for name in self._given] + list(pinned)
        if chosen or self.manifest is None:
            return chosen
        for split in ("val", "test", *SPLITS):
            part = self.manifest.of_split(split)
            if len(part):
                names, labels = part.table["sample_id"].to_pylist(), part.table["label"].to_pylist()
                pairs = sorted(zip(names, labels, strict=True))[:FALLBACK]
                return [Choice(f"sample:{name}", self.manifest.classes[label], split) for name, label in pairs]
        return []


def prepare(
    image_id: str, label: str | None, pixels: np.ndarray, preprocess: Preprocess, mask_file: Path | None = None
) -> Picture:
    """(H, W, 3) uint8 → the picture as fed, and as shown; the mask goes the same way."""
    plain = replace(preprocess, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    fed = preprocess(pixels)[None]
    seen = _bytes(plain(pixels))
    mask = None
    if mask_file is not None:
        with Image.open(mask_file) as drawn:
            mask = np.where(_bytes(plain(np.asarray(drawn.convert("RGB"))))[..., 0] > 127, 255, 0).astype(np.uint8)
    return Picture(image_id, label, fed, seen, mask)


def _bytes(values: torch.Tensor) -> np.ndarray:
    """(3, S, S) in 0–1, a little beyond where the filter overshoots → (S, S, 3) uint8."""
    return (values.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy()


def upload_id(image: ImageLike) -> str:
    """The id of a given picture: the sum of its file, or of its pixels. Raises `RequestError` for a missing file."""
    if isinstance(image, (str, Path)):
        try:
            content = Path(image).expanduser().read_bytes()
        except OSError as error:
            raise RequestError(f"{image}: not readable ({error.strerror}).") from None
    else:
        content = image if isinstance(image, bytes) else decode(image).tobytes()
    return f"upload:{hashlib.sha256(content).hexdigest()}"
