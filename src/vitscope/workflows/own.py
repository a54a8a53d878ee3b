"""A module and a map-style data set of one's own, as `vitscope.train` is given them from Python.

The module is made known to this process (models/own.py). The data set is kept: each picture is asked for once and
written into the workspace, without loss, as an imported data set. From there on it is like any other: split, checked,
cached, shown in the dashboard, and there for a resume or an evaluation in another process.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image

from vitscope.data.manifest import Manifest, Record
from vitscope.data.sources import imported
from vitscope.errors import BadImage, RequestError
from vitscope.models import own
from vitscope.preprocess import decode
from vitscope.storage.artifacts import new_folder
from vitscope.storage.workspace import Workspace
from vitscope.text import some
from vitscope.workflows.data import keep

LOOKED_AT = 64  # items of a split that tell it from others
PICTURES = "pictures"  # below the data set's folder


class Labelled(NamedTuple):
    """An item: RGB bytes (H, W, 3) and the label as the data set gives it."""

    picture: np.ndarray
    label: int | str


def adopted(options: Mapping[str, Any], workspace: Workspace) -> dict[str, Any]:
    """`train`'s options with names in the place of a module and of data sets (`data`, `val`, `test`).

    Raises `RequestError` for items that are no pictures with a label.
    """
    found = dict(options)
    if isinstance(found.get("model"), torch.nn.Module):
        found["model"] = own.register_model(found["model"])
    splits = {split: found[split] for split in ("data", "val", "test") if is_map_style(found.get(split))}
    if not splits:
        return found
    if "data" not in splits:
        raise RequestError(f"{'/'.join(splits)}: a data set from Python goes with one given as data=.")
    for split in splits:
        del found[split]
    found["source"] = kept({("train" if split == "data" else split): each for split, each in splits.items()}, workspace)
    return found


def is_map_style(value: Any) -> bool:
    """Whether a value is a map-style data set: it has a length and is asked by number."""
    is_other = isinstance(value, (str, bytes, Path, Mapping))
    return not is_other and hasattr(value, "__getitem__") and hasattr(value, "__len__")


def kept(splits: Mapping[str, Any], workspace: Workspace) -> str:
    """The name under which the data sets lie in the workspace, written there if they are not yet.

    With `train` alone the split is made as for a folder. Two that agree in kind, length, 64 items, and in all labels
    where `targets` holds them, are taken for the same.
    """
    name = _name(splits)
    if name in imported(workspace):
        return name
    names = class_names(splits["train"])
    if len(splits) == 1:
        splits = {"": splits["train"]}
    folder = workspace.datasets_folder / name / PICTURES
    shutil.rmtree(folder, ignore_errors=True)  # of an attempt that was cut short
    folder.parent.mkdir(parents=True, exist_ok=True)
    written: list[_Written] = []
    places: dict[int | str, str] = {}  # label → folder, whatever characters a name has
    with new_folder(folder, durable=False) as made:
        for split, dataset in splits.items():
            for number, item in enumerate(items(dataset)):
                place = Path(split) / places.setdefault(item.label, str(len(places)))
                (made / place).mkdir(parents=True, exist_ok=True)
                file = place / f"{number:07d}.png"
                Image.fromarray(item.picture).save(made / file, compress_level=1)
                written.append(_Written(split, item.label, file))
        classes = _classes(set(places), names)
    os.sync()  # once for all of them
    records = [_record(folder, each, classes) for each in written]
    keep(Manifest.from_records(records, classes, name), name, str(folder), workspace)
    return name


class _Written(NamedTuple):
    split: str
    label: int | str
    file: Path


def _classes(labels: Collection[int | str], names: tuple[str, ...]) -> tuple[str, ...]:
    """The class names: as the data set says, else the labels themselves. Raises `RequestError` for one that is none."""
    numbers = {x for x in labels if isinstance(x, int)}
    texts = {x for x in labels if isinstance(x, str)}
    if not labels or (numbers and texts):
        raise RequestError("The data set is empty." if not labels else "Some labels are numbers and others are names.")
    classes = names or tuple(sorted(texts) if texts else map(str, range(max(numbers) + 1)))
    if strangers := [x for x in labels if (x not in classes if isinstance(x, str) else not 0 <= x < len(classes))]:
        raise RequestError(f"A label is {strangers[0]}, where there are {len(classes)} classes ({some(classes)}).")
    return classes


def _record(folder: Path, each: _Written, classes: Sequence[str]) -> Record:
    found = (folder / each.file).stat()
    class_name = each.label if isinstance(each.label, str) else classes[each.label]
    return Record(
        str(folder / each.file), each.file.as_posix(), class_name, each.split, found.st_size, found.st_mtime_ns
    )


def _name(splits: Mapping[str, Any]) -> str:
    """A name that the same data sets get again."""
    digest = hashlib.blake2b(digest_size=4)
    for split, dataset in splits.items():
        digest.update(f"{split} {len(dataset)} {class_names(dataset)} {all_labels(dataset)}".encode())
        for number in sorted({round(i) for i in np.linspace(0, len(dataset) - 1, LOOKED_AT)} if len(dataset) else ()):
            item = labelled(dataset[number], number)
            digest.update(f"{item.label} {item.picture.shape}".encode() + item.picture.tobytes())
    kind = re.sub(r"[^A-Za-z0-9]+", "-", type(splits["train"]).__name__).strip("-").lower() or "own"
    return f"{kind[:60]}-{digest.hexdigest()}"


def all_labels(dataset: Any) -> list[Any] | None:
    """The labels as torchvision's data sets hold them, without asking for a picture; None where they are not held."""
    targets = getattr(dataset, "targets", None)
    if isinstance(targets, (np.ndarray, torch.Tensor)):
        targets = targets.tolist()
    return list(targets) if isinstance(targets, Sequence) and len(targets) == len(dataset) else None


def items(dataset: Any) -> Iterator[Labelled]:
    """Every item, by its number (a map-style data set need not end by itself)."""
    for number in range(len(dataset)):
        yield labelled(dataset[number], number)


def labelled(item: Any, number: int) -> Labelled:
    """An item of a data set: a pair of a picture and a label. Raises `RequestError` with its number."""
    if not isinstance(item, Sequence) or len(item) < 2:
        raise RequestError(f"Item {number} of the data set is {type(item).__name__}, not a pair (picture, label).")
    picture, label = item[0], item[1]
    if isinstance(label, (np.ndarray, torch.Tensor)) and label.ndim == 0:
        label = label.item()
    if isinstance(label, bool) or not isinstance(label, (int, np.integer, str)):
        raise RequestError(f"Item {number} of the data set: its label is {label!r}, neither a number nor a name.")
    try:
        return Labelled(as_picture(picture), label if isinstance(label, str) else int(label))
    except BadImage as error:
        raise RequestError(f"Item {number} of the data set: {error}.") from None


def as_picture(value: Any) -> np.ndarray:
    """(H, W, 3) uint8 of a Pillow image, an array (H, W), (H, W, 3), or a tensor (1 or 3, H, W).

    Floats are taken for shares 0 to 1. Raises `BadImage` for anything else: normalised pictures cannot be looked at.
    """
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        value = (value.permute(1, 2, 0) if value.ndim == 3 else value).numpy()
    if isinstance(value, np.ndarray):
        if value.dtype.kind == "f":
            if not (np.isfinite(value).all() and value.min() >= 0 and value.max() <= 1):
                raise BadImage("its values go beyond 0 to 1: give pictures as they are, without normalising them")
            value = np.round(value * 255).astype(np.uint8)
        if value.ndim == 2 or (value.ndim == 3 and value.shape[2] == 1):
            value = np.repeat(value.reshape(*value.shape[:2], 1), 3, axis=2)
        value = np.ascontiguousarray(value)
    elif not isinstance(value, Image.Image):
        raise BadImage(f"{type(value).__name__} is no picture (a Pillow image, an array or a tensor is)")
    return decode(value)


def class_names(dataset: Any) -> tuple[str, ...]:
    """What the data set, or the one that it is a part of, calls its classes; () where it does not say."""
    while dataset is not None:
        found = getattr(dataset, "classes", None)
        if isinstance(found, Sequence) and not isinstance(found, str) and len(found):
            return tuple(str(name) for name in found)
        dataset = getattr(dataset, "dataset", None)
    return ()
