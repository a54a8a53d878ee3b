from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from timm.data.config import resolve_data_config

from tests.trained import tiny_bundle
from vitscope.errors import RequestError, WorkFailed
from vitscope.exporting.formats import safetensors
from vitscope.models.bundle import ModelBundle
from vitscope.preprocess import Preprocess

P = Preprocess(32, (0.48, 0.46, 0.41), (0.23, 0.22, 0.27), "bicubic", 0.9, "squash")


@pytest.fixture
def exported(tmp_path: Path) -> tuple[ModelBundle, Path]:
    bundle = tiny_bundle(preprocess=P, classes=("苹果", "pear", "plum", "quince"))
    safetensors.write(bundle, tmp_path)
    return bundle, tmp_path


@pytest.mark.parametrize(
    "name",
    [
        "vit_tiny_patch16_224",
        "beit_base_patch16_224",
        "eva02_tiny_patch14_224",
        "vit_tiny_convstem",
        "vit_tiny_poolstem",
    ],
)
def test_plain_timm_gives_the_same_logits(name: str, tmp_path: Path) -> None:
    bundle = tiny_bundle(name)
    safetensors.write(bundle, tmp_path)
    module = timm.create_model(f"local-dir:{tmp_path}", pretrained=True).eval()
    images = torch.randn(3, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(module(images), bundle.module(images))


def test_timm_reads_the_preprocessing_and_the_class_names(exported: tuple[ModelBundle, Path]) -> None:
    module = timm.create_model(f"local-dir:{exported[1]}", pretrained=True)
    config = resolve_data_config({}, model=module)
    assert tuple(config["input_size"]) == (3, 32, 32)
    assert (tuple(config["mean"]), tuple(config["std"])) == (P.mean, P.std)
    assert (config["interpolation"], config["crop_pct"], config["crop_mode"]) == ("bicubic", 0.9, "squash")
    assert list(module.pretrained_cfg["label_names"]) == ["苹果", "pear", "plum", "quince"]
    assert module.num_classes == 4


def test_it_loads_back_as_the_bundle_it_was(exported: tuple[ModelBundle, Path]) -> None:
    bundle, folder = exported
    loaded = safetensors.load(folder)
    picture = np.random.default_rng(0).integers(0, 256, (50, 40, 3), dtype=np.uint8)
    fed = bundle.preprocess(picture)[None]
    assert torch.equal(loaded.probabilities(fed), bundle.probabilities(fed))
    assert (loaded.classes, loaded.preprocess, loaded.kwargs) == (bundle.classes, bundle.preprocess, bundle.kwargs)
    assert not loaded.module.training


def test_whoever_may_read_the_description_may_read_the_weights(exported: tuple[ModelBundle, Path]) -> None:
    config, weights = (exported[1] / name for name in ("config.json", "model.safetensors"))
    assert weights.stat().st_mode == config.stat().st_mode


def test_fault_58_a_flipped_bit_is_refused(exported: tuple[ModelBundle, Path]) -> None:
    file = exported[1] / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-100] ^= 1
    file.write_bytes(content)
    with pytest.raises(RequestError, match=r"model\.safetensors: damaged"):
        safetensors.load(exported[1])


def test_fault_60_weights_of_another_architecture_are_told(exported: tuple[ModelBundle, Path]) -> None:
    file = exported[1] / "config.json"
    config = json.loads(file.read_text())
    config["model_args"]["embed_dim"] = 96
    file.write_text(json.dumps(config))
    with pytest.raises(
        RequestError, match=r"weights are of another model.*cls_token: file \(1, 1, 48\), model \(1, 1, 96\)"
    ):
        safetensors.load(exported[1])


def test_a_description_that_says_too_little_is_told(exported: tuple[ModelBundle, Path]) -> None:
    file = exported[1] / "config.json"
    config = json.loads(file.read_text())
    for content, reason in {
        json.dumps({k: v for k, v in config.items() if k != "label_names"}): "says nothing about 'label_names'",
        json.dumps(
            config | {"pretrained_cfg": config["pretrained_cfg"] | {"interpolation": "random"}}
        ): "'random' is none of",
        json.dumps(config | {"pretrained_cfg": config["pretrained_cfg"] | {"input_size": [3, 32, 48]}}): "not square",
        "[]": "not readable",
        "{": "not readable",
    }.items():
        file.write_text(content)
        with pytest.raises(RequestError, match=reason):
            safetensors.load(exported[1])


def test_a_module_of_ones_own_cannot_become_a_folder_for_timm(tmp_path: Path) -> None:
    own = ModelBundle(torch.nn.Linear(2, 3), "mine", {}, ("a", "b", "c"), P)
    with pytest.raises(WorkFailed, match="'mine' is no timm architecture"):
        safetensors.write(own, tmp_path)
