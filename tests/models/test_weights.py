"""Weights from a hub, from its cache, from a folder, a run, a file; and none to be had (fault 38)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tests.hub import FakeHub, serving

import vitscope
from vitscope.config import DataConfig, ModelConfig, RunConfig, merge
from vitscope.errors import RequestError
from vitscope.models.architecture import describe
from vitscope.models.create import create_model
from vitscope.models.fitting import fitted
from vitscope.models.weights import load_initial, new_module, published_module
from vitscope.workflows.initial import initial_module
from vitscope.workflows.resolve import check_init

NAME = "vit_tiny_patch16_224.augreg_in21k_ft_in1k"
REPOSITORY = "timm/vit_tiny_patch16_224.augreg_in21k_ft_in1k"
REVISION = "0123456789abcdef0123456789abcdef01234567"

SCRIPT = """
import sys, torch
from vitscope.cli.app import main
from vitscope.config import DataConfig, ModelConfig
from vitscope.errors import RequestError
from vitscope.models.architecture import describe
from vitscope.models.weights import published_module
a = describe(ModelConfig(name=sys.argv[1], pretrained=True, kwargs={"depth": 1}), DataConfig(), 5)
try:
    module = published_module(sys.argv[1], a, 5).module
except RequestError as error:
    print("TOLD", error)
else:
    print("SUM", module.blocks[0].attn.qkv.weight.double().sum().item(), module.head.weight.shape[0])
"""


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file like the published one, of one block."""
    torch.manual_seed(5)
    file = tmp_path_factory.mktemp("weights") / "model.safetensors"
    save_file(create_model("vit_tiny_patch16_224", num_classes=1000, depth=1).state_dict(), file)
    return file


def expected_sum(weights: Path) -> float:
    from safetensors.torch import load_file

    return load_file(weights)["blocks.0.attn.qkv.weight"].double().sum().item()


@pytest.fixture
def hub(weights: Path) -> Iterator[str]:
    """A hub on the loopback that has the weights."""
    with serving(FakeHub({REPOSITORY: {REVISION: {"model.safetensors": weights.read_bytes()}}})) as served:
        yield served.url


def load_in_a_process(cache: Path, name: str = NAME, **environment: str) -> str:
    """A fresh interpreter: the hub's client reads its environment when it is imported."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("HF_") and "proxy" not in k.lower()}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, name],
        env={**clean, "HF_HOME": str(cache), "HF_HUB_DISABLE_XET": "1", **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_published_weights_come_from_the_hub_and_then_from_the_cache(hub: str, weights: Path, tmp_path: Path):
    told, total, classes = load_in_a_process(tmp_path / "hf", HF_ENDPOINT=hub).split()
    assert told == "SUM"
    assert float(total) == pytest.approx(expected_sum(weights), abs=1e-9)
    assert classes == "5"
    again = load_in_a_process(tmp_path / "hf", HF_ENDPOINT="http://127.0.0.1:9", HF_HUB_OFFLINE="1")
    assert float(again.split()[1]) == pytest.approx(expected_sum(weights), abs=1e-9)


def test_fault_38_without_a_network_the_cache_and_the_way_by_hand_are_told(tmp_path: Path):
    told = load_in_a_process(tmp_path / "hf", HF_ENDPOINT="http://127.0.0.1:9", HF_HUB_OFFLINE="1")
    assert told.startswith("TOLD")
    assert str(tmp_path / "hf") in told
    assert "HF_ENDPOINT is http://127.0.0.1:9" in told
    assert "--model local-dir:FOLDER --pretrained" in told


def test_weights_from_a_local_folder_at_another_image_size(tmp_path: Path):
    torch.manual_seed(1)
    source = create_model(
        "vit_tiny_patch16_224", num_classes=7, img_size=32, patch_size=8, embed_dim=32, depth=1, num_heads=2
    )
    save_file(source.state_dict(), tmp_path / "model.safetensors")
    sizes = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 1, "num_heads": 2}
    config = {
        "architecture": "vit_tiny_patch16_224",
        "num_classes": 7,
        "model_args": sizes,
        "pretrained_cfg": {
            "input_size": [3, 32, 32],
            "num_classes": 7,
            "first_conv": "patch_embed.proj",
            "classifier": "head",
        },
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    name = f"local-dir:{tmp_path}"
    a = describe(ModelConfig(name=name, pretrained=True, image_size=64), DataConfig(), 3)
    module = published_module(name, a, 3).module
    assert torch.equal(module.blocks[0].mlp.fc1.weight, source.blocks[0].mlp.fc1.weight)
    assert module.pos_embed.shape == (1, 65, 32)
    assert module.head.weight.shape == (3, 32)


def test_no_published_weights_are_told():
    a = describe(ModelConfig(name="vit_tiny_convstem", pretrained=True), DataConfig(), 3)
    with pytest.raises(RequestError, match="No pretrained weights exist"):
        published_module("vit_tiny_convstem", a, 3)


def test_fault_60_another_number_of_classes_is_told_and_the_head_replaced_when_asked(
    pictures: Path, make_pictures, tiny: dict, tmp_path: Path
):
    run = vitscope.train(pictures, workspace=tmp_path / "ws", **tiny)
    same = vitscope.train(
        pictures, workspace=tmp_path / "ws", **merge(tiny, {"model": {"init": run.id}, "train": {"epochs": 1}})
    )
    assert same.status == "finished"
    others = make_pictures({"dog": 12, "cat": 12}, name="others")
    with pytest.raises(RequestError, match="--new-head"):
        vitscope.train(others, workspace=tmp_path / "ws", **merge(tiny, {"model": {"init": run.id}}))
    assert len([*vitscope.Workspace(tmp_path / "ws").runs_folder.iterdir()]) == 2
    replaced = vitscope.train(
        others, workspace=tmp_path / "ws", **merge(tiny, {"model": {"init": run.id, "new_head": True}})
    )
    assert replaced.status == "finished"


def test_fault_60_weights_of_another_architecture_tell_which_tensors_differ():
    sizes = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "num_heads": 2}
    a = describe(
        ModelConfig(image_size=32, kwargs={"patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 2}),
        DataConfig(),
        3,
    )
    module = new_module(a, 3)
    other = create_model("vit_tiny_patch16_224", num_classes=3, depth=3, **sizes).state_dict()
    with pytest.raises(RequestError, match=r"blocks\.2\.[a-z0-9.]+: not in the model"):
        load_initial(module, other, "other", same_classes=True, new_head=False)


def test_a_new_head_keeps_the_body():
    a = describe(
        ModelConfig(image_size=32, kwargs={"patch_size": 8, "embed_dim": 32, "depth": 1, "num_heads": 2}),
        DataConfig(),
        3,
    )
    source, module = new_module(a, 9), new_module(a, 3)
    head = module.head.weight.clone()
    fresh = load_initial(module, source.state_dict(), "source", same_classes=False, new_head=True)
    assert sorted(fresh) == ["head.bias", "head.weight"]
    assert torch.equal(module.head.weight, head)
    assert torch.equal(module.blocks[0].attn.qkv.weight, source.blocks[0].attn.qkv.weight)


def test_a_backbones_file_starts_a_model_of_another_image_size(tmp_path: Path):
    """Its position embedding is resized, and the head, which it lacks, is new; neither needs an option."""
    sizes = {"patch_size": 8, "embed_dim": 32, "depth": 1, "num_heads": 2}
    backbone = create_model("vit_tiny_patch16_224", num_classes=0, img_size=48, **sizes)
    file = tmp_path / "backbone.safetensors"
    save_file({k: v.contiguous() for k, v in backbone.state_dict().items()}, file)
    c = RunConfig(model=ModelConfig(init=str(file), image_size=32, kwargs=dict(sizes)))
    a = describe(c.model, c.data, 3)
    module, told = initial_module(c, a, ("a", "b", "c"), vitscope.Workspace(tmp_path / "ws"), resumed=False)
    assert told == []
    assert check_init(c.model, vitscope.Workspace(tmp_path / "ws")) == [
        f"{file} has no classifier head; a new one starts at random."
    ]
    assert torch.equal(module.blocks[0].attn.qkv.weight, backbone.blocks[0].attn.qkv.weight)
    resized = fitted(backbone.state_dict(), backbone, module, plain=False).weights["pos_embed"]
    assert module.pos_embed.shape == resized.shape == (1, 17, 32)
    assert torch.equal(module.pos_embed, resized)
    assert not torch.equal(resized[:, 1:], backbone.pos_embed[:, 1:17])
