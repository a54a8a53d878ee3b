"""The ViT family: which of timm's models are shown and trained here.

In is what was published as a transformer for pictures and makes class scores: its places (patches, windows, cells of a
feature map, or the channels between them) look at each other by attention in some stage of every one of its models.
That takes in plain ViTs, pyramids (swin, hiera, pvt) and hybrids whose first stages are convolutions (levit, coatnet,
mobilevit).

Out, though timm has them beside: convolutional networks with single attention layers in place of convolutions (botnet,
halonet, lambda networks, mobilenetv5, csatv2, cpubone; fastvit's smaller models have none), transformers whose mixing
is no attention (poolformer, convformer, mixers, sequencer, focalnet, efficientvim), networks that learn from ViTs
without being one (convnext, repvit), and the encoders of language models that give tokens instead of scores (`*_enc`,
`*_align`, `*_merge`).
"""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

import timm

import vitscope.models.stems  # noqa: F401  registers our own architectures with timm
from vitscope.errors import unknown


class Family(NamedTuple):
    """`names`: how the names of its models begin in timm (a pattern); `about`: what is its own, and its paper."""

    names: str
    about: str


# A name is of the first family that it fits.
FAMILIES: dict[str, Family] = {
    "dinov2": Family(r"vit_\w+_dinov2", "ViT, self-supervised (arXiv:2304.07193)"),
    "dinov3": Family(r"vit_\w+_dinov3", "ViT with rotary positions, self-supervised (arXiv:2508.10104)"),
    "siglip": Family(r"vit_\w+_siglip", "ViT, learned from texts with a sigmoid loss (arXiv:2303.15343)"),
    "clip": Family(r"vit_\w+_clip", "ViT, learned from texts (arXiv:2103.00020)"),
    "relpos": Family(r"(test_)?vit_s?relpos", "ViT with relative positions"),
    "rope": Family(r"vit_pe_|vit_\w+_(rope|sapiens2|lingbot)", "ViT with rotary positions (arXiv:2403.13298)"),
    "hybrid": Family(r"vit_[a-z]+_(r\d*_|resnet|mci)", "ViT on a convolutional network (arXiv:2010.11929)"),
    "vit": Family(r"(test_)?vit\d*_|test_vit\d*$", "Vision Transformer (arXiv:2010.11929)"),
    "flexivit": Family(r"flexivit_", "ViT trained with many patch sizes (arXiv:2212.08013)"),
    "naflexvit": Family(r"naflexvit_", "ViT of any aspect ratio (arXiv:2307.06304)"),
    "aimv2": Family(r"aimv2_", "ViT, learned by predicting pictures and texts (arXiv:2411.14402)"),
    "deit": Family(r"deit_", "ViT trained on little, with distillation (arXiv:2012.12877)"),
    "deit3": Family(r"deit3_", "ViT with a simpler, stronger training (arXiv:2204.07118)"),
    "beit": Family(r"beit(v2|3)?_", "ViT, learned by filling in masked patches (arXiv:2106.08254)"),
    "eva": Family(r"eva(02)?_", "ViT, learned by imitating CLIP under a mask (arXiv:2303.11331)"),
    "samvit": Family(r"samvit_", "ViT of Segment Anything, with windows (arXiv:2304.02643)"),
    "deepseek_vit": Family(r"deepseek_vit_", "ViT of a language model's eye, rotary positions"),
    "gemma4_vit": Family(r"gemma4_vit_", "ViT of a language model's eye, rotary positions"),
    "qwen3_vit": Family(r"qwen3_vit_", "ViT of a language model's eye, rotary positions (arXiv:2511.21631)"),
    "vitamin": Family(r"vitamin_", "convolutions, then a ViT, learned from texts (arXiv:2404.02132)"),
    "cait": Family(r"cait_", "deep ViT whose class token comes late (arXiv:2103.17239)"),
    "xcit": Family(r"xcit_", "attention between channels (arXiv:2106.09681)"),
    "convit": Family(r"convit_", "ViT that begins like a convolution (arXiv:2103.10697)"),
    "crossvit": Family(r"crossvit_", "two patch sizes side by side (arXiv:2103.14899)"),
    "tnt": Family(r"tnt_", "a transformer in each patch of a transformer (arXiv:2103.00112)"),
    "volo": Family(r"volo_", "outlook attention, then a ViT (arXiv:2106.13112)"),
    "pit": Family(r"pit_", "ViT that pools its tokens (arXiv:2103.16302)"),
    "levit": Family(r"levit_", "fast pyramid with attention biases (arXiv:2104.01136)"),
    "visformer": Family(r"visformer_", "half way from a ViT to a convolutional network (arXiv:2104.12533)"),
    "swin": Family(r"swin_", "windows that shift (arXiv:2103.14030)"),
    "swinv2_cr": Family(r"swinv2_cr_", "Swin v2 as timm first wrote it (arXiv:2111.09883)"),
    "swinv2": Family(r"swinv2_", "Swin with cosine attention (arXiv:2111.09883)"),
    "hiera": Family(r"hiera_|hieradet_|sam2_hiera_", "plain pyramid, learned under a mask (arXiv:2306.00989)"),
    "mvitv2": Family(r"mvitv2_", "pyramid that pools queries and keys (arXiv:2112.01526)"),
    "pvt_v2": Family(r"pvt_v2_", "pyramid whose keys are fewer (arXiv:2106.13797)"),
    "twins": Family(r"twins_", "windows and fewer keys by turns (arXiv:2104.13840)"),
    "coat": Family(r"coat_", "convolution as position, factorised attention (arXiv:2104.06399)"),
    "davit": Family(r"davit_", "attention of windows and of channels by turns (arXiv:2204.03645)"),
    "gcvit": Family(r"gcvit_", "windows that ask a view of the whole (arXiv:2206.09959)"),
    "nest": Family(r"nest_", "blocks of patches, nested (arXiv:2105.12723)"),
    "tiny_vit": Family(r"tiny_vit_", "small pyramid, distilled (arXiv:2207.10666)"),
    "maxvit": Family(r"(test_)?max(x)?vit(v2)?_|test_maxvit$", "blocks and grids by turns (arXiv:2204.01697)"),
    "coatnet": Family(r"coatne[tx]t?_|test_coatnet$", "convolutions below, attention above (arXiv:2106.04803)"),
    "nextvit": Family(r"nextvit_", "convolutional and transformer blocks (arXiv:2207.05501)"),
    "caformer": Family(r"caformer_", "convolutions below, attention above (arXiv:2210.13452)"),
    "efficientformerv2": Family(r"efficientformerv2_", "ViT at the speed of MobileNet (arXiv:2212.08059)"),
    "efficientformer": Family(r"efficientformer_", "ViT at the speed of MobileNet (arXiv:2206.01191)"),
    "efficientvit_mit": Family(r"efficientvit_[bl]\d", "linear attention of several scales (arXiv:2205.14756)"),
    "efficientvit_msra": Family(r"efficientvit_m\d", "each head sees the one before (arXiv:2305.07027)"),
    "fastvit": Family(r"fastvit_(sa|ma|mci)", "convolutions below, attention in the last stage (arXiv:2303.14189)"),
    "edgenext": Family(r"edgenext_", "convolutions and attention between channels (arXiv:2206.10589)"),
    "mobilevitv2": Family(r"mobilevitv2_", "MobileViT with linear attention (arXiv:2206.02680)"),
    "mobilevit": Family(r"mobilevit_", "MobileNet with transformers inside (arXiv:2110.02178)"),
    "swiftformer": Family(r"swiftformer_", "additive attention (arXiv:2303.15446)"),
    "shvit": Family(r"shvit_", "one head on some of the channels (arXiv:2401.16456)"),
    "iformer": Family(r"iformer_", "mobile network with modulated attention (arXiv:2501.15369)"),
    "lowformer": Family(r"lowformer_", "convolutions and attention at low resolution (arXiv:2409.03460)"),
}
_NO_SCORES = re.compile(r".*_(enc|align|merge)$")  # of language models: they give tokens


def family_of(name: str) -> str | None:
    """The family that a model's name belongs to, or None when it is none of those here."""
    base = name.split(".")[0]
    if _NO_SCORES.match(base):
        return None
    return next((family for family, (names, _) in FAMILIES.items() if re.match(names, base)), None)


def available(family: str | None = None) -> list[str]:
    """Names of the models of one family, or of all. Raises `RequestError` for a family that is none."""
    if family is not None and family not in FAMILIES:
        raise unknown("family", family, FAMILIES)
    return [name for name, its in _named() if family in (None, its)]


@cache
def _named() -> tuple[tuple[str, str], ...]:
    """Every model that is in, with its family; timm takes a while to sort its names."""
    named = ((name, family_of(name)) for name in timm.list_models())
    return tuple((name, its) for name, its in named if its is not None)


class Listed(NamedTuple):
    """A model to choose: `pretrained` holds the names of its published weights."""

    name: str
    family: str
    pretrained: list[str]


def listing(family: str | None = None) -> list[Listed]:
    """The models of one family, or of all, with the weights that are published for them."""
    tags: dict[str, list[str]] = {}
    for tagged in timm.list_pretrained():
        tags.setdefault(tagged.split(".")[0], []).append(tagged)
    return [Listed(name, family_of(name) or "", tags.get(name, [])) for name in available(family)]
