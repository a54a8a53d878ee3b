"""A small model of every family goes the whole way: trained, resumed bit for bit, evaluated, looked into, exported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import vitscope
from tests.families import EACH, SMALL
from tests.workflows.test_resume import assert_equal, everything, resumed_elsewhere
from vitscope.config import merge
from vitscope.errors import RequestError
from vitscope.workflows.footprint import Estimator
from vitscope.workflows.models import families, show
from vitscope.workflows.resolve import resolve

# Kinds of attention that the probe shows; of the others it says why not.
SHOWN = {
    **dict.fromkeys(
        ("dinov2", "dinov3", "siglip", "clip", "relpos", "rope", "rope/pe", "hybrid", "vit", "vit/convstem",
         "vit/poolstem", "flexivit", "naflexvit", "naflexvit/map", "aimv2", "deit", "deit/distilled", "deit3", "beit",
         "beit/v2", "eva", "deepseek_vit", "gemma4_vit", "qwen3_vit", "vitamin", "fastvit"),
        "global",
    ),
    **dict.fromkeys(("swin", "swinv2"), "window"),
    "cait": "class",
    "xcit": "channel",
}  # fmt: skip
NO_DROP_PATH = {"efficientvit_mit", "efficientvit_msra", "shvit"}


def options(kind: str, tiny: dict[str, Any]) -> dict[str, Any]:
    name, size, kwargs = SMALL[kind]
    return merge(
        {k: v for k, v in tiny.items() if k != "model"},
        {
            "model": {"name": name, "image_size": size, "kwargs": kwargs, "dropout": 0.1},
            "optim": {"layer_decay": 0.8},
            "train": {"epochs": 1, "ema_decay": 0.9},
            "checkpoint": {"every_steps": 1, "keep": 100},
        },
        {} if kind in NO_DROP_PATH else {"model": {"drop_path": 0.2}},
    )


@pytest.mark.parametrize("kind", EACH)
def test_a_small_model_goes_the_whole_way(kind: str, pictures: Path, tiny: dict, tmp_path: Path):
    run = vitscope.train(pictures, workspace=tmp_path / "ws", **options(kind, tiny))
    whole = everything(run)
    assert_equal(everything(resumed_elsewhere(run, "step-00000001", tmp_path / "resumed", workers=0)), whole, kind)
    measured = vitscope.evaluate(run, split="test")
    assert measured.count == 8
    assert 0 <= measured.top1 <= 1
    inside = vitscope.inspect(run, pictures / "apple" / "000.png")
    assert inside.attention_kind == SHOWN.get(kind, "none"), inside.attention_reason
    assert bool(inside.attention) == (kind in SHOWN) == (not inside.attention_reason)
    overview = vitscope.workflows.views.Views(run, tmp_path / "ws").document("overview")
    assert overview["model"]["family"] == kind.split("/")[0]
    safe = vitscope.export(run, to="safetensors")[0]
    assert safe.passed


@pytest.mark.long
@pytest.mark.parametrize("kind", SMALL)
def test_its_onnx_file_is_the_model(kind: str, pictures: Path, tiny: dict, tmp_path: Path):
    run = vitscope.train(pictures, workspace=tmp_path / "ws", **options(kind, tiny))
    exported = vitscope.export(run, to="onnx")[0]  # raises where it differs
    assert exported.passed
    assert exported.report["images"] == 8
    assert vitscope.evaluate(exported.path, pictures).count == 40


@pytest.mark.parametrize("kind", EACH)
def test_what_it_shows_is_what_a_pass_shows(kind: str):
    """Found without computing anything, and the same as in a run."""
    found = show(SMALL[kind].name, SMALL[kind].kwargs)
    assert found.family == kind.split("/")[0]
    assert found.takes_drop_path == (kind not in NO_DROP_PATH)
    assert found.attention == SHOWN.get(kind, "none")
    assert found.image_size in found.image_sizes


def test_families_are_counted():
    rows = {row.name: row for row in families()}
    assert rows["swin"].models == 9
    assert all(row.models > 0 and row.about for row in rows.values())


def test_an_option_that_a_model_does_not_take_is_told_before_any_work(pictures: Path, tiny: dict, tmp_path: Path):
    request = merge(options("shvit", tiny), {"data": {"source": str(pictures)}})
    place = vitscope.Workspace(tmp_path / "ws")
    with pytest.raises(RequestError, match="shvit_s1 takes no drop path"):
        resolve(merge(request, {"model": {"drop_path": 0.1}}), place)
    plan = resolve(merge(request, {"recipe": "scratch"}), place)
    assert plan.config.model.drop_path == 0
    assert any("the recipe's model.drop_path is left out" in text for text in plan.notices)


def test_batch_norm_is_told_before_any_work(pictures: Path, tiny: dict, tmp_path: Path):
    request = merge(options("levit", tiny), {"data": {"source": str(pictures)}})
    place = vitscope.Workspace(tmp_path / "ws")
    with pytest.raises(RequestError, match="normalises over the batch and cannot learn from 1 image"):
        resolve(merge(request, {"train": {"accumulation": 8}}), place)
    plan = resolve(merge(request, {"train": {"accumulation": 2}}), place)
    assert any("not quite the same as the whole" in text for text in plan.notices)
    enough = {"train": {"memory": "16GB"}}
    whole = resolve(merge(request, enough), place)
    assert not any("not quite the same" in text for text in whole.notices)
    estimator = Estimator(whole.config, whole.architecture, 3)
    tight = estimator.footprint(4, is_checkpointed=False).total
    parted = resolve(merge(request, {"train": {"memory": f"{tight / 1e9:.6f}GB"}}), place)
    assert parted.config.train.accumulation > 1
    assert sum("not quite the same" in text for text in parted.notices) == 1
    averaging = resolve(merge(request, {"optim": {"name": "schedulefree"}, "train": {"ema_decay": 0.0}}), place)
    assert any("batch norm, whose statistics" in text for text in averaging.notices)


def test_frozen_batch_norm_stays_as_it_is(pictures: Path, tiny: dict, tmp_path: Path):
    run = vitscope.train(
        pictures, workspace=tmp_path / "ws", **merge(options("levit", tiny), {"model": {"frozen": 0.5}})
    )
    bundles = [vitscope.load(run.folder / "checkpoints" / f"step-0000000{step}") for step in (1, 3)]
    first, last = (bundle.module.state_dict() for bundle in bundles)
    still = {name for name in first if "running_mean" in name and first[name].equal(last[name])}
    assert any(name.startswith("stem.") for name in still)
    assert still < {name for name in first if "running_mean" in name}
