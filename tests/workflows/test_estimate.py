"""What a run would cost, against counts by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import save_file

from vitscope.cli.dry_run import lines
from vitscope.config import merge
from vitscope.models.weights import new_module
from vitscope.storage.workspace import Workspace
from vitscope.training.budget import EVALUATION_SHARE
from vitscope.workflows.estimate import estimate
from vitscope.workflows.resolve import resolve


@pytest.fixture
def tiny_estimate(pictures: Path, tiny: dict, tmp_path: Path):
    return estimate(merge(tiny, {"data": {"source": str(pictures)}}), Workspace(tmp_path / "ws"))


def test_parameters_by_hand(tiny_estimate):
    d, tokens, classes, depth = 32, 17, 3, 2
    block = 2 * (2 * d) + (d * 3 * d + 3 * d) + (d * d + d) + (d * 4 * d + 4 * d) + (4 * d * d + d)
    expected = (3 * 8 * 8 * d + d) + d + tokens * d + depth * block + 2 * d + (d * classes + classes)
    assert tiny_estimate.parameters == expected


def test_flops_by_hand(tiny_estimate):
    d, n, classes, depth, patches = 32, 17, 3, 2, 16
    linear = n * d * (3 * d + d + 4 * d + 4 * d)
    attention = 2 * n * n * d
    expected = 2 * (patches * 3 * 8 * 8 * d + depth * (linear + attention) + d * classes)
    assert tiny_estimate.forward_flops == expected
    assert tiny_estimate.training_flops == 3 * expected * 3 * 8 * 2  # 3 steps of 8 images, 2 epochs


def test_sizes_are_of_the_right_order(tiny_estimate):
    assert tiny_estimate.checkpoint_bytes == 4 * tiny_estimate.parameters * 3  # weights and AdamW's two moments
    assert tiny_estimate.memory.weights == 4 * 4 * tiny_estimate.parameters  # and their gradients
    assert 0 < tiny_estimate.memory.activations + tiny_estimate.memory.batch < 20e6
    assert tiny_estimate.memory.kept == (3 + 8) * 3 * 32 * 32 * 4  # validation and test
    assert tiny_estimate.step_s > 0
    assert tiny_estimate.total_s > 6 * tiny_estimate.step_s


def test_what_is_frozen_or_dropped_keeps_less_for_the_backward_pass(pictures: Path, tiny: dict, tmp_path: Path):
    def kept(model: dict) -> int:
        options = {"data": {"source": str(pictures)}, "model": {"drop_path": 0.0, **model}}
        return estimate(merge(tiny, options), Workspace(tmp_path / "ws")).memory.activations

    assert kept({"patch_drop": 0.5}) < 0.7 * kept({})
    assert kept({"frozen": 0.7}) < 0.6 * kept({})


def test_the_head_alone_sees_each_picture_once(
    pictures: Path, tiny: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("vitscope.workflows.estimate.image_s", lambda subject, choices: 0.01)
    asked = merge(tiny, {"data": {"source": str(pictures)}, "train": {"epochs": 50}})
    a = resolve(asked, Workspace(tmp_path / "ws")).architecture
    save_file(new_module(a, 3).state_dict(), tmp_path / "weights.safetensors")
    asked = merge(asked, {"recipe": "linear-probe", "model": {"init": str(tmp_path / "weights.safetensors")}})
    asked["augment"] = {}
    found = estimate(asked, Workspace(tmp_path / "ws"))
    assert found.total_s == pytest.approx((24 + 3 + 8) * 0.01)  # whole batches, validation, test
    assert found.training_flops == 24 * found.forward_flops
    del asked["train"]["epochs"]
    asked["train"]["time_budget"] = "1m"
    found = estimate(asked, Workspace(tmp_path / "ws"))
    assert (found.epochs, found.total_s) == (None, 60)
    assert any("as many steps of the head as fit" in line for line in lines(found, Workspace(tmp_path / "ws")))


def test_more_epochs_of_growing_pictures_fit_into_a_budget(
    pictures: Path, tiny: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("vitscope.workflows.estimate.image_s", lambda subject, choices: 0.01)

    def epochs(start: float) -> float:
        options = {"data": {"source": str(pictures)}, "schedule": {"start_size": start}}
        budget = {"train": {"time_budget": "10m", "epochs": 1}}
        del (asked := merge(tiny, options, budget))["train"]["epochs"]
        return estimate(asked, Workspace(tmp_path / "ws")).epochs

    assert epochs(1.0) == pytest.approx((1 - EVALUATION_SHARE) * 600 / (24 * 0.01))  # 24 pictures an epoch
    assert epochs(0.5) == pytest.approx(epochs(1.0) / (0.375 * 0.5**2 + 0.375 * 0.75**2 + 0.25))
