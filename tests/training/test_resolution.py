from __future__ import annotations

import pytest
import timm
import torch
from PIL import Image

import vitscope.models.stems  # noqa: F401  registers the convolutional stems
from vitscope.training.resolution import Resolution, patch_side


def test_it_grows_in_two_leaps_of_whole_patches_and_is_whole_for_the_last_quarter():
    growing = Resolution(64, 8, 0.5)
    sides = [growing.at(i / 100) for i in range(101)]
    assert sides == [32] * 38 + [48] * 37 + [64] * 26
    assert growing.sides == [32, 48, 64]
    assert Resolution(56, 14, 0.5).sides == [28, 42, 56]
    assert Resolution(28, 14, 0.5).sides == [14, 28]  # 1.5 patches are 2
    assert Resolution(64, 8).sides == [64]


def test_the_stages_told_are_the_sides_met():
    for growing in (Resolution(64, 8, 0.5), Resolution(28, 14, 0.5), Resolution(64, 8)):
        for total in (1, 7, 100):
            stages = growing.stages(total)
            for step in range(total):
                cost = [cost for since, cost in stages if since <= step][-1]
                assert cost == (growing.at(step / total) / growing.side) ** 2, (growing, total, step)


def test_without_growth_pictures_are_left_alone():
    views = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    assert Resolution(32, 8).fit(views, 0.0) is views


def test_smaller_views_are_antialiased_as_pillow_does():
    picture = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)
    small = Resolution(64, 8, 0.5).fit(picture, 0.0)
    expected = Image.fromarray(picture[0].permute(1, 2, 0).numpy()).resize((32, 32), Image.Resampling.BILINEAR)
    wanted = torch.from_numpy(__import__("numpy").array(expected)).permute(2, 0, 1)
    assert (small[0].int() - wanted.int()).abs().max() <= 1
    floats = Resolution(64, 8, 0.5).fit(picture.float(), 0.0)  # as where there is no kernel for bytes
    assert floats.dtype == torch.float32
    assert (floats[0] - wanted).abs().max() <= 1
    assert torch.equal(floats, floats.round())


@pytest.mark.parametrize(
    "name", ["vit_tiny_patch16_224", "vit_tiny_convstem", "vit_tiny_poolstem", "eva02_tiny_patch14_224"]
)
def test_a_model_takes_smaller_pictures_and_the_full_size_as_ever(name: str):
    torch.manual_seed(0)
    size = {"img_size": 56, "patch_size": 14} if "eva" in name else {"img_size": 64, "patch_size": 16}
    small = {"embed_dim": 48, "depth": 2, "num_heads": 3, "num_classes": 4} | size
    growing = timm.create_model(name, dynamic_img_size=True, **small).eval()
    plain = timm.create_model(name, **small).eval()
    plain.load_state_dict(growing.state_dict())
    patch, side = size["patch_size"], size["img_size"]
    assert patch_side(growing) == patch
    assert patch_side(plain) is None
    with torch.no_grad():
        assert growing(torch.randn(2, 3, side - patch, side - patch)).shape == (2, 4)
        whole = torch.randn(2, 3, side, side)
        assert torch.equal(growing(whole), plain(whole))
