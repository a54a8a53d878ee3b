"""Convolutional stems: ViTs whose patches come from a few small convolutions instead of one large one.

`*_convstem`, after "Early Convolutions Help Transformers See Better" (arXiv:2106.14881): stride-2 3×3 convolutions
double the width up to the patch size, then a 1×1 convolution projects to the embedding. Norms are GroupNorm, so that
no batch statistic leaks.
`*_poolstem`, after the tokenizer of Compact Transformers (arXiv:2104.05704): 3×3 convolutions, the last one to the
embedding; a max pooling after each of the last two halves the side, before them a stride does. Norms are BatchNorm,
with which runs of few epochs get much further.

Registered with timm, with the arguments of timm's `VisionTransformer`; the patch size is a power of two. Loading an
export of them needs `import vitscope` first.
"""

from __future__ import annotations

from typing import Any

from timm.layers.patch_embed import PatchEmbed
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models.vision_transformer import VisionTransformer, checkpoint_filter_fn
from torch import nn

POOLED = 2  # halvings by pooling: at the full side of a large picture a convolution costs more than it is worth


class ConvStem(PatchEmbed):
    """timm's patch embedding with the single projection replaced: (B, 3, H, W) → (B, H·W / patch_size², embed_dim)."""

    def __init__(
        self, img_size: Any = 224, patch_size: int = 16, in_chans: int = 3, embed_dim: int = 768, **kwargs: Any
    ):
        super().__init__(img_size=img_size, patch_size=patch_size, in_chans=in_chans, embed_dim=embed_dim, **kwargs)
        layers: list[nn.Module] = []
        halvings = halvings_of(patch_size)
        width = in_chans
        for i in range(halvings):
            wider = width_of(embed_dim, halvings - i)
            layers += [nn.Conv2d(width, wider, 3, stride=2, padding=1, bias=False), nn.GroupNorm(1, wider), nn.GELU()]
            width = wider
        self.proj = nn.Sequential(*layers, nn.Conv2d(width, embed_dim, 1))


class PoolStem(PatchEmbed):
    """As `ConvStem`, but the last two halvings are poolings after convolutions that keep the side."""

    def __init__(
        self, img_size: Any = 224, patch_size: int = 16, in_chans: int = 3, embed_dim: int = 768, **kwargs: Any
    ):
        super().__init__(img_size=img_size, patch_size=patch_size, in_chans=in_chans, embed_dim=embed_dim, **kwargs)
        layers: list[nn.Module] = []
        halvings = halvings_of(patch_size)
        width = in_chans
        for i in range(halvings):
            wider = width_of(embed_dim, halvings - 1 - i) if i < halvings - 1 else embed_dim
            stride = 1 if i >= halvings - POOLED else 2
            layers += [nn.Conv2d(width, wider, 3, stride, padding=1, bias=False), nn.BatchNorm2d(wider), nn.GELU()]
            layers += [nn.MaxPool2d(3, stride=2, padding=1)] if stride == 1 else []
            width = wider
        self.proj = nn.Sequential(*layers)


def halvings_of(patch_size: int) -> int:
    """How often a side is halved to get to one position a patch. Raises `ValueError` where that is no whole number."""
    if patch_size < 2 or patch_size & (patch_size - 1):
        raise ValueError(f"a convolutional stem needs a patch size that is a power of two, not {patch_size}")
    return patch_size.bit_length() - 1


def width_of(embed_dim: int, halved: int) -> int:
    """Channels so many halvings before the embedding: half as many each time, in eights."""
    return max(8, embed_dim >> halved) // 8 * 8


_UNTRAINED = {
    "input_size": (3, 224, 224),
    "mean": (0.5, 0.5, 0.5),
    "std": (0.5, 0.5, 0.5),
    "interpolation": "bicubic",
    "crop_pct": 1.0,
    "num_classes": 1000,
    "first_conv": "patch_embed.proj.0",
    "classifier": "head",
}

SIZES: dict[str, dict[str, int]] = {
    "tiny": {"patch_size": 16, "embed_dim": 192, "depth": 12, "num_heads": 3},
    "small": {"patch_size": 16, "embed_dim": 384, "depth": 12, "num_heads": 6},
    "base": {"patch_size": 16, "embed_dim": 768, "depth": 12, "num_heads": 12},
}
STEMS: dict[str, type[PatchEmbed]] = {"convstem": ConvStem, "poolstem": PoolStem}

# Where timm looks for what belongs to the names below; the tag says that no weights are published.
default_cfgs = generate_default_cfgs({f"vit_{size}_{stem}.untrained": _UNTRAINED for stem in STEMS for size in SIZES})


def _vit(size: str, stem: str, pretrained: bool, kwargs: dict[str, Any]) -> VisionTransformer:
    arguments: dict[str, Any] = {"embed_layer": STEMS[stem], **SIZES[size], **kwargs}
    return build_model_with_cfg(
        VisionTransformer, f"vit_{size}_{stem}", pretrained, pretrained_filter_fn=checkpoint_filter_fn, **arguments
    )


@register_model
def vit_tiny_convstem(pretrained: bool = False, **kwargs: Any) -> VisionTransformer:
    """ViT-Ti with a convolutional stem."""
    return _vit("tiny", "convstem", pretrained, kwargs)


@register_model
def vit_small_convstem(pretrained: bool = False, **kwargs: Any) -> VisionTransformer:
    """ViT-S with a convolutional stem."""
    return _vit("small", "convstem", pretrained, kwargs)


@register_model
def vit_base_convstem(pretrained: bool = False, **kwargs: Any) -> VisionTransformer:
    """ViT-B with a convolutional stem."""
    return _vit("base", "convstem", pretrained, kwargs)


@register_model
def vit_tiny_poolstem(pretrained: bool = False, **kwargs: Any) -> VisionTransformer:
    """ViT-Ti with a stem of convolutions and poolings."""
    return _vit("tiny", "poolstem", pretrained, kwargs)


@register_model
def vit_small_poolstem(pretrained: bool = False, **kwargs: Any) -> VisionTransformer:
    """ViT-S with a stem of convolutions and poolings."""
    return _vit("small", "poolstem", pretrained, kwargs)


@register_model
def vit_base_poolstem(pretrained: bool = False, **kwargs: Any) -> VisionTransformer:
    """ViT-B with a stem of convolutions and poolings."""
    return _vit("base", "poolstem", pretrained, kwargs)
