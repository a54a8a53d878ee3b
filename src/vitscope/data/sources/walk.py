"""Looking through folders: what is an image by its name, what is left out, and what must be told about it."""

from __future__ import annotations

import errno
import os
import stat
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from vitscope.data.sources.names import EXTENSIONS, OPTIONAL, extension, is_decodable, is_ignored
from vitscope.errors import RequestError
from vitscope.text import count, shown, some

Identity = tuple[int, int]  # device and inode: what two paths to one folder have in common


class File(NamedTuple):
    """An image by its name."""

    path: str
    size_bytes: int
    mtime_ns: int


class Folder(NamedTuple):
    path: str
    name: str
    identity: Identity
    mtime_ns: int  # changes when something is added to it, removed from it or renamed in it


class Listing(NamedTuple):
    """The visible folders and the images of one folder, each sorted by name."""

    folders: list[Folder]
    images: list[File]


@dataclass
class LeftOut:
    """What was met and is no part of the data set: folders as such, and what is told of in `notices`."""

    folders: list[Folder] = field(default_factory=list)  # whose images and folders were looked through
    others: Counter[str] = field(default_factory=Counter)  # by extension
    unopenable: dict[str, list[str]] = field(default_factory=dict)  # by extension: formats this Pillow does not know
    undecodable: list[str] = field(default_factory=list)
    dangling: list[str] = field(default_factory=list)
    loops: list[str] = field(default_factory=list)

    @property
    def is_lasting(self) -> bool:
        """Whether the same would be left out as long as the folders stay as they are (not so a link's target)."""
        return not (self.dangling or self.unopenable)

    def notices(self) -> list[str]:
        """A sentence for each kind of thing that was left out."""
        told = [
            f"{count(len(paths), f'{ending} file')} left out, which this Pillow cannot open ({some(paths, 1)}): "
            f"{OPTIONAL[ending]}."
            for ending, paths in sorted(self.unopenable.items())
        ]
        if self.undecodable:
            told.append(
                f"{count(len(self.undecodable), 'name')} left out whose bytes are not valid text "
                f"({some(self.undecodable)}): rename them to use what they hold."
            )
        if self.dangling:
            links = count(len(self.dangling), "link")
            told.append(f"{links} left out, the target being missing ({some(self.dangling)}).")
        if self.loops:
            links = count(len(self.loops), "link")
            told.append(f"{links} back to a folder above left out ({some(self.loops)}).")
        if self.others:
            ranked = sorted(self.others.items(), key=lambda kind: (-kind[1], not kind[0], kind[0]))
            kinds = ", ".join(f"{n:,} {shown(ending) or 'without extension'}" for ending, n in ranked[:4])
            files = count(self.others.total(), "file")
            told.append(f"{files} left out, no image by name ({kinds}{' …' if len(self.others) > 4 else ''}).")
        return told


def folder_at(path: str) -> Folder:
    """The folder at `path`. Raises `RequestError` where it cannot be looked at."""
    try:
        found = Path(path).stat()
    except OSError as error:
        raise _unreadable(path, error) from None
    return Folder(path, Path(path).name, (found.st_dev, found.st_ino), found.st_mtime_ns)


def list_folder(folder: Folder, left_out: LeftOut) -> Listing:
    """What lies directly in `folder`; links are followed. Raises `RequestError` where it is not readable."""
    listing = Listing([], [])
    left_out.folders.append(folder)
    try:
        with os.scandir(folder.path) as entries:
            for entry in entries:
                _add(entry, listing, left_out)
    except OSError as error:
        raise _unreadable(folder.path, error) from None
    listing.folders.sort()
    listing.images.sort()
    return listing


def folders_alone(folder: Folder) -> frozenset[str]:
    """The names of the folders in `folder`; none as soon as an image is met, so that a class folder costs nothing."""
    names = set()
    try:
        with os.scandir(folder.path) as entries:
            for entry in entries:
                if is_ignored(entry.name):
                    continue
                if extension(entry.name) in EXTENSIONS and not entry.is_dir(follow_symlinks=False):
                    return frozenset()
                with suppress(OSError):  # a link to itself
                    if entry.is_dir():
                        names.add(entry.name)
    except OSError as error:
        raise _unreadable(folder.path, error) from None
    return frozenset(names)


def images_below(folder: Folder, above: frozenset[Identity], left_out: LeftOut) -> Iterator[File]:
    """Every image in `folder` and the folders inside it; links back to a folder `above` are left out."""
    pending = [(folder, above)]
    while pending:
        current, ancestors = pending.pop()
        if current.identity in ancestors:
            left_out.loops.append(current.path)
            continue
        listing = list_folder(current, left_out)
        yield from listing.images
        pending += [(child, ancestors | {current.identity}) for child in listing.folders]


def _add(entry: os.DirEntry[str], listing: Listing, left_out: LeftOut) -> None:
    name = entry.name
    ending = extension(name)
    try:
        if ending in EXTENSIONS and name[0] != "." and name.isascii() and entry.is_file(follow_symlinks=False):
            found = entry.stat(follow_symlinks=False)  # nearly all there is, so first
            listing.images.append(File(entry.path, found.st_size, found.st_mtime_ns))
        elif is_ignored(name):
            pass
        elif not is_decodable(name):
            left_out.undecodable.append(entry.path)
        elif entry.is_dir():
            listing.folders.append(folder_at(entry.path))
        elif ending in EXTENSIONS or (ending in OPTIONAL and _opens(ending)):
            found = entry.stat()
            if stat.S_ISREG(found.st_mode):
                listing.images.append(File(entry.path, found.st_size, found.st_mtime_ns))
            else:  # a pipe or a device would be waited for
                left_out.others[ending] += 1
        elif ending in OPTIONAL:
            left_out.unopenable.setdefault(ending, []).append(entry.path)
        else:
            if entry.is_symlink():
                entry.stat()  # fails where the target, perhaps a folder of images, is missing
            left_out.others[ending] += 1
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ELOOP):
            raise
        left_out.dangling.append(entry.path)


def _opens(ending: str) -> bool:
    from PIL import Image

    Image.init()
    return ending in Image.registered_extensions()


def _unreadable(path: str, error: OSError) -> RequestError:
    if isinstance(error, PermissionError):
        what, advice = "permission denied", " Give yourself the right to read and enter it, or move it elsewhere."
    else:
        what, advice = error.strerror or str(error), ""
    return RequestError(f"{shown(path)}: this folder is not readable ({what}).{advice}")
