"""Characters of any language: drawn by the font that has them, told where none has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from matplotlib import font_manager

from tests.visualization.conftest import build_font
from vitscope.visualization import fonts

Install = Callable[[str, str], Path]


def test_plain_text_needs_the_base_font_alone(bare_fonts: None) -> None:
    assert fonts.cover(["cat", "Ελλάδα", "a_b$c$\n"]) == ((fonts.BASE,), "")


def test_a_font_that_has_the_glyph_is_found(install_font: Install) -> None:
    install_font("Tiny Cat", "猫")
    assert fonts.cover(["猫 cat"]) == ((fonts.BASE, "Tiny Cat"), "")


def test_cjk_families_come_before_others_and_each_adds_what_the_former_lack(install_font: Install) -> None:
    install_font("Another", "猫犬")
    install_font("WenQuanYi Zen Hei", "猫")
    assert fonts.cover(["猫"]).families == (fonts.BASE, "WenQuanYi Zen Hei")
    assert fonts.cover(["猫", "犬"]).families == (fonts.BASE, "WenQuanYi Zen Hei", "Another")


def test_a_font_installed_after_matplotlib_made_its_list_is_found(
    tmp_path: Path, bare_fonts: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert fonts.cover(["猫"]).missing == "猫"
    file = build_font(tmp_path / "new.ttf", "Tiny Cat", "猫")
    (tmp_path / "broken.ttf").write_bytes(b"not a font")
    files = [str(tmp_path / "broken.ttf"), str(file)]
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda *_, **__: files)
    fonts._add_new_fonts.cache_clear()  # as in a new process
    assert fonts.cover(["猫"]) == ((fonts.BASE, "Tiny Cat"), "")


def test_what_no_font_has_is_named_with_a_package(bare_fonts: None) -> None:
    covered = fonts.cover(["猫 and 犬, 猫"])
    assert covered == ((fonts.BASE,), "猫犬")
    told = fonts.notice(covered.missing)
    assert "猫犬" in told
    assert "apt-get install fonts-noto-cjk" in told


@pytest.mark.parametrize(
    ("missing", "package"),
    [("한", "fonts-noto-cjk"), ("ส", "fonts-noto-core"), ("🦊", "fonts-symbola"), ("🦊猫", "fonts-noto-cjk")],
)
def test_the_package_fits_the_script(missing: str, package: str) -> None:
    assert f"apt-get install {package}'" in fonts.notice(missing)
