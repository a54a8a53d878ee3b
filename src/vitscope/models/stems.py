"""Convolutional stems: ViTs whose patches come from a few small convolutions instead of one large one.

`*_convstem`, after "Early Convolutions Help Transformers See Better" (arXiv:2106.14881): stride-2 3×3 convolutions
double the width up to the patch size, then a 1×1 convolution projects to the embedding. Norms are GroupNorm, so that
no batch statistic leaks.
`*_poolstem`, after the tokenizer of Compact Transformers (arXiv:2104.05704): 3×3 convolutions, the last one to the
embedding; a max pooling after each of the last two halves the side, before them a stride does. Two more convolutions,
each beside a shortcut, follow on the grid of the patches. Norms are BatchNorm, with which runs of few epochs get much
further.

Kernels lie with their channels last, which computes a third faster in bf16 on a CPU.

Registered with timm, with the arguments of timm's `VisionTransformer`; the patch size is a power of two. Loading an
export of them needs `import vitscope` first.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from timm.layers.patch_embed import PatchEmbed
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models.vision_transformer import VisionTransformer, checkpoint_filter_fn
from torch import nn

POOLED = 2  # halvings by pooling: at the full side of a large picture a convolution costs more than it is worth
SHORTCUTS = 2  # convolutions on the grid of the patches


class ConvStem(PatchEmbed):
    """timm's patch embedding with the single projection replaced: (B, 3, H, W) → (B, H·W / patch_size², embed_dim)."""

    def __init__(
        self, img_size: Any = 224, patch_size: int = 16, in_chans: int = 3, embed_dim: int = 768, **kwargs: Any
    ):
        super().__init__(img_size=img_size, patch_size=patch_size, in_chans=in_chans, embed_dim=embed_dim, **kwargs)
        layers = self.layers(in_chans, embed_dim, halvings_of(patch_size))
        self.proj = nn.Sequential(*layers).to(memory_format=torch.channels_last)

    def layers(self, width: int, embed_dim: int, halvings: int) -> Iterator[nn.Module]:
        """From `width` channels to the embedding, each side halved so often."""
        for left in range(halvings, 0, -1):
            wider = width_of(embed_dim, left)
            yield from (nn.Conv2d(width, wider, 3, 2, padding=1, bias=False), nn.GroupNorm(1, wider), nn.GELU())
            width = wider
        yield nn.Conv2d(width, embed_dim, 1)


class PoolStem(ConvStem):
    """The last two halvings are poolings after convolutions that keep the side; the last of those embeds."""

    def layers(self, width: int, embed_dim: int, halvings: int) -> Iterator[nn.Module]:
        for left in range(halvings - 1, -1, -1):
            wider = width_of(embed_dim, left) if left else embed_dim
            stride = 1 if left < POOLED else 2
            yield from (nn.Conv2d(width, wider, 3, stride, padding=1, bias=False), nn.BatchNorm2d(wider), nn.GELU())
            if stride == 1:
                yield nn.MaxPool2d(3, stride=2, padding=1)
            width = wider
        yield from (Shortcut(embed_dim) for _ in range(SHORTCUTS))


class Shortcut(nn.Module):
    """A 3×3 convolution beside a shortcut (arXiv:1512.03385): (B, C, H, W) → the same."""

    def __init__(self, width: int):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + nn.functional.gelu(self.norm(self.conv(x)))


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
NAMES = {f"vit_{size}_{stem}": (size, stem) for stem in STEMS for size in SIZES}

# Where timm looks for what belongs to the names; the tag says that no weights are published.
default_cfgs = generate_default_cfgs({f"{name}.untrained": _UNTRAINED for name in NAMES})


def _register(name: str, size: str, stem: str) -> None:
    """With timm, which takes a function and calls the model by its name."""

    def build(pretrained: bool = False, **kwargs: Any) -> VisionTransformer:
        arguments: dict[str, Any] = {"embed_layer": STEMS[stem], **SIZES[size], **kwargs}
        return build_model_with_cfg(
            VisionTransformer, name, pretrained, pretrained_filter_fn=checkpoint_filter_fn, **arguments
        )

    build.__name__ = build.__qualname__ = name
    register_model(build)


for _name, (_size, _stem) in NAMES.items():
    _register(_name, _size, _stem)
