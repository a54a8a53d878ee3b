"""The cells of a label column as classes: their names, their order, and what is no class."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from vitscope.data.manifest import compute
from vitscope.errors import RequestError
from vitscope.text import brief, count, some

INTEGER = re.compile(r"[+-]?[0-9]+")
REAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
LARGEST = 2**53  # whole numbers up to it are the same as text and as a float
LONGEST = 1_000  # characters of a number; what is longer is a word, and Python would not read it


class Labels(NamedTuple):
    """`codes` is each row's class, an index of `classes`; -1 where the cell is blank."""

    classes: tuple[str, ...]
    codes: np.ndarray
    notices: list[str]


def texts_of(column: pa.ChunkedArray, what: str) -> pa.Array:
    """Cells as text without blanks around them, null where there is none. Raises `RequestError` for no words."""
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    is_word = any(
        test(kind)
        for test in (
            *(pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_integer),
            *(pa.types.is_floating, pa.types.is_decimal, pa.types.is_boolean, pa.types.is_null),
        )
    )
    if not is_word:
        raise RequestError(f"{what} holds neither words nor numbers ({kind}).")
    plain = column.cast(kind).cast(pa.large_string()) if kind is not column.type else column.cast(pa.large_string())
    whole = plain.combine_chunks()
    return compute.utf8_trim_whitespace(whole.chunk(0) if isinstance(whole, pa.ChunkedArray) else whole)


def labels_of(column: pa.ChunkedArray, rows: Sequence[int], what: str) -> Labels:
    """Whole numbers in their order, words in that of the alphabet. Raises `RequestError` for real numbers."""
    encoded = texts_of(column, what).dictionary_encode()
    names = [unicodedata.normalize("NFC", text) for text in encoded.dictionary.to_pylist()]
    given = [name for name in names if name and name.lower() != "nan"]
    notices: list[str] = []
    are_numbers = bool(given) and all(len(name) <= LONGEST and REAL.fullmatch(name) for name in given)
    if are_numbers:
        names = ["" if name.lower() == "nan" else name for name in names]
        if pa.types.is_floating(column.type) or not all(INTEGER.fullmatch(name) for name in given):
            names = _whole(names, encoded.indices, rows, what)
            notices = [f"{what} holds floats, taken as whole numbers: the classes are {some(_in_order(names), 5)}."]
    classes = tuple(_in_order(names) if are_numbers else sorted({name for name in names if name}))
    code_of = {name: code for code, name in enumerate(classes)}
    codes = np.array([*(code_of.get(name, -1) for name in names), -1])  # the last is for null
    return Labels(classes, codes[encoded.indices.fill_null(len(names)).to_numpy()], notices)


def _in_order(names: Sequence[str]) -> list[str]:
    return sorted({name for name in names if name}, key=lambda name: (int(name), name))


def _whole(names: list[str], indices: pa.Array, rows: Sequence[int], what: str) -> list[str]:
    """`1.0` as `1`. Raises `RequestError` where a number is not whole."""
    for place, name in enumerate(names):
        if name and not (float(name).is_integer() and abs(float(name)) < LARGEST):
            row = rows[compute.index(indices, place).as_py()]
            different = count(len({name for name in names if name}), "different number")
            raise RequestError(
                f"{what} holds real numbers such as {brief(name)} (row {row:,}), {different} in all: a classifier "
                "learns classes, not quantities. Write the class of each row in words or whole numbers, such as 'low' "
                "and 'high'."
            )
    return [str(int(float(name))) if name else "" for name in names]
