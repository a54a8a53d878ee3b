"""A head that learns from features computed once ends where it would have learning from the pictures."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import vitscope
from vitscope import config
from vitscope.config import merge
from vitscope.models.create import create_model
from vitscope.training import features
from vitscope.training.checkpoint import Checkpoints
from vitscope.training.optim import freeze
from vitscope.workflows import assemble

SIZES = {"patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 2}
STILL = {"crop_scale": [1.0, 1.0], "crop_ratio": [1.0, 1.0], "flip": 0.0}


@pytest.fixture
def probing(tiny: dict, tmp_path: Path) -> dict:
    torch.manual_seed(1)
    module = create_model("vit_tiny_patch16_224", num_classes=3, img_size=32, **SIZES)
    save_file(module.state_dict(), tmp_path / "w.safetensors")
    model = {"init": str(tmp_path / "w.safetensors"), "frozen": 1.0, "drop_path": 0.0}
    train = {"epochs": 3, "ema_decay": 0.5, "accumulation": 2}
    still = {"augment": STILL, "schedule": {"start_size": 1.0}}
    return merge(tiny, still, {"model": model, "train": train, "optim": {"lr": 0.01}})


def test_it_learns_the_same_and_the_body_runs_once(
    pictures: Path, probing: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    run = vitscope.train(pictures, workspace=tmp_path / "once", **probing)
    monkeypatch.setattr(assemble, "suffice", lambda module, c: False)
    other = vitscope.train(pictures, workspace=tmp_path / "each", **probing)
    one, two = (Checkpoints(r.folder / "checkpoints").load() for r in (run, other))
    assert one.step == two.step
    assert one.weights.keys() == two.weights.keys()
    for name in one.weights:
        torch.testing.assert_close(one.weights[name], two.weights[name], atol=2e-4, rtol=1e-3)
    assert one.average is not None
    assert not torch.equal(one.average["head.weight"], one.weights["head.weight"])
    given = create_model("vit_tiny_patch16_224", num_classes=3, img_size=32, **SIZES).state_dict()
    assert not torch.equal(one.weights["head.weight"], given["head.weight"])
    columns = ["step", "split", "name"]
    first, second = (
        r.metrics().query("name in ['loss', 'top1', 'epoch_loss']").set_index(columns)["value"] for r in (run, other)
    )
    assert (first - second).abs().max() < 2e-3
    assert any(text.startswith("Only the head learns") for text in run_events(run))


def run_events(run: vitscope.Run) -> list[str]:
    from vitscope.metrics import query

    return [event.text for event in query.events(run.workspace.database, run.id)]


@pytest.mark.parametrize(
    "options",
    [
        {"augment": {"flip": 0.5}},
        {"augment": {"crop_scale": [0.5, 1.0]}},
        {"augment": {"mixup": 0.2}},
        {"augment": {"rotate": 5.0}},
        {"augment": {"policy": "trivial"}},
        {"model": {"dropout": 0.1}},
        {"model": {"drop_path": 0.1}},
    ],
)
def test_what_changes_from_epoch_to_epoch_is_computed_anew(options: dict):
    module = create_model("vit_tiny_patch16_224", num_classes=3, img_size=32, **SIZES)
    still = config.build({"augment": STILL})
    assert not features.suffice(module, still)
    freeze(module, 1.0)
    assert features.suffice(module, still)
    assert not features.suffice(module, config.build({"augment": STILL}, options))


def test_more_than_the_head_learns():
    """A model that averages its patches trains the norm after them too."""
    module = create_model("vit_tiny_patch16_224", num_classes=3, img_size=32, global_pool="avg", **SIZES)
    freeze(module, 1.0)
    assert not features.suffice(module, config.build({"augment": STILL}))


def test_frozen_layers_keep_nothing_for_a_backward_pass():
    """So a step without features computed before costs the body's forward pass alone."""
    module = create_model("vit_tiny_patch16_224", num_classes=3, img_size=32, **SIZES)
    freeze(module, 1.0)
    own = {p.untyped_storage().data_ptr() for p in module.parameters()}
    kept: list[torch.Tensor] = []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.untyped_storage().data_ptr() not in own:
            kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        module(torch.randn(4, 3, 32, 32))
    assert [tuple(t.shape) for t in kept] == [(4, 32)]  # the head's input
