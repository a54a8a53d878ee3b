"""A folder of class folders, with or without split folders above them.

- `flowers/rose/1.jpg`: the class is the folder's name; deeper folders inside a class belong to it.
- `flowers/train/rose/1.jpg`: train, val (or valid, validation) and test folders, in any case.
- `flowers/Dataset/rose/1.jpg`: a single folder around the class folders is entered, and told.
"""

from __future__ import annotations

import os
import unicodedata
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from vitscope.data.manifest import Record
from vitscope.data.sources.names import EXTENSIONS, is_decodable
from vitscope.data.sources.scan import Scan, Walked
from vitscope.data.sources.walk import (
    Folder,
    Identity,
    LeftOut,
    Listing,
    folder_at,
    folders_alone,
    images_below,
    list_folder,
)
from vitscope.errors import RequestError
from vitscope.text import count, shown, some

SPLIT_NAMES = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


@dataclass(frozen=True)
class FolderSource:
    """The class folders below `root`."""

    root: Path  # absolute, links resolved
    name: str

    @classmethod
    def at(cls, path: str | Path) -> FolderSource:
        """The source at `path`, named after the last folder of the path as it is written."""
        written = Path(path).expanduser().absolute()
        return cls(written.resolve(), Path(os.path.normpath(written)).name or "images")

    @property
    def location(self) -> str:
        return str(self.root)

    def scan(self) -> Scan:
        return self.walk().scan

    def walk(self) -> Walked:
        """`scan`, with the folders that were looked through. Raises as it does."""
        if not is_decodable(str(self.root)):
            raise RequestError(
                f"{shown(self.root)}: the bytes of this path are not valid text: rename what is shown as \\x…."
            )
        left_out, notices = LeftOut(), []
        base = _enter(folder_at(str(self.root)), left_out, notices)
        splits = _split_folders(base)
        parts = splits or {"": base.folder}
        if not splits:
            _tell_of_hidden_splits(base, notices)
        records: list[Record] = []
        classes: set[str] = set()
        for split, folder in parts.items():
            listing = list_folder(folder, left_out) if splits else base.listing
            if listing.images:
                _tell_of_loose_images(folder, listing, split, notices)
            for class_folder in listing.folders:
                name = unicodedata.normalize("NFC", class_folder.name)  # macOS writes accents apart, Linux does not
                classes.add(name)
                skip = len(folder.path.rstrip("/")) + 1
                for path, size, time in images_below(class_folder, base.above | {folder.identity}, left_out):
                    records.append(Record(path, path[skip:], name, split, size, time))
        notices += left_out.notices()
        if not records:
            raise _no_images(self.root, notices)
        scan = Scan(records, tuple(sorted(classes)), notices)
        return Walked(scan, left_out.folders if left_out.is_lasting else None)


class _Base(NamedTuple):
    """The folder whose folders are the classes or the splits, and the folders above it that were entered."""

    folder: Folder
    listing: Listing
    above: frozenset[Identity]


def _enter(folder: Folder, left_out: LeftOut, notices: list[str]) -> _Base:
    """Go through single folders that only wrap the class folders."""
    above: frozenset[Identity] = frozenset()
    while True:
        listing = list_folder(folder, left_out)
        if listing.images or len(listing.folders) != 1 or listing.folders[0].name.lower() == "train":
            return _Base(folder, listing, above | {folder.identity})
        only = listing.folders[0]
        inside = list_folder(only, LeftOut())
        above = above | {folder.identity}
        if not inside.folders or only.identity in above:
            return _Base(folder, listing, above)
        if inside.images:
            notices.append(
                f"'{shown(only.name)}' is the only folder in {shown(folder.path)} and holds images as well as folders: "
                "it is taken as one class. If its folders are the classes, move its images out."
            )
            return _Base(folder, listing, above)
        notices.append(
            f"{shown(folder.path)} holds the single folder '{shown(only.name)}': what is in that one is used."
        )
        folder = only


def _split_folders(base: _Base) -> dict[str, Folder]:
    """The split folders by split; none where the folders are classes. Raises `RequestError` where that is unclear."""
    by_split: dict[str, list[Folder]] = defaultdict(list)
    for folder in base.listing.folders:
        by_split[SPLIT_NAMES.get(folder.name.lower(), "")].append(folder)
    strangers = by_split.pop("", [])
    if "train" in by_split and not strangers:
        for split, folders in by_split.items():
            if len(folders) > 1:
                names = some(f.name for f in folders)
                raise RequestError(f"{shown(base.folder.path)}: {names} all mean the {split} split: keep one of them.")
        return {split: folders[0] for split, folders in by_split.items()}
    likely = [f.name for folders in by_split.values() for f in folders if folders_alone(f)]
    if likely and strangers:
        raise RequestError(
            f"{shown(base.folder.path)}: it is unclear whether {some(likely)} are splits (they hold folders, not "
            f"images) or classes, since {some(f.name for f in strangers)} lies beside them. Folders named train, val "
            "and test are splits when no other folder lies beside them: move the rest away, or give each split by "
            "itself (--val, --test)."
        )
    if likely:
        raise RequestError(
            f"{shown(base.folder.path)}: holds {some(likely)} but no train folder. Rename the one with the training "
            "images to 'train', or give one of them by itself."
        )
    return {}


def _tell_of_hidden_splits(base: _Base, notices: list[str]) -> None:
    """`Training/` and `Testing/` with the same folders inside would silently become two classes."""
    inside = [folders_alone(folder) for folder in base.listing.folders]
    if len(inside) > 1 and all(inside) and len(same := frozenset.intersection(*inside)) > 1:
        notices.append(
            f"{some(f.name for f in base.listing.folders)} hold the same folders ({some(sorted(same))}) and are taken "
            "as the classes. If they are splits, rename them train, val and test."
        )


def _tell_of_loose_images(folder: Folder, listing: Listing, split: str, notices: list[str]) -> None:
    found = count(len(listing.images), "image")
    if listing.folders:
        notices.append(
            f"{found} directly in {shown(folder.path)} left out, in no class folder "
            f"({some(Path(i.path).name for i in listing.images)})."
        )
    elif split in ("val", "test"):
        notices.append(f"{shown(folder.path)} holds {found} in no class folder, hence without labels: it is not used.")
    else:
        raise RequestError(
            f"{shown(folder.path)}: {found} and no class folders. The class of an image is the name of the folder it "
            f"lies in: make a folder a class, such as {shown(folder.path)}/cat/1.jpg."
        )


def _no_images(root: Path, notices: list[str]) -> RequestError:
    text = f"{shown(root)}: no images in it ({', '.join(sorted(EXTENSIONS))}; in one folder a class)."
    return RequestError(" ".join([text, *notices]))
