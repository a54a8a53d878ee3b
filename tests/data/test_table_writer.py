"""What is written is what a table source reads: the reader is the truth."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.data.test_folder import NAMES, lay
from vitscope.data.manifest import Manifest, Record
from vitscope.data.sources.table import ENDINGS, TableSource
from vitscope.data.sources.table_writer import write_table
from vitscope.errors import RequestError


def manifest(folder: Path, classes: tuple[str, ...], splits: tuple[str, ...] = ("",), group: str | None = None):
    records = []
    for number, name in enumerate(classes):
        for split in splits:
            path = f"{split or 'all'}{number}.jpg"
            lay(folder, path)
            records.append(Record(str(folder / path), path, name, split, 1, 1, group))
    return Manifest.from_records(records, classes, "t")


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_written_table_is_read_as_it_was(tmp_path: Path, ending: str) -> None:
    inside, outside = tmp_path / "here", tmp_path / "elsewhere"
    inside.mkdir()
    names = tuple(sorted(NAMES))
    first = manifest(inside, names, ("train", "val", "test"), 'one, "two"')
    file = outside / f"table{ending}"
    outside.mkdir()
    write_table(first, file)
    scan = TableSource.at(file).scan()
    wanted = zip(
        *(first.table[c].to_pylist() for c in ("path", "split", "group")),
        (names[label] for label in first.table["label"].to_pylist()),
        strict=True,
    )
    assert {(r.path, r.split, r.group, r.class_name) for r in scan.records} == set(wanted)
    assert [each.name for each in outside.iterdir()] == [file.name]


def test_paths_below_the_table_are_relative_and_columns_are_those_that_say_something(tmp_path: Path) -> None:
    write_table(manifest(tmp_path, ("a", "b")), tmp_path / "table.csv")
    assert (tmp_path / "table.csv").read_text() == "path,label\nall0.jpg,a\nall1.jpg,b\n"


def test_class_names_that_a_table_would_change_are_refused_and_nothing_is_left(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"'1\.0'.*would be read back from a table as others"):
        write_table(manifest(tmp_path, ("1.0", "2.0")), tmp_path / "table.csv")
    assert sorted(each.suffix for each in tmp_path.iterdir()) == [".jpg", ".jpg"]


def test_where_no_table_can_be_written_it_is_told(tmp_path: Path) -> None:
    data = manifest(tmp_path, ("a", "b"))
    (tmp_path / "there.csv").write_text("mine")
    for name, why in (
        ("table.xlsx", r"a table ends with \.csv, \.tsv or \.parquet"),
        ("there.csv", "such a file already"),
        ("no/table.csv", "there is no folder"),
    ):
        with pytest.raises(RequestError, match=why):
            write_table(data, tmp_path / name)
    assert (tmp_path / "there.csv").read_text() == "mine"
