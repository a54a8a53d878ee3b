"""Fonts that a test makes up, so that nothing depends on those of the machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager

from vitscope.visualization import fonts


def build_font(file: Path, family: str, characters: str) -> Path:
    """A TrueType font whose every character is one black square of 80 % of the em."""
    pen = TTGlyphPen(None)
    pen.moveTo((100, 0))
    for corner in ((100, 800), (900, 800), (900, 0)):
        pen.lineTo(corner)
    pen.closePath()
    square, names = pen.glyph(), [f"u{ord(c):04X}" for c in characters]
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder([".notdef", *names])
    builder.setupCharacterMap({ord(c): name for c, name in zip(characters, names, strict=True)})
    builder.setupGlyf({".notdef": TTGlyphPen(None).glyph()} | dict.fromkeys(names, square))
    builder.setupHorizontalMetrics(dict.fromkeys([".notdef", *names], (1000, 100)))
    builder.setupHorizontalHeader(ascent=900, descent=-100)
    builder.setupNameTable({"familyName": family, "styleName": "Regular"})
    builder.setupOS2(sTypoAscender=900, usWinAscent=900, usWinDescent=100, usWeightClass=400)
    builder.setupPost()
    builder.save(file)
    return file


@pytest.fixture
def bare_fonts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Only the fonts that come with matplotlib are installed."""
    manager = font_manager.fontManager
    bundled = [entry for entry in manager.ttflist if "mpl-data" in entry.fname]
    monkeypatch.setattr(manager, "ttflist", bundled)
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda *_, **__: [])
    fonts._add_new_fonts.cache_clear()
    manager._findfont_cached.cache_clear()
    yield
    fonts._add_new_fonts.cache_clear()
    manager._findfont_cached.cache_clear()


@pytest.fixture
def install_font(tmp_path: Path, bare_fonts: None) -> Callable[[str, str], Path]:
    """Install a made-up font of a family with some characters; matplotlib knows it already."""

    def install(family: str, characters: str) -> Path:
        file = build_font(tmp_path / f"{family}.ttf", family, characters)
        font_manager.fontManager.addfont(file)
        return file

    return install
