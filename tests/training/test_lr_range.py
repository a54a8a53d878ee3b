"""Suggestions from curves whose good rate is known, and a sweep of a real training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.training.test_loop import assembled

from vitscope.training.lr_range import Point, batches, suggest, sweep

LRS = np.geomspace(1e-6, 1.0, 100)


def points(loss: np.ndarray, noise: float = 0.0, seed: int = 0) -> list[Point]:
    noisy = loss + noise * np.random.default_rng(seed).normal(size=len(loss))
    return [Point(float(lr), float(value)) for lr, value in zip(LRS, noisy, strict=True)]


def falling(at: float) -> np.ndarray:
    """From 2.3 down to 1.3, steepest at the rate `at`, and up again well after it."""
    place = np.log10(LRS / at)
    return 2.3 - 1 / (1 + np.exp(-4 * place)) + 0.2 * np.maximum(0.0, place - 1.5) ** 2


@pytest.mark.parametrize("at", [1e-4, 1e-3, 1e-2])
@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_the_steepest_fall(at: float, noise: float):
    found = suggest(points(falling(at), noise))
    assert found is not None
    assert found.lr == pytest.approx(at, rel=1.0)
    assert found.rule == "where the loss falls fastest"


def test_a_tenth_of_where_it_rises_where_it_never_falls():
    found = suggest(points(2.3 + 3 * np.maximum(0.0, np.log10(LRS / 1e-2)), noise=0.01))
    assert found is not None
    assert 3e-4 < found.lr < 5e-3
    assert "begins to rise" in found.rule


@pytest.mark.parametrize("seed", range(20))
def test_noise_alone_suggests_nothing(seed: int):
    assert suggest(points(np.full(100, 2.3), noise=0.1, seed=seed)) is None


def test_a_few_steps_suggest_nothing():
    assert suggest(points(falling(1e-3))[:5]) is None


def test_a_sweep_trains_at_the_rates_that_it_tells(pictures: Path, tiny: dict, tmp_path: Path):
    t = assembled(pictures, tmp_path, {**tiny, "optim": {"name": "sgd", "momentum": 0.0, "weight_decay": 0.0}})
    before = [p.detach().clone() for p in t.trained.module.parameters()]
    told: list[Point] = []
    found = sweep(t, 1e-3, 2e-3, 12, told.append)
    assert found == told
    np.testing.assert_allclose([point.lr for point in found], np.geomspace(1e-3, 2e-3, 12))
    assert t.trained.optimizer.param_groups[0]["lr"] == pytest.approx(2e-3)
    assert any(not torch.equal(a, b) for a, b in zip(before, t.trained.module.parameters(), strict=True))


def test_divergence_ends_it(pictures: Path, tiny: dict, tmp_path: Path):
    t = assembled(pictures, tmp_path, {**tiny, "optim": {"name": "sgd", "momentum": 0.0, "clip_grad": None}})
    assert len(sweep(t, 1.0, 1e5, 60)) < 60


def test_batches_go_on_beyond_an_epoch(pictures: Path, tiny: dict, tmp_path: Path):
    t = assembled(pictures, tmp_path, tiny)
    endless = batches(t)
    seen = [next(endless).samples for _ in range(2 * t.loader.steps_per_epoch)]
    assert t.trained.progress.epoch == 1
    assert seen[0] != seen[t.loader.steps_per_epoch]
