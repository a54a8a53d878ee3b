from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from vitscope.config import DataConfig, ModelConfig
from vitscope.errors import RequestError
from vitscope.models.architecture import describe
from vitscope.models.create import create_model


def test_fault_37_an_unknown_model_is_told_with_the_closest():
    with pytest.raises(RequestError, match="vit_small_patch16_224"):
        create_model("vit_smal_patch16_224", num_classes=2)
    with pytest.raises(RequestError, match="not of a family supported here"):
        create_model("resnet18", num_classes=2)
    with pytest.raises(RequestError, match="Unknown weights"):
        describe(ModelConfig(name="vit_tiny_patch16_224.augreg_nothing"), DataConfig(), 2)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"image_size": 33, "kwargs": {"patch_size": 8}}, "Take 32 or 40"),
        ({"kwargs": {"num_heads": 5}}, "cannot be created"),
        ({"kwargs": {"embed_dims": 5}}, "Did you mean 'embed_dim'"),
        ({"kwargs": {"img_size": 64}}, "use model.image_size"),
        ({"kwargs": {"drop_path_rate": 0.1}}, "use model.drop_path"),
        ({"kwargs": {"depth": "six"}}, "cannot be created"),
    ],
)
def test_fault_32_sizes_and_arguments_that_do_not_fit_are_told(options: dict, says: str):
    with pytest.raises(RequestError, match=says):
        describe(ModelConfig(**options), DataConfig(), 3)


def test_a_local_folder_gives_architecture_and_preprocessing(tmp_path: Path):
    published = {
        "input_size": [3, 56, 56],
        "mean": [0.1, 0.2, 0.3],
        "std": [0.4, 0.5, 0.6],
        "interpolation": "bilinear",
        "crop_pct": 0.8,
    }
    config = {
        "architecture": "vit_tiny_patch16_224",
        "model_args": {"patch_size": 8, "depth": 1},
        "pretrained_cfg": published,
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    a = describe(ModelConfig(name=f"local-dir:{tmp_path}", pretrained=True), DataConfig(), 3)
    assert a.name == "vit_tiny_patch16_224"
    assert a.kwargs == {"patch_size": 8, "depth": 1, "img_size": 56}
    assert (a.preprocess.size, a.preprocess.mean, a.preprocess.crop_pct) == (56, (0.1, 0.2, 0.3), 0.8)
    with pytest.raises(RequestError, match=r"config\.json: no such file"):
        describe(ModelConfig(name="local-dir:/nowhere"), DataConfig(), 3)


def test_the_convolutional_stem_halves_as_often_as_the_patch_size_says():
    module = create_model(
        "vit_tiny_convstem", num_classes=2, img_size=32, patch_size=4, embed_dim=64, depth=1, num_heads=2
    )
    strides = [m.stride[0] for m in module.patch_embed.proj if isinstance(m, torch.nn.Conv2d)]
    assert strides == [2, 2, 1]
    assert module.patch_embed(torch.randn(1, 3, 32, 32)).shape == (1, 64, 64)
    with pytest.raises(RequestError, match="power of two"):
        create_model("vit_tiny_convstem", num_classes=2, img_size=30, patch_size=6)


def test_the_stem_with_poolings_halves_twice_by_them_and_ends_at_the_embedding():
    module = create_model(
        "vit_tiny_poolstem", num_classes=2, img_size=32, patch_size=8, embed_dim=64, depth=1, num_heads=2
    )
    stem = module.patch_embed
    convolutions = [m for m in stem.proj if isinstance(m, torch.nn.Conv2d)]
    assert [(m.stride[0], m.out_channels) for m in convolutions] == [(2, 16), (1, 32), (1, 64)]
    assert sum(isinstance(m, torch.nn.MaxPool2d) for m in stem.proj) == 2
    assert stem(torch.randn(1, 3, 32, 32)).shape == (1, 16, 64)
    kernels = [m.weight for m in stem.modules() if isinstance(m, torch.nn.Conv2d)]
    assert all(kernel.is_contiguous(memory_format=torch.channels_last) for kernel in kernels)
    *_, last = stem.proj
    torch.nn.init.zeros_(last.conv.weight)
    grid = torch.randn(2, 64, 4, 4)
    assert torch.equal(last(grid), grid)  # a shortcut beside nothing
    with pytest.raises(RequestError, match="power of two"):
        create_model("vit_tiny_poolstem", num_classes=2, img_size=30, patch_size=6)
