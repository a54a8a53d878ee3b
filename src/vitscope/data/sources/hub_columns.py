"""Which columns of a set of the hub hold the pictures and the classes, found by their types."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from vitscope.data.sources.columns import NAMES
from vitscope.errors import RequestError, unknown
from vitscope.text import shown, some

_WHOLE = re.compile(r"u?int\d+|bool")
_TEXT = ("string", "large_string")
_BYTES = ("binary", "large_binary")


class HubColumns(NamedTuple):
    """The names of both columns; `classes` are the names of the labels' numbers, None where labels are values."""

    image: str
    label: str
    classes: tuple[str, ...] | None
    notices: list[str]


def chosen(what: str, features: Mapping[str, Any], image: str, label: str) -> HubColumns:
    """The columns that are named, or those that alone can be meant. Raises `RequestError` where that is unclear."""
    notices: list[str] = []
    if image:
        _check(what, "image", image, features, lambda f: is_image(f) or _dtype(f) in _BYTES)
    else:
        candidates = [name for name, feature in features.items() if is_image(feature)]
        if len(candidates) != 1:
            raise _unclear(what, "pictures", "image", candidates, features)
        image = candidates[0]
    if label:
        _check(what, "label", label, features, lambda f: _names(f) is not None or _is_value(f))
    else:
        label, told = _label(what, features)
        notices += told
    return HubColumns(image, label, _names(features[label]), notices)


def is_image(feature: Any) -> bool:
    """A column of pictures, or of their bytes beside their path, which is how pictures are kept."""
    from datasets import Image

    return isinstance(feature, Image) or (
        isinstance(feature, Mapping) and set(feature) == {"bytes", "path"} and _dtype(feature["bytes"]) in _BYTES
    )


def _label(what: str, features: Mapping[str, Any]) -> tuple[str, list[str]]:
    named = [name for name, feature in features.items() if _names(feature) is not None]
    if len(named) == 1:
        return named[0], []
    candidates = named or [name for name, feature in features.items() if _is_value(feature)]
    called = [name for name in candidates if name.lower() == "label"]
    called = called or [name for name in candidates if not named and name.lower() in NAMES["label"]]
    if len(called) != 1 and len(candidates) != 1:
        raise _unclear(what, "classes", "label", candidates, features)
    label = called[0] if len(called) == 1 else candidates[0]
    others = [name for name in candidates if name != label]
    also = f"; so could {some(others)} be: choose by label=NAME" if others else ""
    return label, [f"'{shown(label)}' is taken as the class{also}."]


def _check(what: str, option: str, name: str, features: Mapping[str, Any], is_of_use: Callable[[Any], bool]) -> None:
    if name not in features:
        raise RequestError(f"{shown(what)}: {unknown('column', shown(name), features)}")
    if not is_of_use(features[name]):
        holds = "pictures" if option == "image" else "classes (names, texts or whole numbers)"
        raise RequestError(f"{shown(what)}: {option}={shown(name)}: this column does not hold {holds}.")


def _unclear(what: str, held: str, option: str, candidates: list[str], features: Mapping[str, Any]) -> RequestError:
    if not candidates:
        return RequestError(f"{shown(what)}: no column of it holds {held}. Its columns are {some(features, 20)}.")
    return RequestError(
        f"{shown(what)}: {len(candidates)} columns may hold the {held}: {some(candidates, 20)}. Choose one by "
        f"{option}=NAME, such as {shown(with_option(what, option, candidates[0]))}."
    )


def with_option(what: str, option: str, value: str) -> str:
    """The text of a source of the hub with one option more."""
    return f"{what}{',' if what.count(':') > 1 else ':'}{option}={value}"


def _names(feature: Any) -> tuple[str, ...] | None:
    from datasets import ClassLabel

    return tuple(feature.names) if isinstance(feature, ClassLabel) else None


def _is_value(feature: Any) -> bool:
    return _names(feature) is None and (_dtype(feature) in _TEXT or _WHOLE.fullmatch(_dtype(feature)) is not None)


def _dtype(feature: Any) -> str:
    from datasets import Value

    return feature.dtype if isinstance(feature, Value) else ""
