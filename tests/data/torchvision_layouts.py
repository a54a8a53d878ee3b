"""Sets laid out on the disk in the formats that torchvision reads, two grey pictures for each class and split.

Each layout writes below a root and returns the grey of the pictures by split and class: what a reader must find.
"""

from __future__ import annotations

import bz2
import json
import pickle
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

Greys = dict[tuple[str, str], int]
EACH = 2  # pictures of a class and split


def grey(label: int, split: str) -> int:
    """One that JPEG keeps apart from the others, and that no other class or split has."""
    return 20 + 40 * label + 10 * ("train", "val", "test", "").index(split)


def expected(classes: dict[int, str], *splits: str) -> Greys:
    return {(split, name): grey(label, split) for split in splits for label, name in classes.items()}


def save(file: Path, value: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (20, 18), (value,) * 3).save(file)


def labels(classes: dict[int, str]) -> Iterator[int]:
    """Each class twice, the labels taking turns."""
    yield from [label for _ in range(EACH) for label in classes]


def arrays(classes: dict[int, str], split: str, *shape: int) -> np.ndarray:
    """(N, *shape) uint8, as `labels` go."""
    values = np.array([grey(label, split) for label in labels(classes)], np.uint8)
    return np.broadcast_to(values.reshape(-1, *[1] * len(shape)), (len(values), *shape))


def mnist(root: Path, name: str, first: str, second: str) -> Greys:
    classes = {0: first, 1: second}
    raw = root / name / "raw"
    raw.mkdir(parents=True)
    for split, prefix in (("train", "train"), ("test", "t10k")):
        pixels, marks = arrays(classes, split, 28, 28), bytes(labels(classes))
        header = struct.pack(">IIII", 0x803, len(pixels), 28, 28)
        (raw / f"{prefix}-images-idx3-ubyte").write_bytes(header + pixels.tobytes())
        (raw / f"{prefix}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, len(marks)) + marks)
    return expected(classes, "train", "test")


def cifar10(root: Path) -> Greys:
    classes = {0: "airplane", 1: "automobile"}
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": ["airplane", "automobile", "bird"]}))
    for number in range(1, 6):  # five batches: the pictures are in the first and in the last
        own = {0: "airplane"} if number == 1 else {1: "automobile"} if number == 5 else {}
        batch = {"data": arrays(own, "train", 3072).reshape(-1, 3072), "labels": list(labels(own))}
        (folder / f"data_batch_{number}").write_bytes(pickle.dumps(batch))
    batch = {"data": arrays(classes, "test", 3072), "labels": list(labels(classes))}
    (folder / "test_batch").write_bytes(pickle.dumps(batch))
    return expected(classes, "train", "test")


def cifar100(root: Path) -> Greys:
    classes = {0: "apple", 2: "baby"}
    folder = root / "cifar-100-python"
    folder.mkdir(parents=True)
    (folder / "meta").write_bytes(pickle.dumps({"fine_label_names": ["apple", "aquarium_fish", "baby"]}))
    for split in ("train", "test"):
        batch = {"data": arrays(classes, split, 3072), "fine_labels": list(labels(classes))}
        (folder / split).write_bytes(pickle.dumps(batch))
    return expected(classes, "train", "test")


def usps(root: Path) -> Greys:
    classes = {0: "0", 4: "4"}
    root.mkdir(parents=True, exist_ok=True)
    for split, name in (("train", "usps.bz2"), ("test", "usps.t.bz2")):
        values = [(label, grey(label, split) / 127.5 - 1 + 1e-4) for label in labels(classes)]
        lines = [" ".join([str(label + 1), *(f"{i}:{value:.6f}" for i in range(1, 257))]) for label, value in values]
        (root / name).write_bytes(bz2.compress("\n".join([*lines, ""]).encode()))
    return expected(classes, "train", "test")


def svhn(root: Path) -> Greys:
    from scipy.io import savemat

    classes = {0: "0", 4: "4"}
    root.mkdir(parents=True, exist_ok=True)
    for split in ("train", "test"):
        pixels = arrays(classes, split, 32, 32, 3).transpose(1, 2, 3, 0)
        marks = np.array([[label or 10] for label in labels(classes)], np.uint8)  # ten stands for zero
        savemat(root / f"{split}_32x32.mat", {"X": pixels, "y": marks})
    return expected(classes, "train", "test")


def stl10(root: Path) -> Greys:
    classes = {0: "airplane", 1: "bird"}
    folder = root / "stl10_binary"
    folder.mkdir(parents=True)
    (folder / "class_names.txt").write_text("airplane\nbird\n")
    for name in ("fold_indices.txt", "unlabeled_X.bin"):
        (folder / name).touch()
    for split in ("train", "test"):
        (folder / f"{split}_X.bin").write_bytes(arrays(classes, split, 3, 96, 96).tobytes())
        (folder / f"{split}_y.bin").write_bytes(bytes(label + 1 for label in labels(classes)))
    return expected(classes, "train", "test")


def food101(root: Path) -> Greys:
    classes = {0: "apple_pie", 1: "waffles"}
    for split in ("train", "test"):
        named = {name: [f"{name}/{split}{i}" for i in range(EACH)] for name in classes.values()}
        for label, name in classes.items():
            for place in named[name]:
                save(root / "food-101/images" / f"{place}.jpg", grey(label, split))
        (root / "food-101/meta").mkdir(exist_ok=True)
        (root / f"food-101/meta/{split}.json").write_text(json.dumps(named))
    (root / "food-101/license_agreement.txt").write_text("not a picture")
    return expected(classes, "train", "test")


def flowers102(root: Path) -> Greys:
    from scipy.io import savemat

    classes = {0: "pink primrose", 2: "canterbury bells"}
    splits = {"trnid": "train", "valid": "val", "tstid": "test"}
    ids: dict[str, list[int]] = {name: [] for name in splits}
    marks: list[int] = []
    for name, split in splits.items():
        for label in labels(classes):
            marks.append(label + 1)
            ids[name].append(len(marks))
            save(root / f"flowers-102/jpg/image_{len(marks):05d}.jpg", grey(label, split))
    savemat(root / "flowers-102/imagelabels.mat", {"labels": marks})
    savemat(root / "flowers-102/setid.mat", ids)
    return expected(classes, "train", "val", "test")


def pets(root: Path) -> Greys:
    classes = {0: "Abyssinian", 1: "American Bulldog"}
    for split, file in (("train", "trainval"), ("test", "test")):
        lines = []
        for number, label in enumerate(labels(classes)):
            name = f"{classes[label].replace(' ', '_')}_{split}{number}"
            save(root / "oxford-iiit-pet/images" / f"{name}.jpg", grey(label, split))
            lines.append(f"{name} {label + 1} 1 1\n")
        (root / "oxford-iiit-pet/annotations").mkdir(exist_ok=True)
        (root / f"oxford-iiit-pet/annotations/{file}.txt").write_text("".join(lines))
    return expected(classes, "train", "test")


def dtd(root: Path) -> Greys:
    classes = {0: "banded", 1: "zigzagged"}
    for split in ("train", "val", "test"):
        lines = []
        for number, label in enumerate(labels(classes)):
            lines.append(f"{classes[label]}/{split}_{number}.jpg")
            save(root / "dtd/dtd/images" / lines[-1], grey(label, split))
        (root / "dtd/dtd/labels").mkdir(exist_ok=True)
        (root / f"dtd/dtd/labels/{split}1.txt").write_text("\n".join(lines))
    return expected(classes, "train", "val", "test")


def gtsrb(root: Path) -> Greys:
    classes = {0: "00", 2: "02"}
    rows = ["Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId"]
    (root / "gtsrb/GTSRB/Training/00001").mkdir(parents=True)  # torchvision numbers the folders that are there
    save(root / "gtsrb/GTSRB/Training/00001/empty.ppm", grey(1, "train"))
    for number, label in enumerate(labels(classes)):
        save(root / f"gtsrb/GTSRB/Training/{label:05d}/{number}.ppm", grey(label, "train"))
        save(root / f"gtsrb/GTSRB/Final_Test/Images/{number:05d}.ppm", grey(label, "test"))
        rows.append(f"{number:05d}.ppm;20;18;1;1;9;9;{label}")
    (root / "gtsrb/GT-final_test.csv").write_text("\n".join(rows))
    return expected(classes, "train", "test") | {("train", "01"): grey(1, "train")}


def aircraft(root: Path) -> Greys:
    classes = {0: "707-320", 1: "BAE 146-200"}
    data = root / "fgvc-aircraft-2013b/data"
    data.mkdir(parents=True)
    (data / "variants.txt").write_text("\n".join(classes.values()))
    for split in ("train", "val", "test"):
        lines = []
        for number, label in enumerate(labels(classes)):
            save(data / f"images/{split}{number}.jpg", grey(label, split))
            lines.append(f"{split}{number} {classes[label]}\n")
        (data / f"images_variant_{split}.txt").write_text("".join(lines))
    return expected(classes, "train", "val", "test")


def caltech(root: Path, number: str, first: str, second: str, file: Callable[[int, int], str]) -> Greys:
    classes = {0: first, 1: second}
    folder = root / f"caltech{number}" / f"{number}_ObjectCategories"
    for label, name in classes.items():
        for i in range(EACH):
            save(folder / name / file(label, i + 1), grey(label, ""))
    if number == "101":
        save(folder / "BACKGROUND_Google/image_0001.jpg", 255)
    return expected(classes, "")


def caltech101(root: Path) -> Greys:
    return caltech(root, "101", "accordion", "zebra", lambda label, i: f"image_{i:04d}.jpg")


def caltech256(root: Path) -> Greys:
    return caltech(root, "256", "001.ak47", "002.flag", lambda label, i: f"{label + 1:03d}_{i:04d}.jpg")


def folders(root: Path, classes: dict[int, str], splits: dict[str, str], ending: str) -> Greys:
    for split, folder in splits.items():
        for number, label in enumerate(labels(classes)):
            save(root / folder / classes[label] / f"{number}{ending}", grey(label, split))
    return expected(classes, *splits)


def eurosat(root: Path) -> Greys:
    return folders(root / "eurosat/2750", {0: "AnnualCrop", 1: "Forest"}, {"": "."}, ".jpg")


def country211(root: Path) -> Greys:
    splits = {"train": "train", "val": "valid", "test": "test"}
    return folders(root / "country211", {0: "AD", 1: "ZW"}, splits, ".jpg")


def sst2(root: Path) -> Greys:
    splits = {"train": "train", "val": "valid", "test": "test"}
    return folders(root / "rendered-sst2", {0: "negative", 1: "positive"}, splits, ".png")


def imagenette(root: Path) -> Greys:
    ids = {0: "n01440764", 1: "n02102040"}
    folders(root / "imagenette2", ids, {"train": "train", "val": "val"}, ".JPEG")
    return expected({0: "tench", 1: "English springer"}, "train", "val")


LAYOUTS: dict[str, Callable[[Path], Greys]] = {
    "CIFAR10": cifar10,
    "CIFAR100": cifar100,
    "Caltech101": caltech101,
    "Caltech256": caltech256,
    "Country211": country211,
    "DTD": dtd,
    "EuroSAT": eurosat,
    "FGVCAircraft": aircraft,
    "FashionMNIST": lambda root: mnist(root, "FashionMNIST", "T-shirt/top", "Trouser"),
    "Flowers102": flowers102,
    "Food101": food101,
    "GTSRB": gtsrb,
    "Imagenette": imagenette,
    "KMNIST": lambda root: mnist(root, "KMNIST", "o", "ki"),
    "MNIST": lambda root: mnist(root, "MNIST", "0 - zero", "1 - one"),
    "OxfordIIITPet": pets,
    "RenderedSST2": sst2,
    "STL10": stl10,
    "SVHN": svhn,
    "USPS": usps,
}
