"""`--memory`: what is chosen fits by an estimate that is checked against what a step really holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vitscope.config import merge
from vitscope.errors import RequestError
from vitscope.storage.workspace import Workspace
from vitscope.text import parse_size
from vitscope.workflows.footprint import PROGRAM_BYTES, Estimator
from vitscope.workflows.resolve import Plan, resolve

WIDE = {"model": {"kwargs": {"embed_dim": 64, "depth": 4}}, "train": {"batch_size": 16}}


@pytest.fixture
def asked(pictures: Path, tiny: dict) -> dict[str, Any]:
    return merge(tiny, WIDE, {"data": {"source": str(pictures)}})


def decided(asked: dict[str, Any], place: Path, memory: str | None = None, **train: Any) -> Plan:
    return resolve(merge(asked, {"train": {"memory": memory, **train}}), Workspace(place / "ws"))


def estimator(plan: Plan) -> Estimator:
    return Estimator(plan.config, plan.architecture, len(plan.classes))


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [("8GB", 8_000_000_000), ("500 mb", 500_000_000), ("1.5GiB", 1_610_612_736), ("2000000", 2_000_000), ("3k", 3000)],
)
def test_sizes(text: str, size_bytes: int):
    assert parse_size(text) == size_bytes


@pytest.mark.parametrize("text", ["", "much", "-1GB", "0", "8 G B", "1e9", "8PB"])
def test_no_sizes(text: str, asked: dict[str, Any], tmp_path: Path):
    with pytest.raises(ValueError, match="is no size"):
        parse_size(text)
    with pytest.raises(RequestError, match=r"--memory: .* is no size"):
        decided(asked, tmp_path, text)


def test_weights_by_hand(asked: dict[str, Any], tmp_path: Path):
    plan = decided(asked, tmp_path)
    assert estimator(plan).weight_bytes == 4 * plan.architecture.parameters * 4  # itself, gradient, two moments
    with_average = decided(merge(asked, {"train": {"ema_decay": 0.9}}), tmp_path)
    assert estimator(with_average).weight_bytes == 5 * plan.architecture.parameters * 4


def test_activations_grow_evenly_and_shrink_when_computed_again(asked: dict[str, Any], tmp_path: Path):
    found = estimator(decided(asked, tmp_path))
    exact = found._once(5, "trained")
    assert found.activation_bytes(5, is_checkpointed=False) == pytest.approx(exact, rel=0.02)
    assert found.activation_bytes(16, is_checkpointed=True) < 0.6 * found.activation_bytes(16, is_checkpointed=False)


def test_more_parts_then_activations_computed_again_then_no(asked: dict[str, Any], tmp_path: Path):
    free = decided(asked, tmp_path)
    needs = {images: estimator(free).footprint(images, is_checkpointed=False).total for images in (1, 4, 16)}
    assert PROGRAM_BYTES["cpu"] < needs[1] < needs[4] < needs[16]
    plenty = decided(asked, tmp_path, str(needs[16]))
    assert (plenty.config.train.accumulation, plenty.config.train.checkpoint_activations) == (1, False)
    some = decided(asked, tmp_path, str(needs[4]))
    assert (some.config.train.accumulation, some.config.train.checkpoint_activations) == (4, False)
    assert any("4 images at a time (4 parts of a batch of 16)" in notice for notice in some.notices)
    little = decided(asked, tmp_path, str(needs[1] - 1))
    assert little.config.train.checkpoint_activations
    assert estimator(little).footprint(-(-16 // little.config.train.accumulation), True).total < needs[1]
    with pytest.raises(RequestError, match=r"one image at a time, its activations computed again, needs about 80\d"):
        decided(asked, tmp_path, "300MB")


def test_a_resume_keeps_what_was_chosen(asked: dict[str, Any], tmp_path: Path):
    free = decided(asked, tmp_path)
    plan = decided(asked, tmp_path, str(estimator(free).footprint(4, is_checkpointed=False).total))
    file = tmp_path / "manifest.parquet"
    plan.manifest.save(file)
    kept = merge(plan.config.model_dump(mode="json"), {"train": {"accumulation": 2}})
    assert resolve(kept, Workspace(tmp_path / "ws"), file).config.train.accumulation == 2
