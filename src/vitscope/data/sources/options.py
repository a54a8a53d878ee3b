"""Options behind the name of a source: `shapes:count=3000,size=96`."""

from __future__ import annotations

from collections.abc import Collection

from vitscope.errors import RequestError, unknown
from vitscope.text import shown


def parsed(name: str, options: str, known: Collection[str], example: str) -> dict[str, str]:
    """The options by name, as they are written. Raises `RequestError` for what is none, unknown or given twice."""
    text, found = f"{name}:{options}", {}
    for part in options.split(","):
        option, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals:
            raise RequestError(f"{shown(text)}: expected such as {example}.")
        if option not in known:
            raise RequestError(f"{shown(text)}: {unknown('option', shown(option), known)}")
        if option in found:
            raise RequestError(f"{shown(text)}: '{option}' is given twice.")
        found[option] = value
    return found
