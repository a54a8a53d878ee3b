"""A table of pictures: a row a picture, with the path of its file and its class, and perhaps its split and its group.

Columns `path` and `label`, and if wanted `split` (train, val, test) and `group`: pictures of one group (a patient, a
video) are never divided over splits. Paths are relative to the table's folder. Nothing is decoded.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from vitscope.data.manifest import Record
from vitscope.data.sources.columns import Columns, columns_of
from vitscope.data.sources.folder import SPLIT_NAMES
from vitscope.data.sources.grid import Grid, header_of, read_grid, rows_told
from vitscope.data.sources.labels import labels_of, texts_of
from vitscope.data.sources.scan import Scan, Walked
from vitscope.data.sources.walk import folder_at
from vitscope.errors import RequestError, closest
from vitscope.text import count, shown, some

ENDINGS = (".csv", ".tsv", ".parquet")
SEVERAL_LABELS = 0.1  # share of files with more than one label from which the table is none of a classifier


@dataclass(frozen=True)
class TableSource:
    """The rows of `file`. `within`: the folder that none of its paths may lead out of."""

    file: Path  # absolute, the links of its folder resolved
    name: str
    within: Path | None = None

    @classmethod
    def at(cls, path: str | Path) -> TableSource:
        """The source at `path`, named after the file without its ending."""
        written = Path(os.path.normpath(Path(path).expanduser().absolute()))
        return cls(written.parent.resolve() / written.name, written.stem)

    @property
    def location(self) -> str:
        return str(self.file)

    def scan(self) -> Scan:
        return self.walk().scan

    def walk(self) -> Walked:
        """`scan`, with the folders of the files and the table itself, all of whose times tell of changes."""
        if not self.file.exists():
            raise RequestError(f"{shown(self.file)}: no such file.")
        header = header_of(self.file)
        columns = columns_of(header.names, self.file)
        places = [place for place in columns[:4] if place is not None]
        rows = self._rows(columns, read_grid(self.file, header, places))
        found = _Found()
        for row in rows.listed:
            self._look(row, found)
        notices = [f"{shown(self.file.name)}: {text}" for text in [*rows.notices, *found.notices(len(rows.listed))]]
        if not found.records:
            raise self._nothing(rows, found, notices)
        self._refuse_unclear(found)
        scan = Scan([entry.record for entry in found.records.values() if entry.labels is None], rows.classes, notices)
        if found.missing:
            return Walked(scan, None)
        return Walked(scan, [folder_at(path) for path in (*sorted(found.folders), str(self.file))])

    def _rows(self, columns: Columns, grid: Grid) -> _Rows:
        """What each row says, without those that name no file or no class. Raises `RequestError`."""
        numbers = grid.rows.tolist()

        def cell(role: str) -> str:
            return f"{shown(self.file)}: the column '{columns.name(role)}'"

        paths = texts_of(grid.columns[columns.path], cell("path")).fill_null("").to_pylist()
        labels = labels_of(grid.columns[columns.label], numbers, cell("label"))
        splits, taken = self._splits(columns, grid, cell("split") if columns.split is not None else "")
        groups: list[str | None] = [None] * len(paths)
        if columns.group is not None:
            groups = [t or None for t in texts_of(grid.columns[columns.group], cell("group")).to_pylist()]
        listed, unlabelled, unnamed = [], [], []
        for number, path, code, split, group in zip(numbers, paths, labels.codes.tolist(), splits, groups, strict=True):
            if path and code >= 0:
                listed.append(_Row(number, path, labels.classes[code], split, group))
            elif path:
                unlabelled.append(number)
            elif code >= 0:
                unnamed.append(number)
        notices = [", ".join(told) + "." for told in [taken.told()] if told] + grid.notices + labels.notices
        for left_out, what in ((unlabelled, taken.name("label")), (unnamed, taken.name("path"))):
            if left_out:
                notices.append(f"{count(len(left_out), 'row')} left out, '{what}' being blank ({rows_told(left_out)}).")
        without = [row.number for row in listed if not row.split] if any(row.split for row in listed) else []
        if without:
            notices.append(f"{count(len(without), 'row')} without a split ({rows_told(without)}): for training.")
        return _Rows(listed, labels.classes, notices)

    def _splits(self, columns: Columns, grid: Grid, what: str) -> tuple[list[str], Columns]:
        """The split of each row, "" where there is none; and the columns, without one that holds no splits."""
        nothing = [""] * len(grid.rows)
        if columns.split is None:
            return nothing, columns
        given = texts_of(grid.columns[columns.split], what).fill_null("").dictionary_encode()
        meant = [SPLIT_NAMES.get(name.lower()) if name else "" for name in given.dictionary.to_pylist()]
        strangers = [name for name, split in zip(given.dictionary.to_pylist(), meant, strict=True) if split is None]
        if not strangers:
            return [meant[code] or "" for code in given.indices.to_pylist()], columns
        if columns.name("split").strip().lower() != "split":  # a fold by number, say
            return nothing, columns._replace(split=None)
        row = grid.rows[given.to_pylist().index(strangers[0])]
        raise RequestError(
            f"{what} holds {some(strangers, 5)} (row {row:,}). A split is train, val or test, or blank. "
            f"{closest(strangers[0], SPLIT_NAMES)}"
        )

    def _look(self, row: _Row, found: _Found) -> None:
        base = str(self.file.parent)
        path = os.path.normpath(f"{base}/{row.path}" if not os.path.isabs(row.path) else row.path)  # noqa: PTH117
        if self.within is not None and not path.startswith(f"{self.within}{os.sep}"):
            raise RequestError(
                f"{shown(self.file)}: row {row.number:,} leads out of the archive ('{shown(row.path)}')."
            )
        if (entry := found.records.get(path)) is not None:
            entry.add(row)
            return None
        seen = _seen(path)
        if seen is None and "\\" in row.path and os.sep == "/":  # written on Windows
            return self._look(row._replace(path=row.path.replace("\\", "/")), found)
        if seen is None:
            found.missing.append((row, path))
            return None
        locator = path[len(base) + 1 :] if path.startswith(f"{base}{os.sep}") else os.path.normpath(row.path)
        record = Record(path, locator, row.class_name, row.split, *seen, row.group)
        found.records[path] = _Entry(row.number, record)
        found.folders.add(path.rpartition(os.sep)[0] or os.sep)
        return None

    def _nothing(self, rows: _Rows, found: _Found, notices: list[str]) -> RequestError:
        if not found.missing:
            return RequestError(" ".join([f"{shown(self.file)}: no row names a picture and its class.", *notices]))
        row, path = found.missing[0]
        hint = "Paths are relative to the folder of the table: move it, or write them so."
        if "://" in row.path:
            hint = "Nothing is fetched from the network: bring the files here first."
        elif not Path(path).suffix:
            hint += " Endings such as .jpg belong to them."
        return RequestError(
            f"{shown(self.file)}: none of the {count(len(found.missing), 'file')} that it names is there. Row "
            f"{row.number:,} means {shown(path)}. {hint}"
        )

    def _refuse_unclear(self, found: _Found) -> None:
        """Raise `RequestError` for a file in two splits, and where several labels a file are the rule."""
        if divided := [entry for entry in found.records.values() if entry.splits is not None]:
            raise RequestError(
                f"{shown(self.file)}: {count(len(divided), 'file')} in more than one split, so what is measured would "
                f"mean nothing ({_examples(divided)}). Keep one row of each."
            )
        several = [entry for entry in found.records.values() if entry.labels is not None]
        if len(several) > SEVERAL_LABELS * len(found.records):
            raise RequestError(
                f"{shown(self.file)}: {count(len(several), 'file')} of {len(found.records):,} with more than one label "
                f"({_examples(several)}). A classifier gives each picture one class: keep one row of each."
            )


# ---------------------------------------------------------------------------------------------- rows and files


class _Row(NamedTuple):
    number: int
    path: str
    class_name: str
    split: str
    group: str | None


class _Rows(NamedTuple):
    listed: list[_Row]
    classes: tuple[str, ...]
    notices: list[str]


class _Entry:
    """A file that rows name, and what they say of it beside the first one."""

    __slots__ = ("copies", "labels", "number", "record", "splits")

    def __init__(self, number: int, record: Record) -> None:
        self.number, self.record = number, record
        self.copies: list[int] = []  # rows that say the same once more
        self.labels: list[int] | None = None  # rows that give another class
        self.splits: list[int] | None = None  # rows that give another split

    def add(self, row: _Row) -> None:
        if row.class_name != self.record.class_name:
            self.labels = [*(self.labels or []), row.number]
        elif row.split != self.record.split:
            self.splits = [*(self.splits or []), row.number]
        else:
            self.copies.append(row.number)


@dataclass
class _Found:
    """The files that the rows name, in the order of the rows."""

    records: dict[str, _Entry] = field(default_factory=dict)  # by path
    missing: list[tuple[_Row, str]] = field(default_factory=list)
    folders: set[str] = field(default_factory=set)

    def notices(self, rows: int) -> list[str]:
        told = []
        if self.missing:
            names = some(path for _, path in self.missing)
            told.append(
                f"{count(len(self.missing), 'row')} of {rows:,} left out, the file being missing "
                f"({rows_told([row.number for row, _ in self.missing])}: {names})."
            )
        if copies := sorted(number for entry in self.records.values() for number in entry.copies):
            told.append(f"{count(len(copies), 'row')} left out, the same as an earlier one ({rows_told(copies)}).")
        if several := [entry for entry in self.records.values() if entry.labels is not None]:
            told.append(
                f"{count(len(several), 'file')} left out, with more than one label ({_examples(several)}). A "
                "classifier gives each picture one class: keep one row of each."
            )
        return told


def _examples(entries: Iterable[_Entry]) -> str:
    """`'a.jpg' in rows 3, 7`."""
    every = list(entries)
    named = [
        f"'{shown(e.record.locator)}' in {rows_told([e.number, *(e.labels or []), *(e.splits or [])])}"
        for e in every[:3]
    ]
    return ", ".join(named) + (f" and {len(every) - 3:,} more" if len(every) > 3 else "")


def _seen(path: str) -> tuple[int, int] | None:
    """Size and time of a file; None where there is none. Raises `RequestError` where one may not look."""
    try:
        found = os.stat(path)  # noqa: PTH116 (a Path costs three times what the question itself does)
    except PermissionError:
        raise RequestError(f"{shown(path)}: not reachable (permission denied).") from None
    except (OSError, ValueError):
        return None
    return (found.st_size, found.st_mtime_ns) if stat.S_ISREG(found.st_mode) else None
