from __future__ import annotations

import numpy as np
import pytest
import torch

from vitscope.config import AugmentConfig
from vitscope.data.augment import Augment, random_box, shifted


@pytest.mark.parametrize(("height", "width"), [(40, 60), (400, 533), (8, 8)])
def test_boxes_keep_to_area_and_ratio(height: int, width: int):
    for seed in range(300):
        box = random_box(height, width, (0.3, 0.8), (0.75, 4 / 3), np.random.default_rng(seed))
        assert 0 <= box.top <= height - box.height
        assert 0 <= box.left <= width - box.width
        slack = 1 / min(box.height, box.width)  # rounding to whole pixels
        assert 0.3 * (1 - 2 * slack) <= box.height * box.width / (height * width) <= 0.8 * (1 + 2 * slack)
        assert 0.75 * (1 - 2 * slack) <= box.width / box.height <= 4 / 3 * (1 + 2 * slack)


@pytest.mark.parametrize(("height", "width"), [(1, 5000), (5000, 1), (1, 1)])
def test_a_picture_much_longer_than_wide_still_has_a_box(height: int, width: int):
    box = random_box(height, width, (0.9, 1.0), (0.75, 4 / 3), np.random.default_rng(0))
    assert box.height >= 1
    assert box.width >= 1
    assert box.top + box.height <= height
    assert box.left + box.width <= width


def test_shift_moves_whole_pixels_and_repeats_the_edge():
    pixels = np.arange(16).reshape(4, 4, 1)
    moved = shifted(pixels, 1, -2)
    assert moved[1:, :2].tolist() == pixels[:3, 2:].tolist()
    assert moved[0].tolist() == moved[1].tolist()
    assert (moved[:, 3] == moved[:, 1]).all()
    assert (shifted(pixels, 9, 9) == 0).all()


def test_with_everything_off_a_square_picture_is_only_resized():
    picture = np.random.default_rng(0).integers(0, 255, (32, 32, 3), dtype=np.uint8)
    plain = Augment(32, AugmentConfig(crop_scale=(1.0, 1.0), crop_ratio=(1.0, 1.0), flip=0.0))
    assert torch.equal(plain(picture, np.random.default_rng(1)), torch.from_numpy(picture).permute(2, 0, 1))
    flipped = Augment(32, AugmentConfig(crop_scale=(1.0, 1.0), crop_ratio=(1.0, 1.0), flip=1.0))
    assert torch.equal(
        flipped(picture, np.random.default_rng(1)), torch.from_numpy(picture[:, ::-1].copy()).permute(2, 0, 1)
    )


def test_flips_as_often_as_asked():
    picture = np.zeros((8, 8, 3), dtype=np.uint8)
    picture[:, 0] = 255
    augment = Augment(8, AugmentConfig(crop_scale=(1.0, 1.0), crop_ratio=(1.0, 1.0), flip=0.25))
    flips = sum(int(augment(picture, np.random.default_rng(i))[0, 0, -1] > 128) for i in range(400))
    assert 70 <= flips <= 130


def test_the_view_follows_from_its_generator():
    picture = np.random.default_rng(0).integers(0, 255, (50, 70, 3), dtype=np.uint8)
    augment = Augment(16, AugmentConfig(shift=0.2))
    one, two, other = (augment(picture, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
    assert one.shape == (3, 16, 16)
    assert one.dtype == torch.uint8
