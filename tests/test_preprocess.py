"""The resize, crop and normalisation of `preprocess.py`, held against torchvision's and Pillow's."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as tv

from vitscope.errors import RequestError
from vitscope.preprocess import Preprocess, resize_matrix

SIZES = [(1, 1), (1, 500), (500, 1), (7, 5), (32, 32), (33, 31), (36, 36), (61, 47), (333, 500), (1200, 37)]


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng([height, width]).integers(0, 256, (height, width, 3), dtype=np.uint8)


def by_torchvision(pixels: np.ndarray, p: Preprocess) -> torch.Tensor:
    """Resize (float32, antialiased), centre crop, mean and std by torchvision's functions alone."""
    image = torch.from_numpy(pixels).permute(2, 0, 1).float()
    short = math.floor(p.size / p.crop_pct)
    size = [short] if p.resize == "crop" else [short, short]
    image = tv.resize(image, size, InterpolationMode(p.interpolation), antialias=True)
    return tv.normalize(tv.center_crop(image, [p.size, p.size]) / 255, list(p.mean), list(p.std))


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize(
    ("resize", "crop_pct"), [("crop", 1.0), ("crop", 0.875), ("crop", 0.9), ("squash", 1.0), ("squash", 0.8)]
)
def test_fed_pixels_are_torchvisions(size: tuple[int, int], interpolation: Any, resize: Any, crop_pct: float) -> None:
    p = Preprocess(32, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), interpolation, crop_pct, resize)
    pixels = picture(*size)
    assert (p(pixels) - by_torchvision(pixels, p)).abs().max() < 2e-5


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 400),
    st.integers(1, 400),
    st.integers(8, 48),
    st.floats(0.5, 1.0),
    st.sampled_from(["bilinear", "bicubic"]),
)
def test_any_size_agrees_with_torchvision(
    height: int, width: int, size: int, crop_pct: float, interpolation: Any
) -> None:
    p = Preprocess(size, interpolation=interpolation, crop_pct=crop_pct)
    pixels = picture(height, width)
    assert (p(pixels) - by_torchvision(pixels, p)).abs().max() < 5e-5


@pytest.mark.parametrize(
    ("interpolation", "filter"), [("bilinear", Image.Resampling.BILINEAR), ("bicubic", Image.Resampling.BICUBIC)]
)
@pytest.mark.parametrize("size", [(64, 48), (20, 30), (301, 300)], ids=str)
def test_resize_is_pillows(interpolation: Any, filter: Image.Resampling, size: tuple[int, int]) -> None:
    """On float channels, where Pillow neither rounds nor clips between the axes."""
    p = Preprocess(32, (0, 0, 0), (1, 1, 1), interpolation, resize="squash")
    pixels = picture(*size)
    channels = [Image.fromarray(pixels[:, :, c].astype(np.float32)).resize((32, 32), filter) for c in range(3)]
    assert np.abs(p(pixels).numpy() * 255 - np.stack([np.asarray(c) for c in channels])).max() < 5e-3


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 600),
    st.integers(1, 600),
    st.sampled_from(["bilinear", "bicubic"]),
    st.sampled_from(["crop", "squash"]),
)
def test_rows_of_the_matrix_sum_to_one(length: int, other: int, interpolation: Any, resize: Any) -> None:
    p = Preprocess(16, interpolation=interpolation, crop_pct=0.9, resize=resize)
    matrix = resize_matrix(length, other, p)
    assert matrix.shape == (16, length)
    assert torch.allclose(matrix.sum(dim=1), torch.ones(16), atol=1e-5)


def test_a_picture_of_the_models_size_is_only_normalised() -> None:
    p = Preprocess(16, (0.4, 0.5, 0.6), (0.1, 0.2, 0.3), "bicubic")
    pixels = picture(16, 16)
    expected = (pixels / 255 - np.array(p.mean)) / np.array(p.std)
    assert np.allclose(p(pixels).permute(1, 2, 0).numpy(), expected, atol=1e-5)


def test_crop_keeps_the_middle_and_squash_keeps_all() -> None:
    pixels = np.zeros((16, 48, 3), np.uint8)
    pixels[:, 16:32] = 255  # the middle third
    cropped = Preprocess(16, (0, 0, 0), (1, 1, 1))(pixels)
    assert torch.allclose(cropped, torch.ones(3, 16, 16))
    squashed = Preprocess(15, (0, 0, 0), (1, 1, 1), resize="squash")(pixels)
    assert squashed[:, :, 7].min() == 1
    assert squashed[:, :, [0, 14]].max() == 0


def test_fault_09_one_pixel_and_one_by_five_thousand() -> None:
    p = Preprocess(32, (0, 0, 0), (1, 1, 1), "bicubic", 0.9)
    one = np.full((1, 1, 3), (255, 0, 51), np.uint8)
    assert torch.allclose(p(one), torch.tensor([1.0, 0.0, 0.2]).view(3, 1, 1).expand(3, 32, 32), atol=1e-6)
    assert p(picture(1, 5000)).shape == p(picture(5000, 1)).shape == (3, 32, 32)


def test_a_batch_is_its_pictures_one_by_one() -> None:
    p = Preprocess(24, crop_pct=0.9)
    batch = np.stack([picture(40, 30), picture(40, 30)[::-1]])
    together = p.pipeline(torch.from_numpy(batch))
    assert torch.allclose(together, torch.stack([p(one) for one in batch]), atol=1e-6)


def test_the_value_survives_its_dictionary() -> None:
    p = Preprocess(48, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6), "bicubic", 0.95, "squash")
    assert Preprocess.from_dict(p.to_dict()) == p
    with pytest.raises(RequestError, match="sise"):
        Preprocess.from_dict({"sise": 3})
