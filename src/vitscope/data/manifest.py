"""The manifest: an Arrow table of samples. Nothing after it knows about formats.

A row is one picture. `sample_id` is a hash of (source name, split, locator within the source), never a row number, so
that what is drawn for a sample depends neither on the order of files nor on where the folder lies.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vitscope.errors import RequestError
from vitscope.storage.artifacts import flush
from vitscope.text import brief, count, some

SPLITS = ("train", "val", "test")
ID_BYTES = 8  # that each row takes at least, compressed too: ids have nothing in common
MOST_LOOKED_AT = 1000  # files, to see whether a data set is there at all
compute: Any = pc  # most of its functions are made as it is imported, unknown to a type checker

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

    path: str
    locator: str
    class_name: str
    split: str
    size_bytes: int
    mtime_ns: int
    group: str | None = None


class Sample(NamedTuple):
    """What the loader needs of a row."""

    sample_id: str
    file: str
    label: int

    @property
    def path(self) -> Path:
        return Path(self.file)


def sample_id(source: str, split: str, locator: str) -> str:
    """16 hex characters that name a sample for good."""
    return hashlib.blake2b("\0".join((source, split, locator)).encode(), digest_size=8).hexdigest()


@dataclass(frozen=True)
class Manifest:
    """The samples of a data set and its class names (label i is `classes[i]`). `source` is the set's short name.

    `kept`: the files of kept indexes that it was read from (`sources/kept.py`).
    """

    table: pa.Table
    classes: tuple[str, ...]
    source: str
    kept: tuple[Path, ...] = ()

    @classmethod
    def from_records(cls, records: Iterable[Record], classes: Iterable[str], source: str) -> Manifest:
        """Rows sorted by locator; `classes` gives the order of the labels and must name every record's class."""
        names = tuple(classes)
        label_of = {name: label for label, name in enumerate(names)}
        rows = sorted(records, key=itemgetter(Record._fields.index("split"), Record._fields.index("locator")))
        columns = dict(zip(Record._fields, zip(*rows, strict=True), strict=True)) if rows else {}
        known = (
            {
                "sample_id": [
                    sample_id(source, *place) for place in zip(columns["split"], columns["locator"], strict=True)
                ],
                "label": [label_of[name] for name in columns["class_name"]],
                **{name: columns[name] for name in ("path", "group", "split", "size_bytes", "mtime_ns")},
            }
            if rows
            else {}
        )
        table = pa.table(
            [pa.array(known[f.name], f.type) if f.name in known else pa.nulls(len(rows), f.type) for f in SCHEMA],
            schema=SCHEMA,
        )
        return cls(table, names, source)

    def __len__(self) -> int:
        return self.table.num_rows

    def sample(self, index: int) -> Sample:
        """Row `index` as the loader sees it."""
        ids, files, labels = self._seen
        return Sample(ids[index].as_py(), files[index].as_py(), int(labels[index]))

    @cached_property
    def _seen(self) -> tuple[Any, Any, np.ndarray]:
        """The columns of `sample`: asking a table for them takes ten times as long as what they hold."""
        ids, files = (
            column.chunk(0) if column.num_chunks == 1 else column
            for column in (self.table.column("sample_id"), self.table.column("path"))
        )
        return ids, files, self.table.column("label").to_numpy()

    def of_split(self, split: str) -> Manifest:
        """The rows of one split that no check has found a problem with."""
        keep = (pc.field("split") == split) & pc.field("problem").is_null()
        return replace(self, table=self.table.filter(keep).combine_chunks())

    def rows(self, start: int, number: int) -> Manifest:
        """So many rows from `start` on, fewer at the end."""
        return replace(self, table=self.table.slice(start, number))

    def with_column(self, name: str, values: Sequence[Any] | pa.Array | pa.ChunkedArray) -> Manifest:
        """The same manifest with one column replaced."""
        index = SCHEMA.get_field_index(name)
        column = values if isinstance(values, pa.ChunkedArray) else pa.array(values, SCHEMA.field(index).type)
        return replace(self, table=self.table.set_column(index, SCHEMA.field(index), column))

    def counts(self, split: str | None = None) -> dict[str, int]:
        """Samples a class, in the order of the labels; of one split or of all."""
        rows = self.table if split is None else self.of_split(split).table
        found = np.bincount(rows["label"].to_numpy(), minlength=len(self.classes))
        return {name: int(found[label]) for label, name in enumerate(self.classes)}

    @cached_property
    def fingerprint(self) -> str:
        """Hash of every sample's id, size and modification time and of the class names: changes when the data do."""
        digest = hashlib.blake2b(digest_size=16)
        digest.update("\0".join(self.classes).encode())
        columns = ("sample_id", "size_bytes", "mtime_ns")
        rows = self.table.select(columns).sort_by([(name, "ascending") for name in columns])
        texts = [rows[name].cast(pa.large_string()) for name in columns]
        for chunk in compute.binary_join_element_wise(*texts, pa.scalar(" ", pa.large_string())).chunks:
            digest.update("\n".join([*chunk.to_pylist(), ""]).encode())
        return digest.hexdigest()

    def changed(self) -> list[str]:
        """Paths whose file is gone, or has another size or modification time than when it was indexed."""
        found = []
        for path, size, time in zip(
            *(self.table[c].to_pylist() for c in ("path", "size_bytes", "mtime_ns")), strict=True
        ):
            try:
                now = os.stat(path)  # noqa: PTH116 (a Path costs three times what the question itself does)
            except OSError:
                found.append(path)
                continue
            if (now.st_size, now.st_mtime_ns) != (size, time):
                found.append(path)
        return found

    def absent(self) -> list[str]:
        """Paths at which there is no file, of `looked_at` rows."""
        return [path for path in self.table["path"].to_pylist()[:: self._stride] if not os.path.exists(path)]  # noqa: PTH110

    @property
    def looked_at(self) -> int:
        """Rows that `absent` asks for: all of up to a thousand, else some hundreds from all over."""
        return len(range(0, len(self), self._stride))

    @property
    def _stride(self) -> int:
        return -(-len(self) // MOST_LOOKED_AT) or 1

    def save(self, file: Path, within: Path | None = None, beside: Mapping[str, str] | None = None) -> None:
        """Write Parquet, atomically. Paths below `within` are kept relative to `file`, so that the whole may move.

        `beside` is written with it, and read by `texts_beside`.
        """
        paths = self.table["path"]
        if within is not None:
            inside, way = str(within.resolve()) + os.sep, os.path.relpath(within.resolve(), file.parent.resolve())
            rest = compute.utf8_slice_codeunits(paths, len(inside))
            below = compute.binary_join_element_wise(way, rest, os.sep)
            paths = compute.if_else(compute.starts_with(paths, inside), below, paths)
        described = {**(beside or {}), "vitscope.classes": json.dumps(self.classes), "vitscope.source": self.source}
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
            if pq.read_metadata(file).num_rows * ID_BYTES > file.stat().st_size:  # a few bytes that fill the memory
                raise ValueError("it has more rows than ids")
            table = pq.read_table(file, memory_map=True)
            described = table.schema.metadata or {}
            classes = json.loads(described[b"vitscope.classes"])
            source = described[b"vitscope.source"].decode()
            table = table.replace_schema_metadata(None).cast(SCHEMA)
            _check(table, classes)
        except FileNotFoundError:
            raise RequestError(f"{file}: no such manifest.") from None
        except (OSError, KeyError, ValueError, TypeError, RecursionError, pa.ArrowException) as error:
            raise RequestError(f"{file}: not a manifest of this program ({brief(error)}).") from None
        return cls(table, tuple(classes), source).with_column("path", _absolute(table["path"], file.parent.resolve()))


def _check(table: pa.Table, classes: Any) -> None:
    """Raise `ValueError` for rows and class names that `save` never wrote: a file may be anybody's."""
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        raise ValueError("its class names are no texts")
    if len({*classes}) < len(classes):
        raise ValueError("two of its classes have the same name")
    table.validate(full=True)
    for name in ("sample_id", "path", "label", "split", "size_bytes", "mtime_ns"):
        if table[name].null_count:
            raise ValueError(f"a cell of '{name}' is empty")
    span = compute.min_max(table["label"]).as_py() if table.num_rows else {"min": 0, "max": -1}
    if span["min"] < 0 or span["max"] >= len(classes):
        raise ValueError(f"a number in 'label' means none of its {count(len(classes), 'class', 'classes')}")
    if strange := {*compute.unique(table["split"]).to_pylist()} - {*SPLITS, ""}:
        raise ValueError(f"'split' holds {some(strange)}")


def texts_beside(file: Path) -> dict[str, str]:
    """What `Manifest.save` wrote beside a manifest. Raises OSError or `pa.ArrowException` where there is none."""
    return {name.decode(): text.decode() for name, text in (pq.read_schema(file).metadata or {}).items()}


def _absolute(paths: pa.ChunkedArray, base: Path) -> pa.ChunkedArray | list[str]:
    """Paths that are relative lead on from `base`; a million that are not cost nothing."""
    is_absolute = compute.match_substring_regex(paths, r"^([A-Za-z]:|[\\/])" if os.name == "nt" else "^/")
    if compute.all(is_absolute).as_py():
        return paths
    return [os.path.normpath(base / path) for path in paths.to_pylist()]
