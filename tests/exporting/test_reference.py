"""The reference must be right by itself: held against numbers worked out by hand and, last, against `preprocess.py`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vitscope import preprocess
from vitscope.errors import BadImage
from vitscope.exporting import probes, reference
from vitscope.preprocess import Preprocess


@pytest.mark.parametrize("orientation", range(1, 9))
def test_fault_06_upright_by_the_meaning_of_the_tag(orientation: int) -> None:
    """EXIF 2.3, 4.6.4: which side of the upright picture the stored row 0 and column 0 are."""
    first_row, first_column = {
        1: ("top", "left"),
        2: ("top", "right"),
        3: ("bottom", "right"),
        4: ("bottom", "left"),
        5: ("left", "top"),
        6: ("right", "top"),
        7: ("right", "bottom"),
        8: ("left", "bottom"),
    }[orientation]
    upright = np.arange(12, dtype=np.uint8).reshape(4, 3)

    def place(row: int, column: int) -> tuple[int, int]:
        """Where on the upright picture a stored pixel belongs."""
        from_side = {first_row: row, first_column: column}
        y = from_side["top"] if "top" in from_side else 3 - from_side["bottom"]
        x = from_side["left"] if "left" in from_side else 2 - from_side["right"]
        return y, x

    rows, columns = (4, 3) if first_row in ("top", "bottom") else (3, 4)
    stored = np.array([[upright[place(row, column)] for column in range(columns)] for row in range(rows)])
    assert np.array_equal(reference.UPRIGHT[orientation](stored), upright)


def test_alpha_over_white_is_rounded_to_the_nearest_as_pillow_does(tmp_path: Path) -> None:
    value, alpha = np.meshgrid(np.arange(256), np.arange(256))
    rgba = np.stack([value, 255 - value, value // 2, alpha], axis=-1).astype(np.uint8)
    Image.fromarray(rgba).save(tmp_path / "all.png")
    assert np.array_equal(reference.decode(tmp_path / "all.png"), preprocess.decode(tmp_path / "all.png"))


def palette_with_transparency() -> Image.Image:
    picture = Image.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4) % 3).convert("P")
    picture.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    picture.info["transparency"] = 1
    return picture


@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGB", "RGBA", "P", "CMYK", "YCbCr", "I;16"])
def test_every_mode_as_preprocess_decodes_it(mode: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    if mode == "I;16":
        picture = Image.fromarray(rng.integers(0, 65536, (9, 7), dtype=np.uint16))
    elif mode == "P":
        picture = palette_with_transparency()
    else:
        picture = Image.fromarray(rng.integers(0, 256, (9, 7, 4), dtype=np.uint8), "RGBA").convert(mode)
    file = tmp_path / ("x.jpg" if mode in ("CMYK", "YCbCr") else "x.png")
    picture.save(file)
    assert np.array_equal(reference.decode(file), preprocess.decode(file))


def test_a_hairline_is_left_out_not_resized_into_gigabytes() -> None:
    with pytest.raises(BadImage, match="too narrow"):
        reference.check_shape(np.zeros((1, 5000, 3), np.uint8), Preprocess(224))
    reference.check_shape(np.zeros((1, 5000, 3), np.uint8), Preprocess(224, resize="squash"))


def test_probes_show_every_orientation_upright_and_every_channel_apart(tmp_path: Path) -> None:
    made = probes.make(np.full((20, 30, 3), 128, np.uint8), 32, tmp_path)
    assert len({probe.name for probe in made}) == len(made) == 14
    turned = [probe for probe in made if "orientation" in probe.name]
    assert [Image.open(probe.file).getexif()[274] for probe in turned] == [1, 2, 3, 4, 5, 6, 7, 8]
    for probe in turned:  # grey as the picture was, no two channels and no two sides are alike
        pixels = np.asarray(Image.open(probe.file), np.float64)
        assert min(np.abs(pixels[..., i] - pixels[..., j]).mean() for i, j in ((0, 1), (0, 2), (1, 2))) > 5
        assert np.abs(pixels - pixels[::-1]).mean() > 5
        assert np.abs(pixels - pixels[:, ::-1]).mean() > 5
    sizes = {Image.open(probe.file).size for probe in made if probe not in turned}
    assert (1, 1) in sizes
    assert any(h >= 8 * w for w, h in sizes)
    assert any(w >= 8 * h for w, h in sizes)
