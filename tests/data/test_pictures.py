from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vitscope.data.manifest import Manifest
from vitscope.data.pictures import Decoded, Reduced, reduced, side_for
from vitscope.data.sources.folder import FolderSource
from vitscope.preprocess import decode
from vitscope.workflows.pictures import MANIFEST, Pictures


def photo(height: int, width: int) -> np.ndarray:
    """Something smooth: what a scaled decoding may legitimately do to noise is not asked here."""
    y, x = np.mgrid[0:height, 0:width].astype(float)
    waves = [128 + 100 * np.sin(x / 37 + k) * np.cos(y / 23 - k) for k in range(3)]
    return np.stack(waves, axis=-1).astype(np.uint8)


@pytest.mark.parametrize(
    ("shape", "expected"), [((400, 600), (100, 150)), ((600, 400), (150, 100)), ((80, 90), (80, 90))]
)
def test_the_shorter_side_is_reduced_and_never_enlarged(shape: tuple[int, int], expected: tuple[int, int]):
    picture = photo(*shape)
    small = reduced(picture, 100)
    assert small.shape == (*expected, 3)
    if shape != expected:
        wanted = Image.fromarray(picture).resize(expected[::-1], Image.Resampling.BILINEAR)
        assert np.abs(small.astype(int) - np.asarray(wanted).astype(int)).max() <= 1


@pytest.mark.parametrize(("scale", "side"), [((1.0, 1.0), 64), ((0.8, 1.0), 72), ((0.35, 1.0), 96), ((0.08, 1.0), 96)])
def test_the_side_follows_the_smallest_crops_within_reason(scale: tuple[float, float], side: int):
    assert side_for(64, scale) == side


@pytest.mark.parametrize(("at_least", "side"), [(400, 400), (201, 400), (200, 200), (100, 100), (40, 50), (None, 400)])
def test_a_large_jpeg_is_decoded_no_larger_than_it_need_be(tmp_path: Path, at_least: int | None, side: int):
    file = tmp_path / "p.jpg"
    Image.fromarray(photo(400, 520)).save(file, quality=95)
    whole, small = decode(file), decode(file, at_least)
    assert min(small.shape[:2]) == side
    wanted = np.asarray(Image.fromarray(whole).resize(small.shape[1::-1], Image.Resampling.BOX)).astype(int)
    assert np.abs(small.astype(int) - wanted).mean() < 2


def test_fault_06_a_turned_photograph_is_upright_in_training_and_as_a_preview(tmp_path: Path):
    """As training reads it, whole and reduced, and as the dashboard shows it: each as its upright twin."""
    picture = photo(120, 200)
    picture[:30] = 0
    for name, pixels, orientation in (("upright", picture, 1), ("turned", np.rot90(picture).copy(), 6)):
        exif = Image.Exif()
        exif[0x0112] = orientation
        for label in ("a", "b"):
            (tmp_path / name / label).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(tmp_path / name / label / "1.png", exif=exif)
    kinds: dict[str, list[np.ndarray]] = {}
    for name in ("upright", "turned"):
        source = FolderSource.at(tmp_path / name)
        records, classes, _ = source.scan()
        samples = Manifest.from_records(records, classes, source.name)
        samples.save(tmp_path / name / MANIFEST)
        shown = Pictures(tmp_path / name, tmp_path)
        kinds[name] = [
            Decoded(samples)(0),
            Reduced(samples, 40)(0),
            shown.pixels(f"sample:{samples.table['sample_id'][0].as_py()}"),
        ]
    assert [one.shape for one in kinds["turned"]] == [(120, 200, 3), (40, 67, 3), (120, 200, 3)]
    assert np.array_equal(kinds["turned"][0], picture)
    for turned, upright in zip(kinds["turned"], kinds["upright"], strict=True):
        assert np.array_equal(turned, upright)


def test_a_turned_jpeg_stays_upright(tmp_path: Path):
    picture = photo(400, 520)
    picture[:100] = 0  # the upper quarter is black
    file, exif = tmp_path / "p.jpg", Image.Exif()
    exif[0x0112] = 6  # stored turned by 90°
    Image.fromarray(np.rot90(picture).copy()).save(file, exif=exif, quality=95)
    small = decode(file, at_least=100)
    assert small.shape[:2] == (100, 130)
    assert small[:20].mean() < 10 < small[40:].mean()


def test_other_formats_take_no_notice(tmp_path: Path):
    Image.fromarray(photo(400, 520)).save(tmp_path / "p.png")
    assert decode(tmp_path / "p.png", at_least=50).shape == (400, 520, 3)
