"""Files, formats, plain text and colours."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from vitscope.errors import RequestError, WorkFailed
from vitscope.visualization import style


def words(*texts: str, size: float = 40.0):
    made = style.figure(4, 2)
    for i, text in enumerate(texts):
        made.text(0.1, 0.2 + 0.3 * i, text, fontsize=size, color="black")
    return made


def test_png_svg_and_pdf_by_ending(tmp_path: Path) -> None:
    for name in ("a.png", "b.SVG", "c.pdf"):
        assert style.save(words("hello"), tmp_path / "new folder" / name) == []
    with Image.open(tmp_path / "new folder/a.png") as png:
        assert png.format == "PNG"
        assert png.size == (4 * style.DPI, 2 * style.DPI)
    assert style.DPI >= 150
    assert ElementTree.parse(tmp_path / "new folder/b.SVG").getroot().tag.endswith("svg")
    assert (tmp_path / "new folder/c.pdf").read_bytes().startswith(b"%PDF")
    assert len(list((tmp_path / "new folder").iterdir())) == 3  # nothing temporary is left


@pytest.mark.parametrize("name", ["a.gif", "a", "a.png.txt", ".png"])
def test_other_endings_are_told_with_those_known(tmp_path: Path, name: str) -> None:
    with pytest.raises(RequestError, match=r"\.png, \.svg, \.pdf"):
        style.save(words("x"), tmp_path / name)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "charts.png").mkdir()
    with pytest.raises(RequestError, match="folder"):
        style.save(words("x"), tmp_path / "charts.png")


def test_what_cannot_be_written_is_told_and_the_old_file_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkFailed, match="cannot be written"):
        style.save(words("x"), tmp_path / "file" / "a.png")
    old = tmp_path / "old.png"
    old.write_bytes(b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WorkFailed, match="No space left"):
        style.save(words("x"), old)
    assert old.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir() if p.suffix == ".tmp"] == []


@pytest.mark.parametrize("name", ["a_b$c$", "$x$ and $y^{", r"\frac{", "100 % $"])
def test_names_are_never_formulas(tmp_path: Path, name: str) -> None:
    """A formula would be drawn shorter (its dollars are not shown), or not at all."""
    made = style.figure(6, 4)
    axes = made.add_subplot()
    style.dress(axes, title=name)
    axes.set_xticks([0, 1], [name, "x"])
    assert style.save(made, tmp_path / "a.svg") == []
    drawn = ElementTree.parse(tmp_path / "a.svg").getroot()
    said = [(comment.text or "").strip() for comment in _comments(tmp_path / "a.svg")]
    assert drawn is not None
    assert said.count(name) >= 2  # matplotlib writes each text that it draws as a comment


def _comments(file: Path) -> list[ElementTree.Element]:
    parser = ElementTree.XMLParser(target=ElementTree.TreeBuilder(insert_comments=True))
    return [e for e in ElementTree.parse(file, parser).iter() if e.tag is ElementTree.Comment]


def test_a_character_is_drawn_in_the_font_that_has_it(tmp_path: Path, install_font: Callable[[str, str], Path]) -> None:
    """The made-up font's 猫 is one black square of 80 % of the type size."""
    install_font("Tiny Cat", "猫")
    assert style.save(words("猫"), tmp_path / "a.png") == []
    dark = np.asarray(Image.open(tmp_path / "a.png").convert("L")) < 128
    rows, columns = np.flatnonzero(dark.any(1)), np.flatnonzero(dark.any(0))
    side = 0.8 * 40 / 72 * style.DPI
    assert abs(len(rows) - side) <= 2
    assert abs(len(columns) - side) <= 2
    assert dark[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].mean() > 0.95


def test_a_missing_character_is_told_and_not_warned_of(tmp_path: Path, bare_fonts: None) -> None:
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        (told,) = style.save(words("猫 a", "猫 b", "plain"), tmp_path / "a.png")
    assert "猫" in told
    assert "fonts-noto-cjk" in told
    assert warned == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("a\nb", "a↵b"),
        ("a\tb\0", "a�b�"),
        ("x" * 200, "x" * 31 + "…" + "x" * 16),
        ("猫" * 48, "猫" * 48),
    ],
)
def test_a_name_as_one_line(text: str, expected: str) -> None:
    assert style.one_line(text) == expected


def test_nothing_global_is_changed(tmp_path: Path) -> None:
    before = dict(matplotlib.rcParams)
    code = "import sys, vitscope.visualization.style; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    style.save(words("a"), tmp_path / "a.png")
    assert dict(matplotlib.rcParams) == before


def test_figures_are_the_same_whatever_a_person_has_set(tmp_path: Path) -> None:
    def draw(file: Path) -> bytes:
        made = style.figure(4, 3)
        axes = made.add_subplot()
        style.dress(axes, title="Loss", x="step", y="nats")
        axes.plot([0, 1], [0, 1], color=style.colour(0), linewidth=1)
        axes.set_xticks([0, 1], ["a", "b"])
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        style.save(made, file)
        return np.asarray(Image.open(file)).tobytes()

    plain = draw(tmp_path / "a.png")
    with matplotlib.rc_context({"text.usetex": True, "axes.facecolor": "black", "font.family": "monospace"}):
        assert draw(tmp_path / "b.png") == plain


def test_threads_draw_at_the_same_time(tmp_path: Path) -> None:
    failed: list[BaseException] = []

    def draw(i: int) -> None:
        try:
            for _ in range(3):
                style.save(words(f"thread {i}"), tmp_path / f"{i}.png")
        except BaseException as error:  # handed to the test's thread
            failed.append(error)

    threads = [threading.Thread(target=draw, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert len({(tmp_path / f"{i}.png").read_bytes() for i in range(4)}) == 4


# Machado, Oliveira, Fernandes 2009, "A Physiologically-based Model for Simulation of Color Vision Deficiency",
# severity 1.0, on linear RGB.
VISION = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}


def _linear(colour: str) -> np.ndarray:
    rgb = np.array(to_rgb(colour))
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def _lab(linear: np.ndarray) -> np.ndarray:
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    t = to_xyz @ np.clip(linear, 0, 1) / np.array([0.9505, 1.0, 1.089])
    f = np.where(t > (6 / 29) ** 3, np.cbrt(t), t / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("vision", VISION)
def test_colours_are_told_apart_with_any_vision(vision: str) -> None:
    seen = [_lab(VISION[vision] @ _linear(colour)) for colour in style.PALETTE]
    distances = [float(np.linalg.norm(a - b)) for a, b in itertools.combinations(seen, 2)]
    assert min(distances) > 10  # 2.3 is what an eye just tells apart
    first_three = [float(np.linalg.norm(a - b)) for a, b in itertools.combinations(seen[:3], 2)]
    assert min(first_three) > 15  # training, validation, test


def test_colours_stand_out_from_the_paper() -> None:
    """WCAG 2.2, 1.4.11 asks for 3:1 of what must be seen; the palest colours come last and carry marks beside."""
    contrast = [1.05 / (float(np.array([0.2126, 0.7152, 0.0722]) @ _linear(c)) + 0.05) for c in style.PALETTE]
    assert min(contrast[:3]) >= 3
    assert min(contrast) >= 2


def test_looks_differ_where_colours_repeat() -> None:
    looks = [(style.colour(i), style.marker(i)) for i in range(len(style.PALETTE) * len(style.MARKERS))]
    assert len(set(looks)) == len(looks)
    assert len({(line.dashes, line.marker) for name, line in style.SPLITS.items() if name}) == 3
