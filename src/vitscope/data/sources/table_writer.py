"""A manifest as a table of pictures: what `table.py` reads, and people and other programs too."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from vitscope.data.manifest import Manifest
from vitscope.data.sources.table import ENDINGS, TableSource
from vitscope.errors import RequestError
from vitscope.storage.artifacts import new_file
from vitscope.text import shown, some

Row = tuple[str, str, str, str | None]  # path, class, split, group


def write_table(manifest: Manifest, file: Path) -> None:
    """Write the samples to a new file, CSV, TSV or Parquet by its ending; paths below its folder are relative to it.

    Raises `RequestError` for another ending, a file that is there already, a folder that cannot be written, and class
    names that would be read back as others.
    """
    check_new(file)
    folder = file.absolute().parent.resolve()
    rows = rows_of(manifest)
    columns = {"path": [_relative(path, folder) for path, *_ in rows], "label": [name for _, name, *_ in rows]}
    for name, place in (("split", 2), ("group", 3)):
        if any(row[place] for row in rows):
            columns[name] = [row[place] or "" for row in rows]
    trial = file.with_name(f".{file.stem}.unfinished{file.suffix}")
    try:
        with new_file(trial) as stream:
            stream.write(_content(columns, file.suffix.lower()))
        try:
            _check_read_back(trial, rows, file)
            trial.rename(file)
        finally:
            trial.unlink(missing_ok=True)
    except OSError as error:
        raise RequestError(f"{shown(file)}: the table could not be written ({error.strerror or error}).") from None


def check_new(file: Path) -> None:
    """Raise `RequestError` where no table can be written to `file`, as far as can be told before."""
    if file.suffix.lower() not in ENDINGS:
        raise RequestError(f"{shown(file)}: a table ends with {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}.")
    if file.exists():
        raise RequestError(f"{shown(file)}: there is such a file already. Choose another name.")
    if not file.absolute().parent.is_dir():
        raise RequestError(f"{shown(file)}: there is no folder '{shown(file.absolute().parent)}'.")


def rows_of(manifest: Manifest) -> list[Row]:
    """Path, class, split and group of each sample."""
    paths, labels, splits, groups = (manifest.table[c].to_pylist() for c in ("path", "label", "split", "group"))
    return list(zip(paths, (manifest.classes[label] for label in labels), splits, groups, strict=True))


def _relative(path: str, folder: Path) -> str:
    return Path(path).relative_to(folder).as_posix() if Path(path).is_relative_to(folder) else path


def _content(columns: dict[str, list[str]], ending: str) -> bytes:
    if ending == ".parquet":
        sink = pa.BufferOutputStream()
        pq.write_table(pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()}), sink)
        return sink.getvalue().to_pybytes()
    text = io.StringIO()
    writer = csv.writer(text, dialect="excel-tab" if ending == ".tsv" else "excel", lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return text.getvalue().encode()


def _check_read_back(written: Path, rows: list[Row], file: Path) -> None:
    """Raise `RequestError` where the table, read as any other is, says something else than was meant."""
    records, _, _ = TableSource.at(written).scan()
    read = {record.path: record.class_name for record in records}
    if changed := sorted({name for path, name, *_ in rows if read.get(path) != name}):
        raise RequestError(
            f"{shown(file)}: the class names {some(changed, 5)} would be read back from a table as others. Call the "
            "classes by words, such as 'size 1.5'."
        )
