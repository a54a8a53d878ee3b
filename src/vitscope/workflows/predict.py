"""Predict: pictures of any kind in, the most probable classes out; one bad picture does not stop the others."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from vitscope.data.sources.walk import LeftOut, folder_at, images_below
from vitscope.errors import BadImage, RequestError
from vitscope.inference.predictor import Predictor, answers
from vitscope.inspection.prediction import TOP, best
from vitscope.models.tta import TTA
from vitscope.preprocess import ImageLike
from vitscope.workflows.load import ModelRef, WorkspaceRef, open_predictor


class Candidate(NamedTuple):
    """A class and its probability, 0–1."""

    label: str
    probability: float


class Prediction(NamedTuple):
    """The answer for one image.

    `path` is None for a picture from memory. `top` holds the most probable classes, best first. For an image that could
    not be used, `label` is "", `probability` 0, `top` empty and `problem` the reason; otherwise `problem` is None.
    `tta` says whether each picture was looked at alone ("none") or with its mirror image ("flip").
    """

    path: str | None
    label: str
    probability: float
    top: list[Candidate]
    problem: str | None = None
    tta: TTA = "none"

    def to_dict(self) -> dict[str, Any]:
        """JSON values: path, label, probability, top, tta."""
        return {
            "path": self.path,
            "label": self.label,
            "probability": self.probability,
            "top": [candidate._asdict() for candidate in self.top],
            "tta": self.tta,
        }


def predict(
    model: ModelRef,
    images: ImageLike | Iterable[ImageLike],
    top: int = TOP,
    workspace: WorkspaceRef = None,
    tta: TTA = "none",
) -> list[Prediction]:
    """Classify images with a model.

    Args:
        model: a run, a path or a bundle, as `load` takes it; an ONNX export too.
        images: a path, a Pillow picture, an (H, W, 3) uint8 array, or several of them. A folder stands for the images
            in it and in the folders inside it, sorted by path.
        top: how many classes to tell for each image.
        tta: "flip" averages the probabilities of each image and its mirror image.

    Returns:
        One `Prediction` an image, in order; see there for images that could not be used.

    Raises:
        RequestError: the model cannot be opened, or there is not one image to look at.
    """
    return list(predictions(open_predictor(model, workspace, tta), collect(images), top, tta))


def predictions(
    predictor: Predictor, images: Sequence[ImageLike], top: int = TOP, tta: TTA = "none"
) -> Iterator[Prediction]:
    """The predictions one by one, as soon as they are there; `tta` is what the predictor was opened with."""
    if top < 1:
        raise RequestError(f"top: {top} classes; at least 1 must be told.")
    for image, answer in zip(images, answers(predictor, images), strict=True):
        path = str(image) if isinstance(image, (str, Path)) else None
        if isinstance(answer, BadImage):
            yield Prediction(path, "", 0.0, [], str(answer))
            continue
        yield answered(path, answer, predictor.classes, top)._replace(tta=tta)


def answered(path: str | None, shares: np.ndarray, classes: tuple[str, ...], top: int = TOP) -> Prediction:
    """The answer of (C,) probabilities."""
    told = [Candidate(classes[i], float(shares[i])) for i in best(shares, top)]
    return Prediction(path, told[0].label, told[0].probability, told)


def collect(images: ImageLike | Iterable[ImageLike], left_out: LeftOut | None = None) -> list[ImageLike]:
    """Every image that `images` stands for, folders opened; `left_out` is told what else lies in them.

    Raises `RequestError` when there is none.
    """
    given = [images] if isinstance(images, (str, Path, bytes, Image.Image, np.ndarray)) else list(images)
    found: list[ImageLike] = []
    for image in given:
        if isinstance(image, (str, Path)) and Path(image).is_dir():
            above = frozenset((s.st_dev, s.st_ino) for s in (parent.stat() for parent in Path(image).resolve().parents))
            inside = images_below(folder_at(str(image)), above, left_out or LeftOut())
            found += sorted((file.path for file in inside), key=lambda path: Path(path).parts)
        else:
            found.append(image)
    files = [image for image in found if isinstance(image, (str, Path))]
    if not found or (len(files) == len(found) and not any(os.path.lexists(file) for file in files)):
        raise RequestError(_nothing(given))
    return found


def _nothing(given: Sequence[ImageLike]) -> str:
    if not given:
        return "There are no images to look at: none was named."
    names = [str(image) for image in given if isinstance(image, (str, Path))]
    folders = [name for name in names if Path(name).is_dir()]
    if folders:
        return f"{folders[0]}: no images in this folder, nor in the folders inside it."
    more = f" (nor any of the {len(names) - 1} others)" if len(names) > 1 else ""
    return f"{names[0]}: no such file{more}."
