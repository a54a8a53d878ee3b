"""Mirrored answers by hand."""

from __future__ import annotations

import torch

from vitscope.models.tta import logits


def test_both_pictures_count_equally():
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 4 * 4, 5))
    images = torch.randn(6, 3, 4, 4)
    alone, mirrored = module(images).softmax(1), module(images[..., [3, 2, 1, 0]]).softmax(1)
    torch.testing.assert_close(logits(module, images), module(images))
    torch.testing.assert_close(logits(module, images, "flip").softmax(1), (alone + mirrored) / 2)
    assert (alone - mirrored).abs().max() > 0.1
