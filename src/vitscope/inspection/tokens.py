"""Which token stands for what: the grid of patches and the tokens before it."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import nn

from vitscope.errors import RequestError
from vitscope.models.architecture import is_cut


class Tokens(NamedTuple):
    """A sequence of `prefix` tokens (the class token first where there is one) and the patches, row by row."""

    grid: tuple[int, int]  # patches down and across
    prefix: int
    has_class_token: bool
    patch: tuple[int, int]  # pixels down and across
    is_class_token_read: bool = True  # by the classifier, where there is one

    @property
    def reads(self) -> str:
        """Of which tokens the classifier is told: "class token", or "patches" where it is told their mean or the like.

        Whose rows of attention say where a model looks follows from it. A class token that is not read is one more
        register.
        """
        return "class token" if self.has_class_token and self.is_class_token_read else "patches"

    @property
    def patches(self) -> int:
        return self.grid[0] * self.grid[1]

    @property
    def count(self) -> int:  # type: ignore[override]  # hides tuple.count, which nobody misses
        """N: prefix tokens and patches."""
        return self.prefix + self.patches


def tokens_of(module: nn.Module, image_size: int | tuple[int, int]) -> Tokens:
    """The tokens that a timm model makes of a picture of `image_size` pixels (one side, or height and width).

    Raises `RequestError` for a model that does not cut a picture into patches.
    """
    embed: Any = getattr(module, "patch_embed", getattr(module, "embeds", None))  # as naflexvit calls it
    size = (image_size, image_size) if isinstance(image_size, int) else image_size
    patch: Any = None
    if hasattr(embed, "feat_ratio"):
        patch = embed.feat_ratio(as_scalar=False)
    elif hasattr(embed, "patch_size") and is_cut(embed):
        patch = embed.patch_size
    if patch is None:
        raise RequestError(
            f"A {type(module).__name__} does not cut a picture into patches: there are no tokens to tell."
        )
    height, width = (int(patch), int(patch)) if isinstance(patch, int) else map(int, patch)
    is_padded = bool(getattr(embed, "dynamic_img_pad", False))
    grid = (_parts(size[0], height, is_padded), _parts(size[1], width, is_padded))
    prefix = int(getattr(module, "num_prefix_tokens", 0))
    class_token = getattr(module, "cls_token", getattr(embed, "cls_token", None))
    has_class_token = prefix > 0 and class_token is not None
    return Tokens(grid, prefix, has_class_token, (height, width), getattr(module, "global_pool", "token") == "token")


def tokens_if_any(module: nn.Module, image_size: int | tuple[int, int]) -> Tokens | None:
    """The same; None for a model that does not cut a picture into patches."""
    try:
        return tokens_of(module, image_size)
    except RequestError:
        return None


def _parts(length: int, patch: int, is_padded: bool) -> int:
    return -(-length // patch) if is_padded else length // patch
