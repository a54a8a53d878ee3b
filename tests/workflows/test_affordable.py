"""What a run can afford where nobody said, against costs counted here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save_file

from vitscope.config import merge
from vitscope.machine import Choices
from vitscope.models.architecture import describe
from vitscope.models.weights import new_module
from vitscope.storage.workspace import Workspace
from vitscope.training.recipes import RECIPES
from vitscope.workflows import affordable
from vitscope.workflows.cost import forward_flops, forward_passes, learns_on_features, passes_of_step
from vitscope.workflows.measure import Subject
from vitscope.workflows.resolve import Plan, resolve

SMALL = {
    "model": {"name": "vit_tiny_patch16_224", "kwargs": {"embed_dim": 16, "depth": 1, "num_heads": 1}},
    "train": {"device": "cpu", "precision": "fp32"},
}


@pytest.fixture
def photos(make_pictures: Callable[..., Path]) -> Path:
    """48 pictures, 300 pixels high."""
    return make_pictures({"a": 24, "b": 24}, size=300)


@pytest.fixture
def decided(tmp_path: Path) -> Callable[..., Plan]:
    def resolved(source: Path, *options: dict[str, Any]) -> Plan:
        requested = merge(SMALL, {"data": {"source": str(source)}}, *options)
        return resolve(requested, Workspace(tmp_path / "ws"), may_time=True)

    return resolved


def flops_at(plan: Plan, size: int) -> int:
    a = describe(plan.config.model.model_copy(update={"image_size": size}), plan.config.data, 2)
    return forward_flops(plan.config, a, 2)


def sizes_told(plan: Plan) -> list[str]:
    return [text for text in plan.notices if "The model sees the pictures at" in text]


def test_what_is_affordable_stays_as_it_was_published(photos: Path, decided: Callable[..., Plan]):
    plan = decided(photos)
    assert plan.config.model.image_size == 224
    assert sizes_told(plan) == []


def test_on_a_cpu_the_largest_that_a_run_can_afford(
    photos: Path, decided: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch
):
    whole = decided(photos)
    images = len(whole.manifest.of_split("train")) * whole.config.train.epochs
    monkeypatch.setattr(affordable, "CPU_FLOPS", 3 * images * flops_at(whole, 176) + 1)
    plan = decided(photos)
    assert plan.config.model.image_size == 176
    assert "176 pixels, not at the 224" in sizes_told(plan)[0]
    assert plan.architecture.kwargs["img_size"] == 176


def test_never_below_the_least_grid(photos: Path, decided: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(affordable, "CPU_FLOPS", 1.0)
    assert decided(photos).config.model.image_size == affordable.LEAST_GRID * 16


def test_what_is_asked_for_stays(photos: Path, decided: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(affordable, "CPU_FLOPS", 1.0)
    assert decided(photos, {"model": {"image_size": 208}}).config.model.image_size == 208


def test_small_pictures_are_not_blown_up(make_pictures: Callable[..., Path], decided: Callable[..., Plan]):
    plan = decided(make_pictures({"a": 24, "b": 24}, name="small", size=150))
    assert plan.config.model.image_size == 160  # the last whole patch below 1.15 × 150
    assert "about 150 pixels wide" in sizes_told(plan)[0]


def test_a_model_of_one_size_keeps_it(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(affordable, "CPU_FLOPS", 1.0)
    requested = {"model": {"name": "convit_tiny"}, "data": {"source": str(photos)}, "train": {"device": "cpu"}}
    plan = resolve(requested, Workspace(tmp_path / "ws"))
    assert not plan.architecture.takes_any_size
    assert plan.config.model.image_size == 224


@pytest.mark.parametrize("seconds", [30, 60, 120])
def test_a_time_budget_holds_the_epochs_that_a_recipe_wants(
    photos: Path, decided: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch, seconds: int
):
    rate = 1e9  # FLOP/s of a made-up machine
    monkeypatch.setattr(affordable, "image_s", lambda s, _: 3 * forward_flops(s.config, s.architecture, 2) / rate)
    plan = decided(photos, {"train": {"time_budget": f"{seconds}s"}})
    images, chosen = len(plan.manifest.of_split("train")), plan.config.model.image_size
    assert chosen is not None

    def epochs(size: int) -> float:
        return affordable.TRAINED_SHARE * seconds * rate / (3 * images * flops_at(plan, size))

    wanted = affordable.WANTED_EPOCHS[False]
    assert chosen == affordable.LEAST_GRID * 16 or epochs(chosen) >= wanted
    assert chosen == 224 or epochs(chosen + 16) < wanted


@pytest.mark.parametrize(
    ("images", "has_weights", "epochs"),
    [(1_000, False, 30), (1_000, True, 8), (42_500, False, 12), (42_500, True, 8), (1_300_000, False, 3)],
)
def test_of_many_pictures_fewer_epochs_are_enough(images: int, has_weights: bool, epochs: int):
    assert affordable.wanted_epochs(images, has_weights=has_weights) == epochs


def test_the_largest_that_fits_is_found():
    for most in range(12):
        found = affordable.largest(list(range(2, 10)), lambda size, most=most: size <= most)
        assert found == max([s for s in range(2, 10) if s <= most], default=2)


def test_head_only_runs_see_each_picture_once(photos: Path, decided: Callable[..., Plan]):
    plan = decided(photos)
    probe = plan.config.model_copy(
        update={
            "model": plan.config.model.model_copy(update={"frozen": 1.0, "drop_path": 0.0}),
            "augment": plan.config.augment.model_validate(RECIPES["linear-probe"].OPTIONS["augment"]),
        }
    )
    assert learns_on_features(probe, plan.architecture, 2)
    assert forward_passes(probe, 100, 40, on_features=True) == 100
    for group, changes in (
        ("model", {"frozen": 0.9}),
        ("model", {"drop_path": 0.1}),
        ("model", {"patch_drop": 0.1}),
        ("augment", {"flip": 0.5}),
        ("augment", {"erase": 0.5}),
        ("augment", {"shift": 0.1}),
        ("augment", {"repeats": 2}),
        ("schedule", {"start_size": 0.5}),
        ("train", {"tta": "flip"}),
    ):
        changed = probe.model_copy(update={group: getattr(probe, group).model_copy(update=changes)})
        assert not learns_on_features(changed, plan.architecture, 2), changes
    averaged = probe.model_copy(update={"model": probe.model.model_copy(update={"pool": "avg"})})
    with_norm = describe(averaged.model, averaged.data, 2)  # between the patches' mean and the head
    assert not learns_on_features(averaged, with_norm, 2)
    assert forward_passes(plan.config, 100, 40, on_features=False) == 12_000
    growing = plan.config.model_copy(update={"schedule": plan.config.schedule.model_copy(update={"start_size": 0.5})})
    area = 0.375 * 0.5**2 + 0.375 * 0.75**2 + 0.25  # half the side, three quarters of it, the whole
    assert forward_passes(growing, 100, 40, on_features=False) == pytest.approx(12_000 * area)


def test_a_light_model_where_the_heavy_one_is_too_much(
    make_pictures: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    source = make_pictures({"a": 24, "b": 24}, name="small", size=64)

    def widths(most: float, **model: Any) -> tuple[Any, list[str]]:
        monkeypatch.setattr(affordable, "CPU_FLOPS", most)
        requested = {"data": {"source": str(source)}, "train": {"device": "cpu"}, "model": model}
        plan = resolve(requested, Workspace(tmp_path / "ws"))
        told = [text for text in plan.notices if "lighter model" in text]
        return plan, told

    plan, told = widths(float("inf"))
    assert (plan.architecture.kwargs["embed_dim"], told) == (192, [])
    images = len(plan.manifest.of_split("train")) * plan.config.train.epochs
    images *= forward_passes(plan.config, 100, 1, on_features=False) / 300  # as they grow
    heavy = 3 * images * forward_flops(plan.config, plan.architecture, 2)
    plan, told = widths(0.9 * heavy)
    assert plan.architecture.kwargs["embed_dim"] == 128
    assert plan.config.recipe == "scratch-small"
    assert "a CPU would take long" in told[0]
    assert widths(1.0)[0].architecture.kwargs["embed_dim"] == 96
    plan, told = widths(1.0, kwargs={"embed_dim": 64, "num_heads": 2})
    assert (plan.architecture.kwargs["embed_dim"], told) == (64, [])


def test_the_first_half_rests_where_a_budget_is_short_for_all_layers_at_the_largest_size(
    photos: Path, decided: Callable[..., Plan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Only of given weights, only for a time budget, and only where nobody said which layers learn."""
    seconds, rate = 60, 1.0

    def timed(s: Subject, choices: Choices) -> float:
        return passes_of_step(s.config) * forward_flops(s.config, s.architecture, s.classes) / rate

    monkeypatch.setattr(affordable, "image_s", timed)
    small: dict[str, Any] = {"recipe": "finetune", "model": {"kwargs": {"depth": 2}}}
    file = tmp_path / "weights.safetensors"
    save_file(new_module(decided(photos, small).architecture, 2).state_dict(), file)
    small["model"]["init"] = str(file)
    whole, least = decided(photos, small), affordable.LEAST_GRID * 16
    images = len(whole.manifest.of_split("train"))

    def frozen(most: float, **model: Any) -> tuple[int | None, float, int]:
        """The size, the share that rests and how often that is told, where a budget holds `most` FLOPs."""
        nonlocal rate
        rate = most / (affordable.TRAINED_SHARE * seconds)
        plan = decided(photos, small, {"model": model, "train": {"time_budget": f"{seconds}s"}})
        told = [text for text in plan.notices if "first half of the layers stays" in text]
        return plan.config.model.image_size, plan.config.model.frozen, len(told)

    def cost(size: int, share: float) -> float:
        c = affordable.with_model(whole.config, frozen=share)
        return forward_passes(c, images, affordable.WANTED_EPOCHS[True], on_features=False) * flops_at(whole, size)

    half = affordable.FROZEN
    assert frozen(1.0) == (least, half, 1)
    assert frozen(1.01 * cost(192, half)) == (192, half, 1)
    assert frozen(1.01 * cost(224, half)) == (224, half, 1)
    assert frozen(1.01 * cost(224, 0.0)) == (224, 0.0, 0)
    assert frozen(1.01 * cost(176, 0.0), frozen=0.0) == (176, 0.0, 0)
    assert frozen(1.0, image_size=208) == (208, half, 1)
    monkeypatch.setattr(affordable, "CPU_FLOPS", 1.0)
    assert decided(photos, small).config.model.frozen == 0.0
    del small["model"]["init"]
    assert frozen(1.0) == (least, 0.0, 0)


def test_what_rests_is_not_gone_through_backward(photos: Path, decided: Callable[..., Plan]):
    c = decided(photos).config
    half = c.model_copy(update={"model": c.model.model_copy(update={"frozen": 0.5})})
    assert passes_of_step(c) == 3
    assert passes_of_step(half) == 2
    assert forward_passes(half, 100, 4, on_features=False) == 800
