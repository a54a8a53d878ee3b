"""The table of families, and a small model of each: what it takes, and that it makes scores and learns."""

from __future__ import annotations

import pytest
import timm
import torch
from tests.families import EACH, SMALL

from vitscope.config import DataConfig, ModelConfig, OptimConfig
from vitscope.errors import RequestError
from vitscope.models.architecture import describe
from vitscope.models.create import create_model
from vitscope.models.families import FAMILIES, available, family_of, listing
from vitscope.training.optim import depth_of_parameters, parameter_groups

# What the constructors of timm 1.0.31 do not take.
NO_IMAGE_SIZE = {
    "caformer", "davit", "edgenext", "efficientvit_mit", "fastvit", "hiera/sam2", "iformer", "lowformer", "nextvit",
    "pvt_v2", "shvit", "tiny_vit",
}  # fmt: skip
NO_DROP_PATH = {"efficientvit_mit", "efficientvit_msra", "shvit"}


def test_every_listed_model_is_of_its_family_and_exists():
    for family in FAMILIES:
        names = available(family)
        assert names
        assert all(family_of(name) == family for name in names)
    assert len(available()) == sum(len(available(f)) for f in FAMILIES)
    assert any(row.name == "vit_tiny_patch16_224" and row.pretrained for row in listing("vit"))
    with pytest.raises(RequestError, match="Did you mean 'deit3'"):
        available("deit33")


def test_transformers_are_in_and_other_networks_are_not():
    assert {family_of(name) for name in ("resnet18", "convnext_tiny", "poolformer_s12", "fastvit_t8")} == {None}
    assert {family_of(name) for name in ("mixer_b16_224", "focalnet_tiny_srf", "repvit_m1", "botnet26t_256")} == {None}
    assert {family_of(name) for name in timm.list_models(["*_enc", "*_align", "*_merge"])} == {None}
    named = {"vit_base_patch14_dinov2.lvd142m": "dinov2", "swinv2_cr_tiny_224": "swinv2_cr", "beitv2_base": "beit"}
    assert {name: family_of(name) for name in named} == named
    transformers = timm.list_models(["*vit*", "*former*", "*swin*", "deit*", "beit*", "eva*", "*hiera*"])
    out = {name for name in transformers if family_of(name) is None}
    assert {name.split("_")[0] for name in out} <= {
        "convformer", "deepseek", "efficientvim", "fastvit", "gemma4", "poolformer", "poolformerv2", "qwen3", "repvit",
    }  # fmt: skip


def test_there_is_a_small_model_of_every_family():
    assert {kind.split("/")[0] for kind in SMALL} == set(FAMILIES)
    assert all(family_of(small.name) == kind.split("/")[0] for kind, small in SMALL.items())


@pytest.mark.parametrize("kind", EACH)
def test_a_small_model_takes_what_it_says_and_gives_every_weight_a_gradient(kind: str):
    name, size, kwargs = SMALL[kind]
    a = describe(ModelConfig(name=name, image_size=size, kwargs=kwargs, drop_path=0.1), DataConfig(), 5)
    assert ("img_size" not in a.takes, "drop_path_rate" not in a.takes) == (kind in NO_IMAGE_SIZE, kind in NO_DROP_PATH)
    assert "drop_rate" in a.takes
    module = create_model(a.name, num_classes=5, **a.kwargs, **a.rates(ModelConfig()))
    assert a.parameters == sum(p.numel() for p in module.parameters())
    logits = module.train()(torch.randn(4, 3, size, size))
    assert logits.shape == (4, 5)
    logits.sum().backward()
    assert [n for n, p in module.named_parameters() if p.grad is None and "mask_token" not in n] == []


@pytest.mark.parametrize("kind", EACH)
def test_its_layers_are_grouped_from_the_embedding_to_the_head(kind: str):
    name, size, kwargs = SMALL[kind]
    a = describe(ModelConfig(name=name, image_size=size, kwargs=kwargs), DataConfig(), 5)
    module = a.on_meta(5)
    depths = depth_of_parameters(module)
    assert len(set(depths.values())) >= 3
    outputs = [n for n, p in module.named_parameters() if p.shape[:1] == (5,) and p.ndim == 2]
    assert outputs
    assert {depths[n] for n in outputs} == {max(depths.values())}
    muon = parameter_groups(module, OptimConfig(name="muon"))
    matrices = {id(p) for group in muon if group["parts"] for p in group["params"]}
    named = dict(module.named_parameters())
    assert not matrices & {id(named[n]) for n in outputs}
    assert all(depths[n] > 0 or (p.ndim == 4 and p.shape[1] > 3) for n, p in named.items() if id(p) in matrices)


@pytest.mark.parametrize(
    ("name", "size", "says"),
    [
        ("efficientformer_l1", 64, "image_size"),  # biases for 224 alone
        ("nest_tiny", 56, "Take 48 or 64"),
        ("vit_tiny_patch16_224", 100, "Take 96 or 112"),
        pytest.param("swin_tiny_patch4_window7_224", 66, "Take 64 or", marks=pytest.mark.long),
        pytest.param("crossvit_tiny_240", 100, "Take 240", marks=pytest.mark.long),
    ],
)
def test_a_size_that_a_model_cannot_work_on_is_told_with_those_near_it(name: str, size: int, says: str):
    with pytest.raises(RequestError, match=says) as told:
        describe(ModelConfig(name=name, image_size=size), DataConfig(), 3)
    for near in [int(word) for word in str(told.value).partition("Take ")[2].rstrip(".").split() if word.isdigit()]:
        a = describe(ModelConfig(name=name, image_size=near), DataConfig(), 3)
        module = create_model(a.name, num_classes=3, **a.kwargs).eval()
        with torch.no_grad():
            assert module(torch.zeros(1, 3, near, near)).shape == (1, 3)


def test_what_a_name_fixes_is_told():
    with pytest.raises(RequestError, match="its name fixes 'depths'"):
        describe(ModelConfig(name="nest_tiny", kwargs={"depths": [1, 1, 1]}), DataConfig(), 3)


@pytest.mark.long
@pytest.mark.parametrize("family", FAMILIES)
def test_every_model_of_a_family_can_be_made_at_its_own_size(family: str):
    for name in available(family):
        a = describe(ModelConfig(name=name), DataConfig(), 3)  # raises where it gives no scores
        assert a.parameters > 0
