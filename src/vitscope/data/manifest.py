"""The manifest: an Arrow table of samples. Nothing after it knows about formats.

A row is one picture. `sample_id` is a hash of (source name, split, locator within the source), never a row number, so
that what is drawn for a sample depends neither on the order of files nor on where the folder lies.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vitscope.errors import RequestError
from vitscope.storage.artifacts import flush

SPLITS = ("train", "val", "test")

SCHEMA = pa.schema(
    [
        ("sample_id", pa.string()),
        ("path", pa.string()),
        ("label", pa.int32()),
        ("group", pa.string()),  # null: a group of its own
        ("split", pa.string()),  # train, val, test, or "" before `split.assign`
        ("size_bytes", pa.int64()),
        ("mtime_ns", pa.int64()),
        ("width", pa.int32()),  # null until a check or the cache has read the picture
        ("height", pa.int32()),
        ("content_hash", pa.string()),
        ("problem", pa.string()),  # why a check would leave the sample out; null: none found
    ]
)


class Record(NamedTuple):
    """One picture as a source finds it. `split` is "" where the source gives none."""

    path: Path
    locator: str
    class_name: str
    split: str
    size_bytes: int
    mtime_ns: int
    group: str | None = None


class Sample(NamedTuple):
    """What the loader needs of a row."""

    sample_id: str
    path: Path
    label: int


def sample_id(source: str, split: str, locator: str) -> str:
    """16 hex characters that name a sample for good."""
    return hashlib.blake2b("\0".join((source, split, locator)).encode(), digest_size=8).hexdigest()


@dataclass(frozen=True)
class Manifest:
    """The samples of a data set and its class names (label i is `classes[i]`). `source` is the set's short name."""

    table: pa.Table
    classes: tuple[str, ...]
    source: str

    @classmethod
    def from_records(cls, records: Iterable[Record], classes: Iterable[str], source: str) -> Manifest:
        """Rows sorted by locator; `classes` gives the order of the labels and must name every record's class."""
        names = tuple(classes)
        label_of = {name: label for label, name in enumerate(names)}
        rows = sorted(records, key=lambda r: (r.split, r.locator))
        empty: list[None] = [None] * len(rows)
        table = pa.table(
            {
                "sample_id": [sample_id(source, r.split, r.locator) for r in rows],
                "path": [str(r.path) for r in rows],
                "label": [label_of[r.class_name] for r in rows],
                "group": [r.group for r in rows],
                "split": [r.split for r in rows],
                "size_bytes": [r.size_bytes for r in rows],
                "mtime_ns": [r.mtime_ns for r in rows],
                "width": empty,
                "height": empty,
                "content_hash": empty,
                "problem": empty,
            },
            schema=SCHEMA,
        )
        return cls(table, names, source)

    def __len__(self) -> int:
        return self.table.num_rows

    def sample(self, index: int) -> Sample:
        """Row `index` as the loader sees it."""
        column = self.table.column
        return Sample(
            column("sample_id")[index].as_py(), Path(column("path")[index].as_py()), column("label")[index].as_py()
        )

    def of_split(self, split: str) -> Manifest:
        """The rows of one split that no check has found a problem with."""
        keep = (pc.field("split") == split) & pc.field("problem").is_null()
        return replace(self, table=self.table.filter(keep).combine_chunks())

    def with_column(self, name: str, values: list | pa.Array) -> Manifest:
        """The same manifest with one column replaced."""
        index = SCHEMA.get_field_index(name)
        return replace(
            self, table=self.table.set_column(index, SCHEMA.field(index), pa.array(values, SCHEMA.field(index).type))
        )

    def counts(self, split: str | None = None) -> dict[str, int]:
        """Samples a class, in the order of the labels; of one split or of all."""
        rows = self.table if split is None else self.of_split(split).table
        found = Counter(rows["label"].to_pylist())
        return {name: found.get(label, 0) for label, name in enumerate(self.classes)}

    @cached_property
    def fingerprint(self) -> str:
        """Hash of every sample's id, size and modification time and of the class names: changes when the data do."""
        digest = hashlib.blake2b(digest_size=16)
        digest.update("\0".join(self.classes).encode())
        ids, sizes, times = (self.table[c].to_pylist() for c in ("sample_id", "size_bytes", "mtime_ns"))
        for row in sorted(zip(ids, sizes, times, strict=True)):
            digest.update(f"{row[0]} {row[1]} {row[2]}\n".encode())
        return digest.hexdigest()

    def changed(self) -> list[str]:
        """Paths whose file is gone, or has another size or modification time than when it was indexed."""
        found = []
        for path, size, time in zip(
            *(self.table[c].to_pylist() for c in ("path", "size_bytes", "mtime_ns")), strict=True
        ):
            try:
                now = Path(path).stat()
            except OSError:
                found.append(path)
                continue
            if (now.st_size, now.st_mtime_ns) != (size, time):
                found.append(path)
        return found

    def save(self, file: Path, within: Path | None = None) -> None:
        """Write Parquet, atomically. Paths below `within` are kept relative to `file`, so that the whole may move."""
        paths = self.table["path"].to_pylist()
        if within is not None:
            inside = str(within.resolve()) + os.sep
            paths = [os.path.relpath(p, file.parent.resolve()) if p.startswith(inside) else p for p in paths]
        described = {"vitscope.classes": json.dumps(self.classes), "vitscope.source": self.source}
        table = self.with_column("path", paths).table.replace_schema_metadata(described)
        temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
        try:
            pq.write_table(table, temporary)
            flush(temporary)
            temporary.replace(file)
        finally:
            temporary.unlink(missing_ok=True)

    @classmethod
    def load(cls, file: Path) -> Manifest:
        """Read what `save` wrote. Raises `RequestError` when it is missing or no manifest."""
        try:
            table = pq.read_table(file, memory_map=True)
            described = table.schema.metadata or {}
            classes = tuple(json.loads(described[b"vitscope.classes"]))
            source = described[b"vitscope.source"].decode()
            table = table.replace_schema_metadata(None).cast(SCHEMA)
        except FileNotFoundError:
            raise RequestError(f"{file}: no such manifest.") from None
        except (OSError, KeyError, ValueError, pa.ArrowException) as error:
            raise RequestError(f"{file}: not a manifest of this program ({error}).") from None
        base = file.parent.resolve()
        paths = [os.path.normpath(base / p) for p in table["path"].to_pylist()]  # an absolute path stays as it is
        return cls(table, classes, source).with_column("path", paths)
