"""Fonts for text in any language: which installed families draw it together, and what to say when none can.

matplotlib takes the first family of a list that has a glyph, character by character. So the list begins with the font
that comes with matplotlib and goes on with whatever is installed for the rest.
"""

from __future__ import annotations

import contextlib
import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache
from typing import NamedTuple

from matplotlib import font_manager
from matplotlib.font_manager import FontProperties

BASE = "DejaVu Sans"  # comes with matplotlib: Latin, Greek, Cyrillic, Arabic, symbols

# Families for Chinese, Japanese and Korean, the better drawn ones first; Simplified Chinese forms before others.
CJK = (
    *("Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "Source Han Sans CN", "PingFang SC"),
    *("Microsoft YaHei", "Hiragino Sans GB", "Noto Sans CJK JP", "Noto Sans CJK TC", "Noto Sans CJK KR"),
    *("Source Han Sans", "WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "Heiti SC", "STHeiti", "SimHei"),
    *("Hiragino Sans", "Yu Gothic", "Malgun Gothic", "Apple SD Gothic Neo", "Noto Serif CJK SC"),
    *("AR PL UMing CN", "AR PL UKai CN", "SimSun", "Droid Sans Fallback", "Arial Unicode MS"),
)

# They claim characters that they do not draw: boxes with a code, or TeX's symbols under letters' numbers.
UNFIT = (
    "Last Resort",
    "LastResort",
    "cmex",
    "cmmi",
    "cmsy",
    "cmtt",
    "cmr",
    "cmb",
    "cmss",
    "Wingdings",
    "Webdings",
    "Symbol",
)


# Packages that bring a font for a kind of characters: Debian's, Fedora's, and its name elsewhere.
PACKAGES = {
    "cjk": ("fonts-noto-cjk", "google-noto-sans-cjk-fonts", "Noto Sans SC"),
    "other": ("fonts-noto-core", "google-noto-fonts-common", "Noto Sans of that script"),
    "symbol": ("fonts-symbola", "gdouros-symbola-fonts", "Noto Emoji"),
}


class Cover(NamedTuple):
    """Families that draw a text together, in order, and the characters that no installed font has."""

    families: tuple[str, ...]
    missing: str


def cover(texts: Iterable[str]) -> Cover:
    """The shortest list of installed families for all characters of `texts`: the base, CJK families, then any."""
    seen = dict.fromkeys(c for text in texts for c in text)
    needed = {c for c in seen if unicodedata.category(c) not in ("Cc", "Cf", "Zs", "Zl", "Zp")}
    families: list[str] = []
    for family in _candidates():
        drawn = _drawn(family, needed)
        if drawn or family == BASE:
            families.append(family)
            needed -= drawn
        if not needed:
            break
    return Cover(tuple(families), "".join(c for c in seen if c in needed))


def notice(missing: str) -> str:
    """What to tell when characters have no font: which, and the package that brings one."""
    shown = missing if len(missing) <= 12 else f"{missing[:12]}…"
    which = "this character" if len(missing) == 1 else f"these {len(missing)} characters"
    scripts = {_script(character) for character in missing}
    debian, fedora, elsewhere = next(packages for script, packages in PACKAGES.items() if script in scripts)
    return (
        f"No installed font has {which}: {shown}. The figure shows boxes instead. Install a font and draw it again: "
        f"'apt-get install {debian}' (Debian, Ubuntu), 'dnf install {fedora}' (Fedora), or {elsewhere} from "
        f"https://fonts.google.com/noto (macOS, Windows)."
    )


def _script(character: str) -> str:
    name = unicodedata.name(character, "")
    if name.startswith(("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO", "IDEOGRAPHIC", "FULLWIDTH")):
        return "cjk"
    return "symbol" if unicodedata.category(character) in ("So", "Sk") else "other"


def _candidates() -> Iterator[str]:
    yield BASE
    installed = _installed()
    yield from (family for family in CJK if family in installed)
    yield from sorted(installed - {BASE, *CJK})
    _add_new_fonts()
    yield from sorted(_installed() - installed, key=lambda family: (family not in CJK, family))


def _installed() -> set[str]:
    """Families with an upright face of ordinary weight."""
    return {
        entry.name
        for entry in font_manager.fontManager.ttflist
        if entry.style == "normal"
        and (entry.name in CJK or font_manager.weight_dict.get(str(entry.weight), entry.weight) == 400)
        and not entry.name.startswith(UNFIT)
    }


@cache
def _add_new_fonts() -> None:
    """matplotlib remembers the fonts of its first start: add those installed since then."""
    known = {entry.fname for entry in font_manager.fontManager.ttflist}
    for file in font_manager.findSystemFonts():
        if file not in known:
            # Not scalable, or damaged: matplotlib cannot draw with it.
            with contextlib.suppress(OSError, RuntimeError):
                font_manager.fontManager.addfont(file)


def _drawn(family: str, characters: set[str]) -> set[str]:
    if not characters:
        return set()
    try:
        path = font_manager.fontManager.findfont(FontProperties(family=[family]), fallback_to_default=False)
        points = _code_points(path)
    except (OSError, ValueError, RuntimeError):  # gone since matplotlib's list was made, or unreadable
        return set()
    return {c for c in characters if ord(c) in points}


@lru_cache(64)
def _code_points(path: str) -> frozenset[int]:
    return frozenset(font_manager.get_font(path).get_charmap())
