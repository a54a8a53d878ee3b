"""Convolutional stems: ViTs whose patches come from a few small convolutions instead of one large one.

After "Early Convolutions Help Transformers See Better" (arXiv:2106.14881): stride-2 3×3 convolutions double the width
up to the patch size, then a 1×1 convolution projects to the embedding. Norms are GroupNorm, so that no batch
statistic leaks. Registered with timm: `vit_tiny_convstem`, `vit_small_convstem`, `vit_base_convstem`, with timm's
`VisionTransformer` arguments. Loading an export of them needs `import vitscope` first.
"""

from __future__ import annotations

from typing import Any

from timm.layers.patch_embed import PatchEmbed
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models.vision_transformer import VisionTransformer, checkpoint_filter_fn
from torch import nn


class ConvStem(PatchEmbed):
    """timm's patch embedding with the single projection replaced: (B, 3, H, W) → (B, H·W / patch_size², embed_dim)."""

    def __init__(
        self, img_size: Any = 224, patch_size: int = 16, in_chans: int = 3, embed_dim: int = 768, **kwargs: Any
    ):
        super().__init__(img_size=img_size, patch_size=patch_size, in_chans=in_chans, embed_dim=embed_dim, **kwargs)
        if patch_size < 2 or patch_size & (patch_size - 1):
            raise ValueError(f"a convolutional stem needs a patch size that is a power of two, not {patch_size}")
        halvings = patch_size.bit_length() - 1
        layers: list[nn.Module] = []
        width = in_chans
        for i in range(halvings):
            wider = max(8, embed_dim >> (halvings - i)) // 8 * 8
            layers += [nn.Conv2d(width, wider, 3, stride=2, padding=1, bias=False), nn.GroupNorm(1, wider), nn.GELU()]
            width = wider
        self.proj = nn.Sequential(*layers, nn.Conv2d(width, embed_dim, 1))


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

# Where timm looks for what belongs to the names below; the tag says that no weights are published.
default_cfgs = generate_default_cfgs(
    {f"{name}.untrained": _UNTRAINED for name in ("vit_tiny_convstem", "vit_small_convstem", "vit_base_convstem")}
)


def _vit(variant: str, pretrained: bool, sizes: dict[str, int], kwargs: dict[str, Any]) -> VisionTransformer:
    arguments: dict[str, Any] = {"embed_layer": ConvStem, **sizes, **kwargs}
    return build_model_with_cfg(
        VisionTransformer, variant, pretrained, pretrained_filter_fn=checkpoint_filter_fn, **arguments
    )


@register_model
def vit_tiny_convstem(pretrained: bool = False, **kwargs: Any) -> VisionTransformer:
    """ViT-Ti with a convolutional stem."""
    return _vit(
        "vit_tiny_convstem", pretrained, {"patch_size": 16, "embed_dim": 192, "depth": 12, "num_heads": 3}, kwargs
    )


@register_model
def vit_small_convstem(pretrained: bool = False, **kwargs: Any) -> VisionTransformer:
    """ViT-S with a convolutional stem."""
    return _vit(
        "vit_small_convstem", pretrained, {"patch_size": 16, "embed_dim": 384, "depth": 12, "num_heads": 6}, kwargs
    )


@register_model
def vit_base_convstem(pretrained: bool = False, **kwargs: Any) -> VisionTransformer:
    """ViT-B with a convolutional stem."""
    return _vit(
        "vit_base_convstem", pretrained, {"patch_size": 16, "embed_dim": 768, "depth": 12, "num_heads": 12}, kwargs
    )
