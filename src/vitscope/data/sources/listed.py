"""Pictures that the workspace wrote, by the list that it wrote with them: which file is of which class and split."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from vitscope.data.manifest import Record
from vitscope.data.sources.made import MADE_NS
from vitscope.data.sources.scan import Scan
from vitscope.errors import RequestError
from vitscope.text import shown

LIST = "pictures.parquet"
CLASSES = b"vitscope.classes"


class Listed(NamedTuple):
    """A picture: its place below the folder, parts joined by '/', the number of its class, and its split, or ""."""

    place: str
    label: int
    split: str


@dataclass(frozen=True)
class ListedSource:
    """The pictures in `folder` that its list names, in the list's own order of classes."""

    folder: Path
    name: str

    @property
    def location(self) -> str:
        return str(self.folder)

    def scan(self) -> Scan:
        try:
            table = pq.read_table(self.folder / LIST)
            classes = tuple(json.loads((table.schema.metadata or {})[CLASSES]))
            rows = zip(*(table[column].to_pylist() for column in Listed._fields), strict=True)
            records = [self._record(Listed(*row), classes) for row in rows]
        except (OSError, KeyError, ValueError, IndexError, pa.ArrowException):
            raise RequestError(
                f"{shown(self.folder)}: not whole any more. Remove this folder: it is made anew."
            ) from None
        return Scan(records, classes, [])

    def _record(self, listed: Listed, classes: Sequence[str]) -> Record:
        path = os.path.join(self.folder, *listed.place.split("/"))  # noqa: PTH118 (a Path costs more)
        found = os.stat(path)  # noqa: PTH116
        return Record(path, listed.place, classes[listed.label], listed.split, found.st_size, found.st_mtime_ns)


def write_list(folder: Path, pictures: Iterable[Listed], classes: Sequence[str]) -> None:
    """Keep the list, and give each file a time made of its sum: written anew, here or elsewhere, it is the same."""
    rows = list(pictures)
    for place in {row.place for row in rows}:
        with (folder / place).open("rb") as stream:
            total = 0
            while chunk := stream.read(1 << 20):
                total = zlib.crc32(chunk, total)
        os.utime(folder / place, ns=(MADE_NS + total, MADE_NS + total))
    columns = dict(zip(Listed._fields, zip(*rows, strict=True), strict=True))
    table = pa.table(
        {"place": columns["place"], "label": pa.array(columns["label"], pa.int32()), "split": columns["split"]}
    )
    pq.write_table(table.replace_schema_metadata({CLASSES: json.dumps(list(classes))}), folder / LIST)
