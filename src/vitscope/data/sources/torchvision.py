"""`torchvision:NAME`: a set of torchvision's, downloaded and checked by torchvision, its pictures kept as files.

Pictures of arrays are written as PNG; those that lie on the disk are used as they are, and what else was downloaded is
removed. All of it happens in a new folder, which counts when it is whole. What was brought by hand is used first.
"""

from __future__ import annotations

import errno
import os
import shutil
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitscope.data.sources.listed import Listed, ListedSource, write_list
from vitscope.data.sources.made import MadeSource, Opened, gone, made_again, make, reason_of, told
from vitscope.data.sources.torchvision_sets import SETS, class_names, opened
from vitscope.errors import RequestError, unknown
from vitscope.text import shown

if TYPE_CHECKING:
    from vitscope.data.manifest import Manifest
    from vitscope.storage.workspace import Workspace

PREFIX = "torchvision"
BY_HAND = "by-hand"
DOWNLOADED, PICTURES = "files", "pictures"
_OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR)


@dataclass(frozen=True)
class TorchvisionSource(MadeSource):
    """The set of torchvision's that is called `set`."""

    set: str

    @classmethod
    def of(cls, workspace: Workspace, text: str) -> TorchvisionSource:
        """The set of this name, in any case. Raises `RequestError` with the closest and with all."""
        names = {name.lower(): name for name in SETS}
        if text.lower() not in names:
            raise unknown("set of torchvision's", shown(text), SETS, f"There are {', '.join(SETS)}.")
        return cls(workspace, names[text.lower()])

    @property
    def name(self) -> str:
        return self.set

    @property
    def location(self) -> str:
        return f"{PREFIX}:{self.set}"

    @property
    def place(self) -> Path:
        return place_in(self.workspace)

    def folder(self) -> Path:
        folder = self.place / self.set
        try:
            make(folder, self.location, self._fill)
        except OSError as error:
            raise RequestError(
                f"{self.location}: could not be written to {shown(folder)} ({reason_of(error)})."
            ) from None
        return folder

    def opened(self) -> Opened:
        folder = self.folder()
        return Opened(ListedSource(folder, self.set), told(folder))

    def _fill(self, new: Path) -> list[str]:
        files = new / DOWNLOADED
        by_hand = self.place / BY_HAND / self.set
        if by_hand.is_dir():
            shutil.copytree(by_hand, files, copy_function=_linked)
        else:
            files.mkdir()
        with self._telling(by_hand):
            splits = {split: opened(self.set, files, split) for split in SETS[self.set].splits}
            listed = [each for split, dataset in splits.items() for each in self._listed(new, split, dataset)]
            classes = class_names(self.set, next(iter(splits.values())))
            if strangers := [each.label for each in listed if not 0 <= each.label < len(classes)]:
                raise ValueError(f"a label is {strangers[0]}, where there are {len(classes)} classes")
        _keep_only(files, {new / each.place for each in listed})
        write_list(new, listed, classes)
        return []

    def _listed(self, new: Path, split: str, dataset: Any) -> Iterator[Listed]:
        """Each picture of a split, written if it is no file yet."""
        for number, (picture, label) in enumerate(SETS[self.set].items(dataset)):
            if isinstance(picture, Path):
                file = picture.resolve(strict=True)
                if not file.is_relative_to((new / DOWNLOADED).resolve()):
                    raise RequestError(f"{self.location}: it names a picture outside of it: {shown(picture)}.")
                yield Listed(file.relative_to(new.resolve()).as_posix(), int(label), split)
            else:
                place = f"{PICTURES}/{split or 'all'}/{int(label)}/{number:07d}.png"
                (new / place).parent.mkdir(parents=True, exist_ok=True)
                picture.save(new / place, compress_level=1)
                yield Listed(place, int(label), split)

    @contextmanager
    def _telling(self, by_hand: Path) -> Iterator[None]:
        """Turns whatever torchvision raises into what a person can do about it."""
        try:
            with _bars_on_terminals_alone(), _members_stay_inside():
                yield
        except RequestError:
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.errno in _OF_THE_DISK:
                raise
            raise RequestError(
                f"{self.location}: torchvision could not download it, or what was brought is not whole "
                f"({reason_of(error)}). To bring it by hand, run where there is a network: {self._by_hand()} and put "
                f"what is then in its folder {self.set} into {shown(by_hand)}. Or copy {shown(self.place / self.set)} "
                "from a workspace that has it."
            ) from None

    def _by_hand(self) -> str:
        """The command that downloads the set into a folder."""
        calls = [
            f"d.{self.set}({', '.join([repr(self.set), *(f'{k}={v!r}' for k, v in split.items()), 'download=True'])})"
            for split in SETS[self.set].splits.values()
        ]
        return f'python -c "import torchvision.datasets as d; {"; ".join(calls)}"'


def place_in(workspace: Workspace) -> Path:
    """Where a workspace keeps these sets."""
    return workspace.cache_folder.resolve() / PREFIX


def restore(manifest: Manifest, workspace: Workspace) -> list[RequestError]:
    """Make again what a manifest needs and was discarded, if it can be had; else why not."""
    names = gone(manifest, place_in(workspace)) & SETS.keys()
    return made_again(TorchvisionSource(workspace, name) for name in names)


def _linked(source: str, target: str) -> None:
    """The same file at another place, without a copy where the disk can."""
    try:
        os.link(Path(source).resolve(), target)
    except OSError:
        shutil.copy2(source, target)


def _keep_only(folder: Path, files: set[Path]) -> None:
    for below, folders, names in os.walk(folder, topdown=False):
        for name in names:
            if (file := Path(below, name)) not in files:
                file.unlink()
        for name in folders:
            path = Path(below, name)
            if path.is_symlink():
                path.unlink()
            elif not any(path.iterdir()):
                path.rmdir()


@contextmanager
def _bars_on_terminals_alone() -> Iterator[None]:
    """What torchvision prints is no answer to what was asked: progress is shown where somebody looks."""
    with Path(os.devnull).open("w") as nowhere:
        stream = sys.stderr if sys.stderr.isatty() else nowhere
        with redirect_stdout(stream), redirect_stderr(stream):
            yield


@contextmanager
def _members_stay_inside() -> Iterator[None]:
    """Archives that torchvision unpacks meanwhile cannot lead out of their folder, whatever Python's default is."""
    before = tarfile.TarFile.__dict__.get("extraction_filter")
    tarfile.TarFile.extraction_filter = staticmethod(tarfile.data_filter)  # type: ignore[assignment]
    try:
        yield
    finally:
        tarfile.TarFile.extraction_filter = before  # type: ignore[assignment]
