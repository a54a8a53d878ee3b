"""The sets of `torchvision.datasets` that classify pictures and can be had by name: a line a set.

Left out are those that torchvision cannot fetch any more (StanfordCars), that ask for further packages (PCAM) or for a
choice (EMNIST, iNaturalist), that are fetched by hand in any case (FER2013), or whose pictures have several labels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

Item = tuple[Any, int]  # a Pillow image, or the path of a picture that lies on the disk; and the number of its class
Splits = dict[str, dict[str, Any]]  # our split → arguments of the set's class; "" where the set is not divided


class TorchvisionSet(NamedTuple):
    """`items`: the pictures of a set that was opened. `classes`: their names, where the set itself has none."""

    splits: Splits
    items: Callable[[Any], Iterator[Item]]
    classes: tuple[str, ...] = ()


def opened(name: str, root: Path, split: str) -> Any:
    """The set's split as torchvision opens it, downloaded into `root` if it is not there. Raises whatever it does."""
    from torchvision import datasets

    chosen = SETS[name]
    loads = {"loader": str} if chosen.items is _files else {}  # in the place of the picture its path
    return getattr(datasets, name)(str(root), download=True, **chosen.splits[split], **loads)


def class_names(name: str, dataset: Any) -> tuple[str, ...]:
    """The names of the classes, in the order of their numbers."""
    found = getattr(dataset, "classes", None) or getattr(dataset, "categories", None) or SETS[name].classes
    return tuple(each if isinstance(each, str) else str(each[0]) for each in found)


def _arrays(dataset: Any) -> Iterator[Item]:
    for number in range(len(dataset)):
        yield dataset[number]


def _files(dataset: Any) -> Iterator[Item]:
    for path, label in _arrays(dataset):
        yield Path(path), label


def _pets(dataset: Any) -> Iterator[Item]:
    yield from zip(dataset._images, dataset._labels, strict=True)


def _signs(dataset: Any) -> Iterator[Item]:
    for path, label in dataset._samples:
        yield Path(path), label


def _objects(dataset: Any) -> Iterator[Item]:
    for picture, label in _arrays(dataset):
        picture.close()  # only its header was read
        yield Path(picture.filename), label


def _by(argument: str, **values: Any) -> Splits:
    return {split: {argument: value} for split, value in values.items()}


_TRAIN = _by("train", train=True, test=False)
_TWO = _by("split", train="train", test="test")
_THREE = _by("split", train="train", val="val", test="test")
_DIGITS = tuple("0123456789")
_WHOLE: Splits = {"": {}}

SETS = {
    "CIFAR10": TorchvisionSet(_TRAIN, _arrays),
    "CIFAR100": TorchvisionSet(_TRAIN, _arrays),
    "Caltech101": TorchvisionSet(_WHOLE, _objects),
    "Caltech256": TorchvisionSet(_WHOLE, _objects),
    "Country211": TorchvisionSet(_by("split", train="train", val="valid", test="test"), _files),
    "DTD": TorchvisionSet(_THREE, _files),
    "EuroSAT": TorchvisionSet(_WHOLE, _files),
    "FGVCAircraft": TorchvisionSet(_THREE, _files),
    "FashionMNIST": TorchvisionSet(_TRAIN, _arrays),
    "Flowers102": TorchvisionSet(_THREE, _files),
    "Food101": TorchvisionSet(_TWO, _files),
    "GTSRB": TorchvisionSet(_TWO, _signs, tuple(f"{sign:02d}" for sign in range(43))),
    "Imagenette": TorchvisionSet(_by("split", train="train", val="val"), _files),
    "KMNIST": TorchvisionSet(_TRAIN, _arrays),
    "MNIST": TorchvisionSet(_TRAIN, _arrays),
    "OxfordIIITPet": TorchvisionSet(_by("split", train="trainval", test="test"), _pets),
    "RenderedSST2": TorchvisionSet(_THREE, _files),
    "STL10": TorchvisionSet(_TWO, _arrays),
    "SVHN": TorchvisionSet(_TWO, _arrays, _DIGITS),
    "USPS": TorchvisionSet(_TRAIN, _arrays, _DIGITS),
}
