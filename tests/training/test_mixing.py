from __future__ import annotations

import numpy as np
import pytest
import torch

from vitscope.training.mixing import Mixing, cut_mix, smooth_one_hot, soft_cross_entropy_sum


def test_smoothed_targets_equal_torchs_label_smoothing():
    labels, logits = torch.tensor([0, 2, 1]), torch.randn(3, 4, generator=torch.Generator().manual_seed(1))
    ours = soft_cross_entropy_sum(logits, smooth_one_hot(labels, 4, 0.1)) / 3
    assert ours.item() == pytest.approx(
        torch.nn.functional.cross_entropy(logits, labels, label_smoothing=0.1).item(), abs=1e-6
    )


def test_without_mixing_pictures_stay_as_they_are():
    images = torch.rand(4, 3, 8, 8)
    mixed = Mixing(3, 0.0, 0.0, 0.0, seed=0)(images, torch.tensor([0, 1, 2, 0]), 0, 0)
    assert torch.equal(mixed.images, images)
    assert torch.equal(mixed.targets, torch.eye(3)[[0, 1, 2, 0]])


def test_mixup_mixes_pictures_and_targets_by_the_same_share():
    images = torch.eye(6)[:, :, None, None].expand(6, 6, 4, 4).contiguous()  # picture i has channel i at 1
    mixed = Mixing(6, 0.0, mixup=1.0, cutmix=0.0, seed=3)(images, torch.arange(6), epoch=2, step=5)
    assert torch.allclose(mixed.images[:, :, 0, 0], mixed.targets, atol=1e-6)
    assert not torch.equal(mixed.targets, torch.eye(6))


def test_cutmix_targets_are_the_shares_of_the_area():
    images = torch.eye(5)[:, :, None, None].expand(5, 5, 16, 12).contiguous()
    mixed = Mixing(5, 0.0, mixup=0.0, cutmix=1.0, seed=11)(images, torch.arange(5), epoch=0, step=1)
    assert torch.allclose(mixed.images.mean(dim=(2, 3)), mixed.targets, atol=1e-6)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_cut_mix_returns_the_share_that_is_left(share: float):
    zeros, ones = torch.zeros(2, 1, 10, 10), torch.ones(2, 1, 10, 10)
    for seed in range(20):
        mixed, left = cut_mix(zeros, ones, share, np.random.default_rng(seed))
        assert mixed[0].mean().item() == pytest.approx(1 - left, abs=1e-6)


def test_is_drawn_from_seed_epoch_and_step_alone():
    images, labels = torch.rand(8, 3, 8, 8), torch.arange(8) % 3
    mix = Mixing(3, 0.1, 0.4, 1.0, seed=5)
    torch.manual_seed(1)
    first = mix(images, labels, 3, 7)
    torch.manual_seed(2)
    assert torch.equal(first.images, mix(images, labels, 3, 7).images)
    assert not torch.equal(first.images, mix(images, labels, 3, 8).images)


def test_rows_of_the_targets_sum_to_one():
    mix = Mixing(7, 0.2, 0.8, 1.0, seed=1)
    for step in range(10):
        targets = mix(torch.rand(4, 3, 8, 8), torch.tensor([0, 6, 3, 3]), 0, step).targets
        assert torch.allclose(targets.sum(dim=1), torch.ones(4), atol=1e-6)
