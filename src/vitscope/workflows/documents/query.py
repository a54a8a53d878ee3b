"""What is asked of a document, as texts of a URL: checked whole, before anything is computed."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from vitscope.errors import RequestError, unknown
from vitscope.text import shown


class Query:
    """The options of one document. Every method raises `RequestError` for a value that cannot be."""

    def __init__(self, key: str, options: Mapping[str, str], known: Collection[str]):
        self.key, self._options = key, options
        for name in options:
            if name not in known:
                raise (
                    unknown(f"option of '{key}'", shown(name), known)
                    if known
                    else RequestError(f"'{key}' takes no options, not '{shown(name)}'.")
                )

    def text(self, name: str, default: str | None = None) -> str | None:
        return self._options.get(name, default)

    def choice(self, name: str, choices: Collection[str], default: str) -> str:
        value = self._options.get(name, default)
        if value not in choices:
            raise unknown(f"{name} of '{self.key}'", shown(value), choices)
        return value

    def number(self, name: str, default: int, least: int, most: int) -> int:
        value = self._options.get(name)
        if value is None:
            return default
        if not re.fullmatch(r"[0-9]{1,9}", value) or not least <= int(value) <= most:
            raise RequestError(
                f"{name} of '{self.key}' is a whole number from {least} to {most:,}, not '{shown(value)}'."
            )
        return int(value)

    def span(self, name: str, length: int) -> tuple[int, int]:
        """`a:b`, the numbers from a up to and without b, at least one; by default all of `length`."""
        value = self._options.get(name)
        if value is None:
            return 0, length
        found = re.fullmatch(r"([0-9]{1,9}):([0-9]{1,9})", value)
        if found is None or not int(found[1]) < int(found[2]) <= length:
            raise RequestError(
                f"{name} of '{self.key}' is a range a:b with 0 ≤ a < b ≤ {length}, not '{shown(value)}'."
            )
        return int(found[1]), int(found[2])
