"""Pooling, registers and patch drop as options, where the architecture takes them."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from vitscope.config import build
from vitscope.errors import RequestError
from vitscope.models.architecture import describe
from vitscope.models.weights import new_module
from vitscope.workflows.initial import training_arguments

SIZES = {"patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 2}


def module_of(**options: object) -> torch.nn.Module:
    c = build({"model": {"image_size": 32, "kwargs": SIZES, **options}})
    a = describe(c.model, c.data, 3)
    return new_module(a, 3, **training_arguments(c, a))


@pytest.mark.parametrize(
    "name", ["vit_tiny_patch16_224", "vit_tiny_convstem", "vit_tiny_poolstem", "deit3_small_patch16_224"]
)
def test_the_mean_of_the_patches_is_what_the_head_reads(name: str):
    module = module_of(name=name, pool="avg").eval()
    picture = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        tokens = module.forward_features(picture)
        mean = tokens[:, 1:].mean(dim=1)
        assert torch.allclose(module(picture), module.head(module.fc_norm(mean)), atol=1e-6)
        assert not torch.allclose(module(picture), module_of(name=name).eval()(picture), atol=1e-3)


def test_a_class_token_can_be_asked_of_a_model_that_averages():
    kwargs = {**SIZES, "global_pool": "avg", "class_token": False}
    module = module_of(pool="token", kwargs=kwargs)
    assert module.cls_token is not None
    assert module.global_pool == "token"


@pytest.mark.parametrize(
    ("name", "registers", "count"),
    [("vit_tiny_patch16_224", 3, 3), ("vit_small_patch14_reg4_dinov2", 0, 0), ("eva02_tiny_patch14_224", 2, 2)],
)
def test_registers_are_added_or_taken_away(name: str, registers: int, count: int):
    module = module_of(name=name, registers=registers)
    assert (0 if module.reg_token is None else module.reg_token.shape[1]) == count
    assert module(torch.randn(2, 3, 32, 32)).shape == (2, 3)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"name": "beit_base_patch16_224", "registers": 4}, "model.registers: not for beit_base_patch16_224"),
        ({"name": "beit_base_patch16_224", "patch_drop": 0.5}, "model.patch_drop: not for beit_base_patch16_224"),
        ({"kwargs": {**SIZES, "patch_drop_rate": 0.5}}, "use model.patch_drop"),
    ],
)
def test_what_an_architecture_does_not_take_is_told(options: dict, says: str):
    with pytest.raises(RequestError, match=says):
        module_of(**options)


def test_patches_are_dropped_in_training_alone_and_the_step_is_cheaper():
    whole, dropping = module_of(), module_of(patch_drop=0.5)
    dropping.load_state_dict(whole.state_dict())
    pictures = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(whole.eval()(pictures), dropping.eval()(pictures))

    def flops(module: torch.nn.Module) -> int:
        with FlopCounterMode(display=False) as counter:
            module.train()(pictures).sum().backward()
        return counter.get_total_flops()

    blocks = flops(whole)
    seen: list[int] = []
    dropping.blocks[0].register_forward_hook(lambda module, given, out: seen.append(out.shape[1]))
    assert flops(dropping) < 0.65 * blocks
    assert seen == [1 + 8]  # the class token and half of 16 patches
