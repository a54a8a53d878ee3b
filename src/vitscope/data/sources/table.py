"""A table of pictures: a row a picture, with the path of its file and its class, and perhaps its split and its group.

Columns `path` and `label`, and if wanted `split` (train, val, test) and `group`: pictures of one group (a patient, a
video) are never divided over splits. Paths are relative to the table's folder. Nothing is decoded.
"""

from __future__ import annotations

import gc
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from vitscope.data.manifest import Record
from vitscope.data.sources.grid import rows_told
from vitscope.data.sources.rows import Rows, rows_of
from vitscope.data.sources.scan import Scan, Walked
from vitscope.data.sources.walk import folder_at
from vitscope.errors import RequestError
from vitscope.text import brief, count, shown, some

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
        with _without_collecting():
            rows = rows_of(self.file)
            found = self._look(rows)
        notices = [f"{shown(self.file.name)}: {text}" for text in [*rows.notices, *found.notices(len(rows))]]
        if not found.records:
            raise self._nothing(rows, found, notices)
        self._refuse_unclear(found)
        records = [record for record in found.records if record.path not in found.labels]
        folders = {record.path.rpartition(os.sep)[0] or os.sep for record in records}
        seen = None if found.missing else [folder_at(path) for path in (*sorted(folders), str(self.file))]
        return Walked(Scan(records, rows.classes, notices), seen)

    def _look(self, rows: Rows) -> _Found:
        """The files that the rows name. Raises `RequestError` where one leads out of `within`."""
        below = os.path.join(self.file.parent, "")  # noqa: PTH118 (with a separator at its end)
        inside = "" if self.within is None else os.path.join(self.within, "")  # noqa: PTH118
        found, place_of = _Found(), {}

        def path_of(text: str) -> str:
            path = os.path.normpath(text if os.path.isabs(text) else below + text)  # noqa: PTH117 (a Path costs more)
            if not path.startswith(inside):
                raise RequestError(f"{shown(self.file)}: row {number:,} leads out of the archive ('{brief(text)}').")
            return path

        for number, text, class_name, split, group in zip(*rows.columns, strict=True):
            path = path_of(text)
            place = place_of.get(path)
            seen = _seen(path) if place is None else None
            if place is None and seen is None and "\\" in text and os.sep == "/":  # written on Windows
                text = text.replace("\\", "/")
                path = path_of(text)
                place = place_of.get(path)
                seen = _seen(path) if place is None else None
            if place is not None:
                found.add(number, class_name, split, place)
                continue
            if seen is None:
                found.missing.append((number, path))
                continue
            place_of[path] = len(found.records)
            locator = path[len(below) :] if path.startswith(below) else os.path.normpath(text)
            found.records.append(Record(path, locator, class_name, split, *seen, group))
            found.numbers.append(number)
        return found

    def _nothing(self, rows: Rows, found: _Found, notices: list[str]) -> RequestError:
        if not found.missing:
            return RequestError(" ".join([f"{shown(self.file)}: no row names a picture and its class.", *notices]))
        number, path = found.missing[0]
        hint = "Paths are relative to the folder of the table: move it, or write them so."
        if ":/" in path:
            hint = "Nothing is fetched from the network: bring the files here first."
        elif not Path(path).suffix:
            hint += " Endings such as .jpg belong to them."
        return RequestError(
            f"{shown(self.file)}: none of the {count(len(found.missing), 'file')} that it names is there. Row "
            f"{number:,} means {brief(path)}. {hint}"
        )

    def _refuse_unclear(self, found: _Found) -> None:
        """Raise `RequestError` for a file in two splits, and where several labels a file are the rule."""
        if found.splits:
            raise RequestError(
                f"{shown(self.file)}: {count(len(found.splits), 'file')} in more than one split, so what is measured "
                f"would mean nothing ({_examples(found.splits)}). Keep one row of each."
            )
        if len(found.labels) > SEVERAL_LABELS * len(found.records):
            raise RequestError(
                f"{shown(self.file)}: {count(len(found.labels), 'file')} of {len(found.records):,} with more than one "
                f"label ({_examples(found.labels)}). A classifier gives each picture one class: keep one row of each."
            )


@dataclass
class _Found:
    """The files that the rows name, in their order, and the rows that say more of one than the first did."""

    records: list[Record] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)  # of the rows that they are of
    missing: list[tuple[int, str]] = field(default_factory=list)  # rows and their paths
    copies: list[int] = field(default_factory=list)  # rows that say the same once more
    labels: dict[str, list[int]] = field(default_factory=dict)  # by path, the rows that give it several classes
    splits: dict[str, list[int]] = field(default_factory=dict)  # or several splits

    def add(self, number: int, class_name: str, split: str, place: int) -> None:
        """One more row about the record at `place`."""
        record = self.records[place]
        if class_name != record.class_name:
            self.labels.setdefault(record.path, [self.numbers[place]]).append(number)
        elif split != record.split:
            self.splits.setdefault(record.path, [self.numbers[place]]).append(number)
        else:
            self.copies.append(number)

    def notices(self, rows: int) -> list[str]:
        told = []
        if self.missing:
            names = some(path for _, path in self.missing)
            told.append(
                f"{count(len(self.missing), 'row')} of {rows:,} left out, the file being missing "
                f"({rows_told([number for number, _ in self.missing])}: {names})."
            )
        if self.copies:
            same = f"the same as an earlier one ({rows_told(self.copies)})"
            told.append(f"{count(len(self.copies), 'row')} left out, {same}.")
        if self.labels:
            told.append(
                f"{count(len(self.labels), 'file')} left out, with more than one label ({_examples(self.labels)}). A "
                "classifier gives each picture one class: keep one row of each."
            )
        return told


def _examples(rows_of_file: dict[str, list[int]]) -> str:
    """`'/x/a.jpg' in rows 3, 7`."""
    named = [f"'{brief(path)}' in {rows_told(rows)}" for path, rows in list(rows_of_file.items())[:3]]
    return ", ".join(named) + (f" and {len(rows_of_file) - 3:,} more" if len(rows_of_file) > 3 else "")


@contextmanager
def _without_collecting() -> Iterator[None]:
    """A million records hold no cycles: to look for some, again and again, takes as long as to make them."""
    is_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if is_on:
            gc.enable()


def _seen(path: str) -> tuple[int, int] | None:
    """Size and time of a file; None where there is none. Raises `RequestError` where one may not look."""
    try:
        found = os.stat(path)  # noqa: PTH116 (a Path costs three times what the question itself does)
    except PermissionError:
        raise RequestError(f"{shown(path)}: not reachable (permission denied).") from None
    except (OSError, ValueError):
        return None
    return (found.st_size, found.st_mtime_ns) if stat.S_ISREG(found.st_mode) else None
