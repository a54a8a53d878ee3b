from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import timm
import torch
from timm.layers.std_conv import ScaledStdConv2d, ScaledStdConv2dSame, StdConv2d, StdConv2dSame
from torch import nn

from tests.inspection.tiny import ALL, OTHERS, pixels, tiny
from vitscope.inspection import weights as W
from vitscope.inspection.probe import capture


def matrix(rows: int, cols: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, cols, generator=torch.Generator().manual_seed(seed)) * 0.3


@pytest.mark.parametrize("shape", [(48, 16), (16, 48), (33, 33), (3, 50), (1, 7), (130, 70)])
def test_singular_values_are_scipys(shape: tuple[int, int]) -> None:
    weight = matrix(*shape)
    expected = scipy.linalg.svdvals(weight.numpy().astype(np.float64))
    np.testing.assert_allclose(W.singular_values(weight), expected, rtol=1e-6, atol=1e-9 * expected[0])


@pytest.mark.parametrize("smallest", [1e-3, 1e-5, 1e-7, 0.0])
def test_singular_values_of_a_nearly_singular_matrix_are_scipys(smallest: float) -> None:
    rng = np.random.default_rng(1)
    u, _ = np.linalg.qr(rng.normal(size=(40, 20)))
    v, _ = np.linalg.qr(rng.normal(size=(20, 20)))
    values = np.geomspace(1, max(smallest, 1e-3), 20)
    values[-3:] = smallest
    weight = torch.from_numpy(u * values @ v.T)
    expected = scipy.linalg.svdvals(weight.numpy())
    np.testing.assert_allclose(W.singular_values(weight), expected, rtol=1e-6, atol=1e-14)


def test_effective_rank() -> None:
    values = np.array([3.0, 2.0, 1.0, 0.0])
    shares = [0.5, 1 / 3, 1 / 6]
    assert W.effective_rank(values) == pytest.approx(math.exp(-sum(p * math.log(p) for p in shares)))
    assert W.effective_rank(np.ones(7)) == pytest.approx(7)
    assert W.effective_rank(np.array([5.0, 0.0])) == pytest.approx(1)
    assert W.effective_rank(np.zeros(3)) == 0.0


def test_summary_is_numpys() -> None:
    weight, before = matrix(24, 40), matrix(24, 40, seed=1)
    told = W.summarize(weight, before)
    a, b = weight.numpy().astype(np.float64), before.numpy().astype(np.float64)
    assert told.mean == pytest.approx(a.mean(), rel=1e-9)
    assert told.std == pytest.approx(a.std(), rel=1e-9)
    assert (told.min, told.max) == (a.min(), a.max())
    assert told.frobenius == pytest.approx(np.linalg.norm(a), rel=1e-9)
    assert told.near_zero == np.mean(np.abs(a) < 1e-3 * np.abs(a).max())
    counts, edges = np.histogram(a, bins=40)
    np.testing.assert_allclose(told.histogram.edges, edges, rtol=1e-12, atol=1e-15)
    np.testing.assert_array_equal(told.histogram.counts, counts)
    assert told.change is not None
    assert told.change.relative_frobenius == pytest.approx(np.linalg.norm(a - b) / np.linalg.norm(b), rel=1e-9)
    assert told.change.cosine == pytest.approx((a * b).sum() / np.linalg.norm(a) / np.linalg.norm(b), rel=1e-9)


def test_spectrum_is_numpys() -> None:
    a = matrix(24, 40).numpy().astype(np.float64)
    told = W.spectrum(matrix(24, 40))
    values = np.linalg.svd(a, compute_uv=False)
    shares = values / values.sum()
    assert told.spectral == pytest.approx(np.linalg.norm(a, 2), rel=1e-9)
    assert told.effective_rank == pytest.approx(math.exp(-(shares * np.log(shares)).sum()), rel=1e-9)
    assert told.rank_share == pytest.approx(told.effective_rank / 24)


def test_summary_of_odd_matrices() -> None:
    zeros = W.summarize(torch.zeros(3, 4), torch.zeros(3, 4))
    assert zeros.near_zero == 1.0
    assert W.spectrum(torch.zeros(3, 4)).spectral == 0.0
    assert zeros.histogram.counts.sum() == 12
    assert zeros.change is not None
    assert zeros.change.relative_frobenius == 0.0
    assert math.isnan(zeros.change.cosine)
    broken = matrix(4, 4)
    broken[1, 2] = float("nan")
    assert math.isnan(W.summarize(broken).frobenius)
    assert math.isnan(W.spectrum(broken).spectral)
    assert math.isnan(W.spectrum(broken).effective_rank)
    moved = W.change(torch.ones(2, 2), torch.zeros(2, 2))
    assert moved.relative_frobenius == math.inf


def test_histogram_with_fixed_edges_keeps_what_is_outside_at_the_ends() -> None:
    weight = torch.tensor([[-9.0, -0.6], [0.1, 9.0]])
    told = W.histogram(weight, np.linspace(-1, 1, 5))
    assert told.counts.tolist() == [2, 0, 1, 1]


@pytest.mark.parametrize(
    ("rows", "cols", "most"), [((0, 20), (0, 33), 8), ((3, 20), (5, 30), 4), ((0, 20), (0, 33), 64)]
)
def test_cells_against_loops(rows: tuple[int, int], cols: tuple[int, int], most: int) -> None:
    weight = matrix(20, 33)
    told = W.cells(weight, rows, cols, most)
    part = weight.numpy()[rows[0] : rows[1], cols[0] : cols[1]]
    high, wide = told.cell
    assert max(told.mean.shape) <= most
    for r in range(told.mean.shape[0]):
        for c in range(told.mean.shape[1]):
            cell = part[r * high : (r + 1) * high, c * wide : (c + 1) * wide]
            assert told.mean[r, c] == pytest.approx(cell.mean(), rel=1e-5, abs=1e-7)
            assert (told.low[r, c], told.high[r, c]) == (cell.min(), cell.max())
    assert told.mean.shape == (-(-part.shape[0] // high), -(-part.shape[1] // wide))


def test_single_weights_are_exact() -> None:
    weight = matrix(20, 33)
    told = W.cells(weight, (4, 9), (30, 33), 8)
    assert told.cell == (1, 1)
    np.testing.assert_array_equal(told.mean, weight.numpy()[4:9, 30:33])


@pytest.mark.parametrize("name", ALL)
def test_every_linear_layer_is_there_once(name: str) -> None:
    module = tiny(name)
    found = W.linears(module)
    names = [layer.id for layer in found]
    assert [layer.index for layer in found] == list(range(len(found)))
    assert set(names) >= {n for n, m in module.named_modules() if isinstance(m, nn.Linear)}
    assert len(set(names)) == len(names)
    assert found[0].role == "patch_embed"
    assert any(layer.role == "head" for layer in found)
    blocks = 4 if name in OTHERS else 2  # their last two attend by the class token, or are of another stage
    assert {layer.block for layer in found} - {None} == set(range(blocks))


def test_roles_and_parts() -> None:
    found = {layer.id: layer for layer in W.linears(tiny("vit_tiny_patch16_224"))}
    assert {name: (layer.role, layer.block, tuple(layer.weight.shape)) for name, layer in found.items()} == {
        "patch_embed.proj": ("patch_embed", None, (32, 192)),
        "blocks.0.attn.qkv": ("qkv", 0, (96, 32)),
        "blocks.0.attn.proj": ("proj", 0, (32, 32)),
        "blocks.0.mlp.fc1": ("fc1", 0, (128, 32)),
        "blocks.0.mlp.fc2": ("fc2", 0, (32, 128)),
        "blocks.1.attn.qkv": ("qkv", 1, (96, 32)),
        "blocks.1.attn.proj": ("proj", 1, (32, 32)),
        "blocks.1.mlp.fc1": ("fc1", 1, (128, 32)),
        "blocks.1.mlp.fc2": ("fc2", 1, (32, 128)),
        "head": ("head", None, (3, 32)),
    }
    assert found["blocks.0.attn.qkv"].parts == [("q", 0, 32), ("k", 32, 64), ("v", 64, 96)]


def test_matrix_and_bias_make_the_layers_output() -> None:
    module = tiny("vit_tiny_patch16_224")
    layer = next(one for one in W.linears(module) if one.role == "qkv")
    given = capture(module, pixels(1), activations=["blocks.0.norm1", "blocks.0.attn.qkv"]).activations
    assert layer.bias is not None
    expected = given["blocks.0.norm1"] @ layer.weight.numpy().T + layer.bias.numpy()
    np.testing.assert_allclose(given["blocks.0.attn.qkv"], expected, atol=1e-4)


@pytest.mark.parametrize("name", ["beit_base_patch16_224", "eva02_tiny_patch14_224"])
def test_a_bias_beside_the_matrix_is_the_layers_bias(name: str) -> None:
    module: Any = tiny(name)
    layer = next(one for one in W.linears(module) if one.role == "qkv")
    own = module.blocks[0].attn
    assert layer.bias is not None
    assert torch.equal(layer.bias, torch.cat([own.q_bias, torch.zeros(32), own.v_bias]))


def test_the_patch_embedding_multiplies_a_patch() -> None:
    module = tiny("vit_tiny_patch16_224")
    layer = W.linears(module)[0]
    image = pixels(1)
    patch = image[0, :, 8:16, 16:24].flatten()
    assert layer.bias is not None
    given = capture(module, image, activations=["patch_embed"]).activations["patch_embed"][0, 4 + 2]
    np.testing.assert_allclose(given, (layer.weight @ patch + layer.bias).numpy(), atol=1e-4)


def test_a_hybrids_convolutions_are_no_fully_connected_layers() -> None:
    module = timm.create_model("vit_small_r26_s32_224", num_classes=3, depth=1).eval()
    embedding = [layer.id for layer in W.linears(module) if layer.role == "patch_embed"]
    assert embedding == ["patch_embed.proj"]


@pytest.mark.parametrize("kind", [StdConv2d, StdConv2dSame, ScaledStdConv2d, ScaledStdConv2dSame])
def test_standardised_weights_are_those_that_act(kind: Any) -> None:
    """What a layer answers to a picture of a single 1 is its filter, turned around."""
    options = {} if "Scaled" in kind.__name__ else {"bias": False}
    layer = kind(1, 5, 3, padding=1, **options)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(layer.weight.shape, generator=torch.Generator().manual_seed(0)) * 3 + 1)
        if getattr(layer, "bias", None) is not None:
            layer.bias.zero_()
        spot = torch.zeros(1, 1, 5, 5)
        spot[0, 0, 2, 2] = 1
        seen = layer(spot)[0, :, 1:4, 1:4].flip(1, 2)
    np.testing.assert_allclose(W.acting_weight(layer)[:, 0], seen, atol=1e-5)


def test_a_plain_layers_weights_act_as_they_are() -> None:
    layer = nn.Conv2d(3, 4, 2)
    assert torch.equal(W.acting_weight(layer), layer.weight)


def test_weights_that_are_not_finite_have_a_place_in_fixed_bins() -> None:
    weight = torch.tensor([float("nan"), float("inf"), -float("inf"), 0.1])
    assert W.histogram(weight, np.linspace(-1, 1, 5, dtype=np.float32)).counts.tolist() == [2, 0, 1, 1]


def test_how_far_a_matrix_moved() -> None:
    a, b = matrix(7, 9), matrix(7, 9, seed=3)
    x, y = a.numpy().astype(np.float64), b.numpy().astype(np.float64)
    assert W.relative_change(a, b) == pytest.approx(scipy.linalg.norm(x - y) / scipy.linalg.norm(y), rel=1e-6)
    assert W.relative_change(torch.zeros(2), torch.zeros(2)) == 0.0
    assert W.relative_change(torch.ones(2), torch.zeros(2)) == math.inf
