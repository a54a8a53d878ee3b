"""What would break training, found before it starts; and what is wrong with the files, found by decoding them all."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import pyarrow.compute as pc

from vitscope.data.manifest import Manifest
from vitscope.data.sources.names import extension
from vitscope.errors import BadImage, RequestError
from vitscope.text import count, some

UNEVEN = 20  # largest class over smallest from which it is told
TINY = 10  # training images below which a class is named

Progress = Callable[[int, int], None]  # images done, of how many


# ---------------------------------------------------------------------------------------------- before training


def check_trainable(manifest: Manifest) -> tuple[Manifest, list[str]]:
    """The samples that can be trained on, and what a person should know; reads no file.

    Left out, with a notice: empty files, samples that a check found bad, classes without any image. Raises
    `RequestError` where there is nothing to train on, one class only, or a class that would be evaluated untrained.
    Runs before `split.assign`: a sample without a split counts as one for training.
    """
    manifest, notices = _leave_out_bad(manifest)
    if len(manifest) == 0:
        raise RequestError(f"'{manifest.source}' holds no usable images. {' '.join(notices)}".rstrip())
    manifest, told = _leave_out_empty_classes(manifest)
    notices += told
    for_training = _by_class(manifest, ("", "train"))
    _refuse_untrained(manifest, for_training)
    if len(manifest.classes) == 1:
        raise RequestError(
            f"'{manifest.source}' holds one class only, {some(manifest.classes)}: a classifier needs at least two. "
            "Each class is a folder of its own; if the classes lie deeper, give the folder that holds them."
        )
    notices += [*_divided_groups(manifest), *_balance(manifest, for_training), *_look_alikes(manifest.classes)]
    return manifest, notices


def _leave_out_bad(manifest: Manifest) -> tuple[Manifest, list[str]]:
    empty, bad = pc.field("size_bytes") == 0, pc.field("problem").is_valid()
    notices = []
    for found, why in ((empty, "empty (0 bytes)"), (bad & ~empty, "found bad by 'vitscope data check'")):
        if paths := manifest.table.filter(found)["path"].to_pylist():
            notices.append(f"{count(len(paths), 'image file')} of {len(manifest):,} left out, {why}: {some(paths)}.")
    return replace(manifest, table=manifest.table.filter(~(empty | bad))), notices


def _leave_out_empty_classes(manifest: Manifest) -> tuple[Manifest, list[str]]:
    kept = [name for name, n in manifest.counts().items() if n]
    missing = [name for name in manifest.classes if name not in set(kept)]
    if not missing:
        return manifest, []
    new_label = {manifest.classes.index(name): label for label, name in enumerate(kept)}
    labels = [new_label[label] for label in manifest.table["label"].to_pylist()]
    notice = f"{count(len(missing), 'class', 'classes')} without any image left out: {some(missing, 10)}."
    return replace(manifest, classes=tuple(kept)).with_column("label", labels), [notice]


def _by_class(manifest: Manifest, splits: tuple[str, ...]) -> Counter[str]:
    rows = manifest.table.filter(pc.field("split").isin(splits))
    return Counter(manifest.classes[label] for label in rows["label"].to_pylist())


def _refuse_untrained(manifest: Manifest, for_training: Counter[str]) -> None:
    if not for_training:
        raise RequestError(
            f"'{manifest.source}' holds no training images: all {len(manifest):,} are for validation or test."
        )
    if untrained := [name for name in manifest.classes if not for_training[name]]:
        held_out = _by_class(manifest, ("val", "test"))
        named = ", ".join(f"{some([name])} ({held_out[name]:,})" for name in untrained[:10])
        raise RequestError(
            f"{count(len(untrained), 'class', 'classes')} of '{manifest.source}' would be evaluated but never trained, "
            f"with images in validation or test and none in training: {named}{' …' if len(untrained) > 10 else ''}. "
            "Add training images of the same class name (upper and lower case count), or take these out of validation "
            "and test."
        )


def _divided_groups(manifest: Manifest) -> list[str]:
    """A leak that only the groups show: the same patient in training and in test."""
    rows = manifest.table.filter(pc.field("group").is_valid()).select(["group", "split"])
    splits_of: dict[str, set[str]] = defaultdict(set)
    for group, split in zip(*(rows[c].to_pylist() for c in ("group", "split")), strict=True):
        splits_of[group].add(split or "train")
    divided = {group: splits for group, splits in splits_of.items() if len(splits) > 1}
    if not divided:
        return []
    examples = [f"{some([group])} in {' and '.join(sorted(splits))}" for group, splits in list(divided.items())[:3]]
    more = f" and {len(divided) - 3:,} more" if len(divided) > 3 else ""
    return [
        f"{count(len(divided), 'group')} of {len(splits_of):,} in more than one split ({', '.join(examples)}{more}): "
        "what is measured says little of groups that were never seen. Give each group one split, or leave the splits "
        "out to have whole groups held out."
    ]


def _balance(manifest: Manifest, for_training: Counter[str]) -> list[str]:
    notices = []
    (largest, most), (smallest, fewest) = for_training.most_common()[0], for_training.most_common()[-1]
    if most >= UNEVEN * fewest:
        notices.append(
            f"The classes are uneven: {some([largest])} has {count(most, 'training image')}, {some([smallest])} "
            f"{fewest:,}. Accuracy over all will say little of the small ones: look at the results by class, and add "
            "images to those if you can. --sampling balanced or --class-weights balanced gives them more weight."
        )
    if tiny := [name for name in manifest.classes if for_training[name] < TINY]:
        have = count(len(tiny), "class has", "classes have")
        notices.append(f"{have} fewer than {TINY} training images: {some(tiny, 10)}.")
    for split in ("val", "test"):
        held_out = _by_class(manifest, (split,))
        if held_out and (without := [name for name in manifest.classes if not held_out[name]]):
            notices.append(f"{count(len(without), 'class has', 'classes have')} no {split} image: {some(without, 10)}.")
    return notices


def _look_alikes(classes: tuple[str, ...]) -> list[str]:
    alike: dict[str, list[str]] = defaultdict(list)
    for name in classes:
        alike[name.casefold().strip()].append(name)
    return [
        f"{some(names, 10)} are {len(names)} classes whose names differ in case or blanks only: if they mean the same, "
        "merge the folders."
        for names in alike.values()
        if len(names) > 1
    ]


# ---------------------------------------------------------------------------------------------- decoding all


class _Look(NamedTuple):
    """What decoding a file tells."""

    width: int | None
    height: int | None
    content_hash: str | None
    problem: str | None


def inspect_images(manifest: Manifest, progress: Progress | None = None) -> Manifest:
    """Decode every file, in threads; fills width, height, content_hash (of the file's bytes) and problem, in order."""
    paths = manifest.table["path"].to_pylist()
    looks: list[_Look] = []
    with warnings.catch_warnings():  # `decode` changes the filters, which threads share: put back what was there
        pool = ThreadPoolExecutor(os.cpu_count())  # decoders and hashing let go of the interpreter's lock
        try:
            for look in pool.map(_look, paths):
                looks.append(look)
                if progress is not None:
                    progress(len(looks), len(paths))
        finally:
            pool.shutdown(cancel_futures=True)  # Ctrl-C does not wait for the rest
    for column, values in zip(_Look._fields, zip(*looks, strict=True), strict=True) if looks else ():
        manifest = manifest.with_column(column, list(values))
    return manifest


def _look(path: str) -> _Look:
    from vitscope.preprocess import decode

    try:
        content = Path(path).read_bytes()
    except OSError as error:
        return _Look(None, None, None, f"not readable ({(error.strerror or str(error)).lower()})")
    content_hash = hashlib.blake2b(content, digest_size=16).hexdigest()
    try:
        height, width, _ = decode(content).shape
    except BadImage as reason:
        return _Look(None, None, content_hash, str(reason))
    return _Look(width, height, content_hash, None)


# ---------------------------------------------------------------------------------------------- what was found


@dataclass(frozen=True)
class Copy:
    """One of several files with the same content."""

    path: str
    split: str
    class_name: str


@dataclass(frozen=True)
class Copies:
    """Files with the same content."""

    files: tuple[Copy, ...]

    @property
    def is_leak(self) -> bool:
        """Whether the same picture is in more than one split."""
        return len({file.split for file in self.files}) > 1

    @property
    def is_contradiction(self) -> bool:
        """Whether the same picture is in more than one class."""
        return len({file.class_name for file in self.files}) > 1


def copies(manifest: Manifest) -> list[Copies]:
    """The files that share their content with others, of an inspected manifest; in the order of its rows."""
    by_content: dict[str, list[Copy]] = defaultdict(list)
    columns = (manifest.table[c].to_pylist() for c in ("content_hash", "problem", "path", "split", "label"))
    for content, problem, path, split, label in zip(*columns, strict=True):
        if content is not None and problem is None:
            by_content[content].append(Copy(path, split, manifest.classes[label]))
    return [Copies(tuple(files)) for files in by_content.values() if len(files) > 1]


def animated(manifest: Manifest) -> list[str]:
    """The paths of the good pictures with several frames, of which the first is used; reads no more than headers."""
    from PIL import Image

    found = []
    for path in manifest.table.filter(pc.field("problem").is_null())["path"].to_pylist():
        if extension(path) in (".gif", ".webp", ".tif", ".tiff", ".avif"):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                with Image.open(path) as picture:
                    if getattr(picture, "is_animated", False):
                        found.append(path)
    return found


@dataclass(frozen=True)
class OddSize:
    """A picture of a size that a resize makes little of."""

    path: str
    width: int
    height: int


def odd_sizes(manifest: Manifest, smallest: int = 8, longest: float = 10.0) -> list[OddSize]:
    """Pictures with a side below `smallest` pixels, or one over `longest` times the other, of an inspected manifest."""
    rows = zip(*(manifest.table[c].to_pylist() for c in ("path", "width", "height")), strict=True)
    return [
        OddSize(path, width, height)
        for path, width, height in rows
        if width is not None and (min(width, height) < smallest or max(width, height) > longest * min(width, height))
    ]
