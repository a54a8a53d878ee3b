from __future__ import annotations

import base64
import json
import struct

import numpy as np
import pytest

from vitscope.visualization.document import pack, to_json, unpack


def test_packed_values_are_little_endian_in_rows() -> None:
    packed = pack(np.array([[1.5, -2.0], [0.25, 8.0]], np.float32))
    assert (packed["dtype"], packed["shape"]) == ("float32", [2, 2])
    assert struct.unpack("<4f", base64.b64decode(packed["data"])) == (1.5, -2.0, 0.25, 8.0)
    columns_first = np.asfortranarray(np.arange(6, dtype=">i4").reshape(2, 3))
    assert struct.unpack("<6i", base64.b64decode(pack(columns_first)["data"])) == (0, 1, 2, 3, 4, 5)


@pytest.mark.parametrize(
    ("given", "sent"),
    [("float64", "float32"), ("float16", "float16"), ("int64", "int32"), ("uint8", "uint8"), ("bool", "uint8")],
)
def test_what_is_sent_of_each_kind(given: str, sent: str) -> None:
    array = np.array([0, 1, 1, 0]).astype(given).reshape(2, 1, 2)
    packed = pack(array)
    assert packed["dtype"] == sent
    np.testing.assert_array_equal(unpack(packed), array)
    assert unpack(packed).dtype.itemsize == {"float32": 4, "float16": 2, "int32": 4, "uint8": 1}[sent]


def test_an_empty_array_and_infinite_values() -> None:
    assert unpack(pack(np.zeros((0, 3), np.float32))).shape == (0, 3)
    odd = np.array([np.nan, np.inf, -np.inf], np.float32)
    np.testing.assert_array_equal(unpack(pack(odd)), odd)


def test_what_cannot_be_sent_is_refused() -> None:
    for array in (np.array(["a"]), np.array([2**40]), np.array([1j])):
        with pytest.raises(ValueError, match="cannot be sent"):
            pack(array)
    with pytest.raises(TypeError, match="packed"):
        to_json({"a": np.zeros(2)})


def test_json_is_strict() -> None:
    document = {"a": float("nan"), "b": [float("inf"), (-float("inf"), np.float64("nan"))], "c": np.float32(0.5)}
    document |= {"d": "é 猫", "e": None, "f": True, "g": np.int64(3)}

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    told = json.loads(to_json(document).decode(), parse_constant=refuse)
    assert told == {"a": "NaN", "b": ["Infinity", ["-Infinity", "NaN"]], "c": 0.5, "d": "é 猫"} | {
        "e": None,
        "f": True,
        "g": 3,
    }
    assert told["f"] is True
