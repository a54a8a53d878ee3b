from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import timm
import torch
from torch import nn

from tests.inspection.tiny import ALL, GLOBAL, by_hand, inputs_of, pixels, tiny
from vitscope.errors import RequestError
from vitscope.inspection.probe import attention_kind, attention_layers, capture, confirmed_kind

KINDS = {"swin_tiny_patch4_window7_224": "window", "cait_xxs24_224": "class", "xcit_nano_12_p16_224": "channel"}
# The layers that are told of, where a model has several kinds.
TOLD = {"cait_xxs24_224": "ClassAttn", "xcit_nano_12_p16_224": "XCA"}


@pytest.mark.parametrize("name", ALL)
def test_attention_is_the_softmax_of_the_layers_own_queries_and_keys(name: str) -> None:
    module, images = tiny(name), pixels(2)
    layers = [m for m in attention_layers(module) if type(m).__name__ == TOLD.get(name, type(m).__name__)]
    inputs = inputs_of(module, layers, images)
    expected = [by_hand(layer, *given).detach().numpy() for layer, given in zip(layers, inputs, strict=True)]
    probed = capture(module, images)
    assert probed.kind == KINDS.get(name, "global")
    assert len(probed.attention) == len(expected)
    for weights, hand in zip(probed.attention, expected, strict=True):
        assert weights.dtype == np.float32
        assert weights.shape[0] == 2
        assert np.abs(hand - hand.mean(axis=-1, keepdims=True)).max() > 0.01  # something to tell apart
        np.testing.assert_allclose(weights.reshape(hand.shape), hand, atol=1e-5)


@pytest.mark.parametrize("name", ALL)
def test_the_output_is_that_of_the_fused_module(name: str) -> None:
    module, images = tiny(name), pixels(2)
    with torch.no_grad():
        expected = module(images).numpy()
    scale = np.abs(expected).max()
    np.testing.assert_allclose(capture(module, images).logits / scale, expected / scale, atol=1e-5)


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "eva02_tiny_patch14_224", "xcit_nano_12_p16_224"])
@pytest.mark.parametrize("fails", [False, True])
def test_the_module_is_left_as_it_was(name: str, fails: bool) -> None:
    module: Any = tiny(name).train()
    module.blocks[0].eval()
    before, state = _told(module), {k: v.clone() for k, v in module.state_dict().items()}
    generator = torch.get_rng_state()
    broken = module.norm if hasattr(module.norm, "weight") else module.fc_norm
    handle = broken.register_forward_hook(_fail) if fails else None
    if fails:
        with pytest.raises(ArithmeticError):
            capture(module, pixels(1), activations=["blocks.0"])
    else:
        capture(module, pixels(1), activations=["blocks.0"])
    if handle is not None:
        handle.remove()
    assert _told(module) == before
    assert torch.equal(torch.get_rng_state(), generator)
    assert all(torch.equal(state[k], v) for k, v in module.state_dict().items())
    assert all(p.grad is None for p in module.parameters())
    assert torch.is_grad_enabled()


def _fail(*_: object) -> None:
    raise ArithmeticError


def _told(module: nn.Module) -> list[tuple]:
    return [
        (name, m.training, getattr(m, "fused_attn", None), len(m._forward_hooks), len(m._forward_pre_hooks))
        for name, m in module.named_modules()
    ]


def test_dropout_is_off_and_images_do_not_see_each_other() -> None:
    module = timm.create_model(
        "vit_tiny_patch16_224", num_classes=3, attn_drop_rate=0.5, drop_rate=0.5, **GLOBAL["vit_tiny_patch16_224"]
    ).train()
    images = pixels(3)
    together, alone = capture(module, images), capture(module, images[1:2])
    np.testing.assert_allclose(together.logits[1:2], alone.logits, atol=1e-5)
    np.testing.assert_allclose(together.attention[1][1:2], alone.attention[1], atol=1e-6)
    assert together.attention[0].sum(axis=-1) == pytest.approx(1.0, abs=1e-5)


def test_activations_are_what_a_hook_of_ones_own_sees() -> None:
    module: Any = tiny("vit_tiny_patch16_224")
    seen: dict[str, torch.Tensor] = {}
    handle = module.blocks[1].mlp.register_forward_hook(lambda *args: seen.update(x=args[2].detach()))
    with torch.no_grad():
        module(pixels(1))
    handle.remove()
    probed = capture(module, pixels(1), attention=False, activations=["blocks.1.mlp", "head"])
    np.testing.assert_allclose(probed.activations["blocks.1.mlp"], seen["x"].numpy(), atol=1e-5)
    np.testing.assert_array_equal(probed.activations["head"], probed.logits)
    assert probed.attention == []
    with pytest.raises(RequestError, match=r"blocks\.1\.mlp"):
        capture(module, pixels(1), activations=["blocks.1.mpl"])


def test_cait_gives_its_mixed_heads_when_asked() -> None:
    probed = capture(tiny("cait_xxs24_224"), pixels(1), activations=["blocks.0.attn.attn_drop"])
    mixed = probed.activations["blocks.0.attn.attn_drop"]
    assert mixed.shape == (1, 2, 16, 16)
    assert np.abs(mixed.sum(axis=-1) - 1).max() > 0.01  # no shares: why they are not given as attention
    assert [w.shape for w in probed.attention] == [(1, 2, 1, 17)] * 2


def test_windows_come_by_image() -> None:
    probed = capture(tiny("swin_tiny_patch4_window7_224"), pixels(2))
    assert [w.shape for w in probed.attention] == [(2, 16, 2, 16, 16)] * 2 + [(2, 4, 4, 16, 16)] * 2
    alone = capture(tiny("swin_tiny_patch4_window7_224"), pixels(2)[1:])
    np.testing.assert_allclose(probed.attention[1][1:], alone.attention[1], atol=1e-5)


def test_where_there_is_no_map_a_reason_is_given() -> None:
    plain = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)).eval()
    probed = capture(plain, pixels(1))
    assert (probed.kind, probed.attention, probed.logits.shape) == ("none", [], (1, 2))
    assert probed.reason == "It has no attention layers."

    class HiddenAttention(nn.Linear):
        pass

    kind, reason = attention_kind(nn.Sequential(HiddenAttention(3, 3)))
    assert kind == "none"
    assert "HiddenAttention" in reason


class Shouting(nn.Module):
    """Attention of other sums than one, or of other shapes, told by nobody but the pass."""

    def __init__(self, weights: torch.Tensor):
        super().__init__()
        self.weights, self.attn_drop = weights, nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.attn_drop(self.weights.expand(len(x), -1, -1, -1)).sum((1, 2))[:, :2]


@pytest.mark.parametrize(
    ("weights", "word"),
    [
        (torch.full((1, 2, 5, 5), 0.3), "shares"),
        (torch.full((1, 2, 1, 5), 0.2), "every token"),
    ],
)
def test_a_pass_that_shows_something_else_is_believed(weights: torch.Tensor, word: str) -> None:
    layer = Shouting(weights)
    assert attention_kind(layer) == ("global", "")
    probed = capture(layer, pixels(1))
    assert (probed.kind, probed.attention) == ("none", [])
    assert word in probed.reason


def test_a_compiled_module_is_looked_into_as_it_is() -> None:
    module = tiny("vit_tiny_patch16_224")
    compiled = torch.compile(module)
    probed = capture(compiled, pixels(1))  # type: ignore[arg-type]
    np.testing.assert_array_equal(probed.attention[0], capture(module, pixels(1)).attention[0])


def differential() -> Any:
    kwargs: dict[str, Any] = {"img_size": 32, "patch_size": 8, "embed_dim": 40, "depth": 2, "num_heads": 5}
    module = timm.create_model("vit_dlittle_patch16_reg1_gap_256", num_classes=3, **kwargs).eval()
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, weight in module.named_parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator) * (0.1 if "lambda" in name else 1.0))
    return module


def test_the_difference_of_two_attentions_is_no_share() -> None:
    """What the layer multiplies its values with, by hand from both halves: exact, and of other sums than 1."""
    module, images = differential(), pixels(1)
    names = ["blocks.0.attn.attn_drop", "blocks.0.attn.qkv"]
    seen: list[torch.Tensor] = []
    layer = module.blocks[0].attn
    handle = layer.sub_norm.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    probed = capture(module, images, activations=names)
    handle.remove()
    both = torch.from_numpy(probed.activations[names[0]]).double().unflatten(1, (5, 2))
    strength = float(layer._compute_lambda().detach())
    used = both[:, :, 0] - strength * both[:, :, 1]
    values = torch.from_numpy(probed.activations[names[1]]).double().chunk(3, dim=-1)[2]
    expected = used @ values.unflatten(-1, (5, 8)).transpose(1, 2)
    torch.testing.assert_close(seen[0].double(), expected, atol=1e-4, rtol=1e-4)
    np.testing.assert_allclose(used.sum(dim=-1), 1 - strength, atol=1e-5)
    assert float(used.min()) < 0
    assert (probed.kind, probed.attention) == ("none", [])
    assert attention_kind(module) == ("none", probed.reason)
    assert "difference" in probed.reason


class TwoForOne(Shouting):
    """Shows four heads, works with two."""

    num_heads = 2


def test_other_heads_than_the_layer_has_are_refused() -> None:
    probed = capture(TwoForOne(torch.full((1, 4, 5, 5), 0.2)), pixels(1))
    assert (probed.kind, probed.attention) == ("none", [])
    assert probed.reason == "A layer shows weights of 4 heads but works with 2."
    assert capture(TwoForOne(torch.full((1, 2, 5, 5), 0.2)), pixels(1)).kind == "global"


def test_weights_that_are_not_finite_are_told_as_such() -> None:
    module: Any = tiny("vit_tiny_patch16_224")
    with torch.no_grad():
        module.blocks[0].attn.qkv.weight.fill_(float("nan"))
    for kind, reason in (confirmed_kind(module, pixels(1))[:2], capture(module, pixels(1))[2:4]):
        assert kind == "none"
        assert "NaN" in reason


@pytest.mark.parametrize("name", ALL)
def test_a_pass_without_keeping_tells_the_same_kind(name: str) -> None:
    module = tiny(name)
    before, probed = _told(module), capture(module, pixels(1))
    kind, reason, keys = confirmed_kind(module, pixels(1))
    assert (kind, reason) == (probed.kind, probed.reason)
    assert keys == tuple(sorted({weights.shape[-1] for weights in probed.attention}))
    assert _told(module) == before
