"""The cells of a table file: comma-, semicolon- or tab-separated text in UTF-8, or Parquet."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from vitscope.data.sources.columns import has_needed
from vitscope.errors import RequestError
from vitscope.text import brief, count, shown, size

PARQUET = ".parquet"
DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
HEAD_BYTES = 1 << 20  # of a text, within which its header is looked for
BLOCK_BYTES = 1 << 24  # of a text that are parsed at a time; a row must fit
SHOWN_ROWS = 5
FEW_ROWS = 1_000_000  # that a Parquet may hold, however small it is


class Header(NamedTuple):
    """The names of the columns, and where the rows begin in a text."""

    names: list[str]
    delimiter: str = ","
    rows_above: int = 0  # of a text, up to the header and with it


class Grid(NamedTuple):
    """Columns by their place in the table; `rows` is the number of each row as a person counts it in the file."""

    columns: dict[int, pa.ChunkedArray]
    rows: np.ndarray
    notices: list[str]


def header_of(file: Path) -> Header:
    """What the columns are called. Raises `RequestError` where the file is no table."""
    if file.suffix.lower() == PARQUET:
        return Header(list(_parquet(file).schema_arrow.names))
    head = _head(file)
    if not head.strip():
        raise RequestError(f"{shown(file)}: an empty table. It begins with a row of column names, such as path,label.")
    usual = "\t" if file.suffix.lower() == ".tsv" else ","
    found = [_header(head, delimiter) for delimiter in (usual, *DELIMITERS)]
    return next((each for each in found if has_needed(each.names)), max(found, key=lambda each: len(each.names)))


def read_grid(file: Path, header: Header, places: Sequence[int]) -> Grid:
    """The columns at `places`. Raises `RequestError` where the file is damaged, or a text not in UTF-8."""
    if file.suffix.lower() == PARQUET:
        try:
            opened = _parquet(file)
            _refuse_bomb(file, opened.metadata.num_rows)
            table = opened.read(columns=[header.names[place] for place in places])
        except (OSError, pa.ArrowException) as error:
            raise _damaged(file, error) from None
        columns = {place: table.column(header.names[place]) for place in places}
        return Grid(columns, np.arange(1, table.num_rows + 1), [])
    return _read_text(file, header, places)


def rows_told(rows: Sequence[int]) -> str:
    """`row 3`, `rows 3, 7 and 12 more`."""
    first = ", ".join(f"{row:,}" for row in rows[:SHOWN_ROWS])
    more = f" and {len(rows) - SHOWN_ROWS:,} more" if len(rows) > SHOWN_ROWS else ""
    return f"{'row' if len(rows) == 1 else 'rows'} {first}{more}"


# ---------------------------------------------------------------------------------------------- Parquet


def _parquet(file: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(file)
    except (OSError, pa.ArrowException) as error:
        raise _damaged(file, error) from None


def _refuse_bomb(file: Path, rows: int) -> None:
    """Pictures have paths of their own, which take room: what has more rows than bytes would only fill the memory."""
    if rows > max(FEW_ROWS, file.stat().st_size):
        raise RequestError(
            f"{shown(file)}: {count(rows, 'row')} in {size(file.stat().st_size)}, more than so few bytes can say of "
            "different pictures. If it is as it should be, save it as CSV."
        )


def _damaged(file: Path, error: Exception) -> RequestError:
    why = error.strerror if isinstance(error, OSError) and error.strerror else str(error).partition("\n")[0]
    return RequestError(f"{shown(file)}: this table is not readable ({brief(why)}).")


# ---------------------------------------------------------------------------------------------- text


def _head(file: Path) -> str:
    """The beginning of a text. Raises `RequestError` for another encoding than UTF-8, which is not guessed."""
    try:
        with file.open("rb") as stream:
            content = stream.read(HEAD_BYTES)
    except OSError as error:
        raise _damaged(file, error) from None
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise RequestError(f"{shown(file)}: a text in UTF-16. {_SAVE}")
    if b"\0" in content:
        raise RequestError(f"{shown(file)}: not a text, though its name ends in {shown(file.suffix)}. {_SAVE}")
    try:
        return codecs.getincrementaldecoder("utf-8-sig")().decode(content)
    except UnicodeDecodeError:
        raise _other_encoding(file) from None


_SAVE = "Save the table as CSV in UTF-8 (in Excel: 'CSV UTF-8'), or as Parquet."


def _other_encoding(file: Path) -> RequestError:
    line, decoder = 1, codecs.getincrementaldecoder("utf-8")()
    with file.open("rb") as stream:
        for content in stream:
            try:
                decoder.decode(content)
            except UnicodeDecodeError:
                break
            line += 1
    return RequestError(f"{shown(file)}: not in UTF-8 (line {line:,}), and no other encoding is guessed. {_SAVE}")


def _header(head: str, delimiter: str) -> Header:
    above = 0
    try:
        for row in csv.reader(io.StringIO(head, newline=""), delimiter=delimiter):
            above += 1
            if any(cell.strip() for cell in row):
                return Header(row, delimiter, above)
    except csv.Error:
        pass
    return Header([], delimiter, above)


def _read_text(file: Path, header: Header, places: Sequence[int]) -> Grid:
    _refuse_open_quotes(file, header.delimiter)
    wrong: list[Any] = []

    def leave_out(row: Any) -> str:
        wrong.append(row)
        return "skip"

    names = [str(place) for place in range(len(header.names))]  # those in the file may be there twice
    try:
        table = pa_csv.read_csv(
            file,
            pa_csv.ReadOptions(
                use_threads=False,  # only so do rows that are left out tell their number
                block_size=BLOCK_BYTES,
                column_names=names,
                skip_rows_after_names=header.rows_above,
            ),
            pa_csv.ParseOptions(
                delimiter=header.delimiter,
                newlines_in_values=True,
                ignore_empty_lines=False,  # they count as rows
                invalid_row_handler=leave_out,
            ),
            pa_csv.ConvertOptions(
                include_columns=[str(place) for place in places],
                column_types={str(place): pa.string() for place in places},
                strings_can_be_null=False,
            ),
        )
    except (OSError, pa.ArrowException) as error:
        if "UTF8" in str(error):
            raise _other_encoding(file) from None
        if "straddling" in str(error) and file.stat().st_size < BLOCK_BYTES:  # a header without a line's end
            return Grid({place: pa.chunked_array([], pa.string()) for place in places}, np.arange(0), [])
        raise _damaged(file, error) from None
    first = header.rows_above + 1
    skipped = [row.number for row in wrong]
    numbers = np.delete(np.arange(first, first + table.num_rows + len(skipped)), np.array(skipped, int) - first)
    columns = {place: table.column(str(place)) for place in places}
    return Grid(columns, numbers, [_told_of(wrong, header)] if wrong else [])


def _told_of(wrong: list[Any], header: Header) -> str:
    cells = f"{wrong[0].actual_columns} cells where the header has {len(header.names)}"
    return (
        f"{count(len(wrong), 'row')} left out ({rows_told([row.number for row in wrong])}), of {cells}: quotation "
        f"marks belong around what holds a {DELIMITERS[header.delimiter]}."
    )


def _refuse_open_quotes(file: Path, delimiter: str) -> None:
    """One quotation mark that is never closed would make one cell of all that follows."""
    with file.open("rb") as stream:
        marks = 0
        while content := stream.read(BLOCK_BYTES):
            marks += content.count(b'"')
    if marks % 2 == 0:
        return
    row = 0
    with file.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
        try:
            for _ in csv.reader(stream, delimiter=delimiter, strict=True):
                row += 1
        except csv.Error as error:
            if "end of data" in str(error) or "field limit" in str(error):
                raise RequestError(
                    f"{shown(file)}: row {row + 1:,} opens a quotation mark that is never closed."
                ) from None
