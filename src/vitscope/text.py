"""Words for people: counts, sizes, lists of names, and names made harmless to a terminal."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

MOST_SHOWN = 300  # characters of one name among several, or of a cell
_JOINERS = "\u200c\u200d"  # inside emoji and in Indic and Persian words


def shown(text: object) -> str:
    """`text` on one line, safe in a terminal: line breaks, escape codes and direction overrides become escapes."""
    return "".join(c if c in _JOINERS or not _is_control(c) else _escape(c) for c in str(text))


def _is_control(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")


def _escape(character: str) -> str:
    if 0xDC80 <= ord(character) <= 0xDCFF:  # an undecodable byte of a file's name
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()


def brief(text: object) -> str:
    """`shown`, cut off where it would fill a page: for what files say, which may be of any length."""
    whole = str(text)
    return shown(whole) if len(whole) <= MOST_SHOWN else f"{shown(whole[: MOST_SHOWN - 1])}…"


def some(names: Iterable[object], limit: int = 3) -> str:
    """`'a', 'b', 'c' and 9 more`, each of them brief."""
    every = list(names)
    text = ", ".join(f"'{brief(name)}'" for name in every[:limit])
    return f"{text} and {len(every) - limit:,} more" if len(every) > limit else text


def count(number: int, noun: str, plural: str | None = None) -> str:
    """`1 image`, `1,204 images`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def size(size_bytes: float) -> str:
    """`512 bytes`, `1.5 MB`; a kB is 1000 bytes."""
    unit, *larger = ("bytes", "kB", "MB", "GB", "TB")
    while size_bytes >= 1000 and larger:
        size_bytes, unit = size_bytes / 1000, larger.pop(0)
    return f"{size_bytes:.0f} bytes" if unit == "bytes" else f"{size_bytes:.1f} {unit}"


def seconds_of(duration: str) -> float:
    """Seconds of a duration such as 10m, 1h30m, 45s or 90."""
    parts = re.findall(r"([\d.]+)([hms]?)", duration)
    return sum(float(number) * {"h": 3600, "m": 60, "s": 1, "": 1}[unit] for number, unit in parts)


_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}


def parse_size(text: str) -> int:
    """Bytes of `8GB`, `500 MB`, `1.5GiB` or `2000000`. Raises `ValueError` in plain words."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?) *([kmgt]i?|)b?", text.strip().lower())
    if found is None or (size_bytes := int(float(found[1]) * _UNITS[found[2]])) <= 0:
        raise ValueError(f"'{shown(text)}' is no size. Write it as 8GB, 500MB or 1.5GiB.")
    return size_bytes
