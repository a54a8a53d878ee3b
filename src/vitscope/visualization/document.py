"""Documents: what the front end draws, as JSON. Arrays travel packed, numbers that JSON has no word for as texts."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

Document = dict[str, Any]

# What is sent of an array that is none of these kinds: a picture needs no more digits.
_SENT: dict[str, str] = {"f": "float32", "i": "int32", "u": "int32", "b": "uint8"}
_AS_THEY_ARE = ("float16", "float32", "uint8", "int32")


def pack(array: np.ndarray) -> Document:
    """An array as JSON holds it: `dtype` (float16, float32, uint8 or int32), `shape`, and `data`, base64 of the values.

    Little endian, C order. Wider types are sent as float32 and int32. Raises `ValueError` for what is no number, and
    for whole numbers beyond 32 bits.
    """
    kind = array.dtype.name if array.dtype.name in _AS_THEY_ARE else _SENT.get(array.dtype.kind)
    if kind is None:
        raise ValueError(f"an array of {array.dtype} cannot be sent")
    if kind == "int32" and array.size and (array.max() > 2**31 - 1 or array.min() < -(2**31)):
        raise ValueError("whole numbers beyond 32 bits cannot be sent")
    values = np.ascontiguousarray(array, np.dtype(kind).newbyteorder("<"))
    return {"dtype": kind, "shape": list(array.shape), "data": base64.b64encode(values.tobytes()).decode("ascii")}


def unpack(packed: Mapping[str, Any]) -> np.ndarray:
    """The array that `pack` was given, as it was sent."""
    dtype = np.dtype(packed["dtype"]).newbyteorder("<")
    return np.frombuffer(base64.b64decode(packed["data"]), dtype).reshape(packed["shape"])


def to_json(document: Any) -> bytes:
    """Strict JSON, UTF-8. NaN and the infinities become the texts "NaN", "Infinity", "-Infinity"."""
    return json.dumps(_plain(document), ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _plain(value: Any) -> Any:
    match value:
        case np.ndarray():
            raise TypeError("an array in a document must be packed")
        case np.generic():
            return _plain(value.item())
        case float():
            return value if math.isfinite(value) else number_text(value)
        case Mapping():
            return {str(key): _plain(part) for key, part in value.items()}
        case list() | tuple():
            return [_plain(part) for part in value]
        case _:
            return value


def number_text(value: float) -> str:
    """What JSON has no number for."""
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
