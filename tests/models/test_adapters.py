"""LoRA: what learns, that it is what its paper says, and that what is saved is an ordinary timm model."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import vitscope
from vitscope.config import DataConfig, ModelConfig, merge
from vitscope.errors import RequestError
from vitscope.models import adapters
from vitscope.models.adapters import adapted, linear_layers, merged
from vitscope.models.architecture import describe
from vitscope.models.bundle import ModelBundle
from vitscope.models.create import create_model
from vitscope.models.weights import new_module
from vitscope.training.checkpoint import Checkpoints

SIZES = {"patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 2}


def made(name: str = "vit_tiny_patch16_224"):
    a = describe(ModelConfig(name=name, image_size=32, kwargs=SIZES), DataConfig(), 3)
    torch.manual_seed(0)
    return a, new_module(a, 3).eval()


def test_nothing_but_the_pairs_and_the_head_learns_and_at_first_nothing_changes():
    a, module = made()
    layers = linear_layers(a, 3)
    assert layers == [f"blocks.{i}.{name}" for i in (0, 1) for name in ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")]
    learner = adapted(module, layers, rank=4)
    learned = {name: p.shape for name, p in learner.named_parameters() if p.requires_grad}
    assert {n for n in learned if "lora" not in n} == {"head.weight", "head.bias"}
    assert len(learned) == 2 * len(layers) + 2
    assert learned["blocks.0.attn.qkv.lora_A.default.weight"] == (4, 32)
    assert learned["blocks.0.attn.qkv.lora_B.default.weight"] == (96, 4)
    pictures = torch.randn(2, 3, 32, 32)
    assert torch.equal(learner(pictures), module(pictures))
    assert not any("lora" in name for name in module.state_dict())  # the given module is left alone


@torch.no_grad()
def test_merged_weights_are_w_plus_twice_b_a():
    a, module = made()
    learner = adapted(module, linear_layers(a, 3), rank=4)
    for name, parameter in learner.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    state, raw = merged(learner), learner.state_dict()
    assert state.keys() == module.state_dict().keys()
    for name in ("blocks.0.attn.qkv", "blocks.1.mlp.fc2"):
        product = raw[f"{name}.lora_B.default.weight"] @ raw[f"{name}.lora_A.default.weight"]
        torch.testing.assert_close(state[f"{name}.weight"], module.state_dict()[f"{name}.weight"] + 2 * product)
    pictures = torch.randn(2, 3, 32, 32)
    before = module(pictures)
    module.load_state_dict(state)
    torch.testing.assert_close(module(pictures), learner(pictures), atol=1e-5, rtol=1e-4)
    assert not torch.allclose(module(pictures), before, atol=1e-3)


@pytest.mark.parametrize("name", ["eva02_tiny_patch14_224", "beit_base_patch16_224", "deit3_small_patch16_224"])
def test_every_pair_learns_whatever_way_a_model_uses_its_layers(name: str):
    a, module = made(name)
    learner = adapted(module, linear_layers(a, 3), rank=2)
    learner(torch.randn(2, 3, 32, 32)).sum().backward()
    assert all(p.grad is not None for p in learner.parameters() if p.requires_grad)


@pytest.fixture
def given(tiny: dict, tmp_path: Path) -> dict:
    """Options that adapt the weights of a file."""
    torch.manual_seed(1)
    save_file(
        create_model("vit_tiny_patch16_224", num_classes=3, img_size=32, **SIZES).state_dict(),
        tmp_path / "w.safetensors",
    )
    return merge(tiny, {"model": {"init": str(tmp_path / "w.safetensors"), "lora_rank": 2}, "optim": {"lr": 0.01}})


@pytest.mark.parametrize("decay", [0.0, 0.5])
def test_a_checkpoint_is_an_ordinary_model(pictures: Path, given: dict, tmp_path: Path, decay: float):
    run = vitscope.train(pictures, workspace=tmp_path / "ws", **merge(given, {"train": {"ema_decay": decay}}))
    last = Checkpoints(run.folder / "checkpoints").last
    assert last is not None
    bundle, snapshot = ModelBundle.load(last), Checkpoints(run.folder / "checkpoints").load()
    assert snapshot.weights["blocks.0.attn.qkv.lora_B.default.weight"].any()
    used = snapshot.average if decay else snapshot.weights
    assert used is not None
    learner = adapted(
        bundle.module, linear_layers(describe(ModelConfig(image_size=32, kwargs=SIZES), DataConfig(), 3), 3), 2
    )
    learner.load_state_dict(used)
    inputs = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(bundle.module(inputs), learner(inputs), atol=1e-5, rtol=1e-4)
    assert (snapshot.average is None) == (decay == 0)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"init": None}, "Add --pretrained or --init"),
        ({"frozen": 0.5}, "model.frozen does not go with it"),
    ],
)
def test_what_cannot_be_adapted_is_told(pictures: Path, given: dict, tmp_path: Path, options: dict, says: str):
    with pytest.raises(RequestError, match=says):
        vitscope.train(pictures, workspace=tmp_path / "ws", **merge(given, {"model": options}))


def test_a_missing_package_is_told_with_its_command(
    pictures: Path, given: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(adapters, "find_spec", lambda name: None)
    with pytest.raises(RequestError, match=r"pip install 'vitscope\[lora\]'"):
        vitscope.train(pictures, workspace=tmp_path / "ws", **given)
