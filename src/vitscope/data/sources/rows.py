"""The rows of a table of pictures: what each says, and which of them name no file or no class."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import compress
from pathlib import Path
from typing import Any, NamedTuple

from vitscope.data.sources.columns import Columns, columns_of
from vitscope.data.sources.folder import SPLIT_NAMES
from vitscope.data.sources.grid import Grid, header_of, read_grid, rows_told
from vitscope.data.sources.labels import labels_of, texts_of
from vitscope.errors import RequestError, closest
from vitscope.text import count, shown, some


class Rows(NamedTuple):
    """The rows that count, by column (a million objects would cost seconds); the classes in the order of labels."""

    columns: tuple[list[int], list[str], list[str], list[str], list[str | None]]  # number, path, class, split, group
    classes: tuple[str, ...]
    notices: list[str]

    def __len__(self) -> int:
        return len(self.columns[0])


def rows_of(file: Path) -> Rows:
    """What the rows of a table say. Raises `RequestError` where it is none, lacks columns or holds no classes."""
    header = header_of(file)
    columns = columns_of(header.names, file)
    grid = read_grid(file, header, [place for place in columns[:4] if place is not None])
    numbers = grid.rows.tolist()

    def cell(role: str) -> str:
        return f"{shown(file)}: the column '{columns.name(role)}'"

    paths = texts_of(grid.columns[columns.path], cell("path")).fill_null("").to_pylist()
    labels = labels_of(grid.columns[columns.label], numbers, cell("label"))
    splits, groups, taken = [""] * len(paths), [None] * len(paths), columns
    if columns.split is not None:
        splits, taken = _splits(columns, grid, cell("split"))
    if columns.group is not None:
        groups = [text or None for text in texts_of(grid.columns[columns.group], cell("group")).to_pylist()]
    codes = labels.codes.tolist()
    unlabelled = [number for number, path, code in zip(numbers, paths, codes, strict=True) if path and code < 0]
    unnamed = [number for number, path, code in zip(numbers, paths, codes, strict=True) if not path and code >= 0]
    counts = [bool(path) and code >= 0 for path, code in zip(paths, codes, strict=True)]
    names = (labels.classes[code] if code >= 0 else "" for code in codes)

    def that_count(column: Iterable[Any]) -> list[Any]:
        return list(compress(column, counts))

    numbers, splits = that_count(numbers), that_count(splits)
    notices = [", ".join(told) + "." for told in [taken.told()] if told] + grid.notices
    notices += [text.removeprefix(f"{shown(file)}: ") for text in labels.notices]
    for left_out, what in ((unlabelled, taken.name("label")), (unnamed, taken.name("path"))):
        if left_out:
            notices.append(f"{count(len(left_out), 'row')} left out, '{what}' being blank ({rows_told(left_out)}).")
    if any(splits) and (without := [number for number, split in zip(numbers, splits, strict=True) if not split]):
        notices.append(f"{count(len(without), 'row')} without a split ({rows_told(without)}): for training.")
    return Rows((numbers, that_count(paths), that_count(names), splits, that_count(groups)), labels.classes, notices)


def _splits(columns: Columns, grid: Grid, what: str) -> tuple[list[str], Columns]:
    """The split of each row, "" where there is none; and the columns, without one that holds no splits."""
    assert columns.split is not None
    given = texts_of(grid.columns[columns.split], what).fill_null("").dictionary_encode()
    names = given.dictionary.to_pylist()
    meant = [SPLIT_NAMES.get(name.lower(), "") for name in names]
    strangers = [name for name, split in zip(names, meant, strict=True) if name and not split]
    if not strangers:
        return [meant[code] for code in given.indices.to_pylist()], columns
    if columns.name("split").strip().lower() != "split":  # a fold by number, say
        return [""] * len(given), columns._replace(split=None)
    row = grid.rows[given.to_pylist().index(strangers[0])]
    raise RequestError(
        f"{what} holds {some(strangers, 5)} (row {row:,}). A split is train, val or test, or blank. "
        f"{closest(strangers[0], SPLIT_NAMES)}"
    )
