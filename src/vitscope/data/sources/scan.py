"""What every source of pictures is, and what a look at one gives."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from vitscope.data.manifest import Record
from vitscope.data.sources.walk import Folder


class Scan(NamedTuple):
    """The pictures of a source as they are now. `classes` is in label order and may name some without pictures."""

    records: list[Record]
    classes: tuple[str, ...]
    notices: list[str]  # what a person should be told, a sentence each


class Walked(NamedTuple):
    """`folders`: each that was looked through; None where the same folders may hold other pictures another time."""

    scan: Scan
    folders: list[Folder] | None


class Source(Protocol):
    """Somewhere pictures come from. A new kind is one file in this package and one line in its `__init__`."""

    @property
    def name(self) -> str:
        """Short name, part of every sample's id: the same wherever the source lies."""
        ...

    @property
    def location(self) -> str:
        """The text by which `open_source` finds it again, from any working directory."""
        ...

    def scan(self) -> Scan:
        """Look at it; nothing is decoded. Raises `RequestError` where it holds no pictures or cannot be read."""
        ...
