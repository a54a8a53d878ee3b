"""What the options ask for, as a model that can be made: tried on torch's meta device, where nothing is computed.

Which options a family takes is found by trying, so no table of it can be wrong: a constructor without `img_size` or
`drop_path_rate` says so, a size that it cannot work on makes it fail.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from vitscope.config import DataConfig, ModelConfig
from vitscope.errors import RequestError
from vitscope.models.create import (
    FACTORY_ARGUMENTS,
    OPTIONS,
    NotTaken,
    arguments_of,
    base_name,
    check_arguments,
    create_model,
    local_config,
    published_config,
    tagged_config,
)
from vitscope.models.own import is_own
from vitscope.models.tokens import asks_for_tokens, check_pool, token_arguments
from vitscope.preprocess import Preprocess

NEAR = (8, 14, 16, 28, 32, 64)  # sizes are looked for among multiples of these


@dataclass(frozen=True)
class Architecture:
    """timm's name and arguments of a model, enough to create it anew, and how its pictures are prepared."""

    name: str
    kwargs: dict[str, Any]  # num_classes left out
    preprocess: Preprocess
    parameters: int
    takes: frozenset[str] = frozenset(OPTIONS)  # which of `OPTIONS` its constructor has
    takes_any_size: bool = False  # created with dynamic_img_size, it takes pictures of any whole number of patches

    def rates(self, c: ModelConfig) -> dict[str, float]:
        """The drop rates for its constructor: its own defaults may be others than the options'."""
        return {k: getattr(c, OPTIONS[k]) for k in ("drop_path_rate", "drop_rate") if k in self.takes}

    def on_meta(self, num_classes: int, **training: Any) -> nn.Module:
        """The model without memory."""
        with torch.device("meta"):
            return create_model(self.name, num_classes=num_classes, **self.kwargs, **training)


def describe(c: ModelConfig, d: DataConfig, num_classes: int) -> Architecture:
    """The architecture that the options ask for, created without memory; all that does not fit is told here.

    Raises `RequestError` for an unknown name or argument, and for sizes that do not fit each other.
    """
    name, kwargs = base_name(c.name), dict(c.kwargs)
    if c.name.startswith("local-dir:"):
        given = local_config(c.name).get("model_args", {})
        kwargs = {k: v for k, v in given.items() if k not in FACTORY_ARGUMENTS} | kwargs
    check_arguments(name, c.kwargs)
    for argument, option in OPTIONS.items():
        if argument in c.kwargs:
            raise RequestError(f"model.kwargs.{argument}: use model.{option} instead.")
    kwargs |= token_arguments(c, name, arguments_of(name) if asks_for_tokens(c) else ())
    published = published_config(c.name)
    given_size = kwargs.pop("img_size", None)
    own_size = given_size or _size_of(published) or _size_of(tagged_config(name)) or c.image_size
    size = c.image_size or own_size
    if size is None:
        raise RequestError(f"Model '{name}' does not say how large its pictures are: give --image-size.")
    module, taken = _fitting(name, num_classes, kwargs, size, own_size)
    check_pool(c, name, module)
    if "img_size" in taken:
        kwargs["img_size"] = size
    filter_ = d.interpolation or published.get("interpolation", "bicubic")
    preprocess = Preprocess(
        size=size,
        mean=tuple(published.get("mean", (0.5, 0.5, 0.5))),
        std=tuple(published.get("std", (0.5, 0.5, 0.5))),
        interpolation="bilinear" if filter_ == "bilinear" else "bicubic",
        crop_pct=d.crop_pct if d.crop_pct is not None else (published.get("crop_pct") or 1.0) if c.pretrained else 1.0,
        resize=d.resize,
    )
    takes_any_size = hasattr(module, "dynamic_img_size") and hasattr(module, "patch_embed")
    return Architecture(name, kwargs, preprocess, sum(p.numel() for p in module.parameters()), taken, takes_any_size)


def _size_of(published: Mapping[str, Any]) -> int | None:
    size = published.get("input_size")
    return size[-1] if size else None


def _fitting(
    name: str, num_classes: int, kwargs: Mapping[str, Any], size: int, own_size: int | None
) -> tuple[nn.Module, frozenset[str]]:
    """The module that takes pictures of `size`, and which of `OPTIONS` it takes. Raises `RequestError`, with sizes."""
    try:
        module, taken = tried(name, num_classes, kwargs, size)
        _check_patches(name, module, size)
        check_forward(name, module, num_classes, size)
    except NotTaken:
        raise
    except RequestError as error:
        near = sizes_near(name, num_classes, kwargs, size)
        if not near and own_size is not None and size != own_size and works(name, num_classes, kwargs, own_size):
            near = [own_size]
        if not near:
            raise  # it is not the size
        raise RequestError(f"model.image_size: {error} Take {' or '.join(map(str, near))}.") from None
    return module, taken


def tried(name: str, num_classes: int, kwargs: Mapping[str, Any], size: int) -> tuple[nn.Module, frozenset[str]]:
    """The module on the meta device, and which of `OPTIONS` its constructor takes. Raises `RequestError`."""
    options: dict[str, Any] = dict.fromkeys(OPTIONS, 0.1) | {"img_size": size}
    while True:
        try:
            with torch.device("cpu" if is_own(name) else "meta"):  # what others wrote may need values
                return create_model(name, num_classes=num_classes, **kwargs, **options), frozenset(options)
        except NotTaken as error:
            if error.argument not in options:
                raise
            del options[error.argument]


def check_forward(name: str, module: nn.Module, num_classes: int, size: int) -> None:
    """Raise `RequestError` when a module, real or on meta, makes no (B, classes) scores of pictures of `size`."""
    device = next((p.device for p in module.parameters()), torch.device("cpu"))
    try:
        with torch.no_grad():
            scores = module.eval()(torch.zeros(1, 3, size, size, device=device))
    except NotImplementedError:  # an operation that only a real device has: nothing is known
        return
    except Exception as error:  # whatever its layers stumble over
        reason = " ".join(str(error).split())[:200]
        raise RequestError(f"Model '{name}' fails on pictures of {size} pixels a side: {reason}.") from None
    shape = tuple(scores.shape) if isinstance(scores, torch.Tensor) else type(scores).__name__
    if shape != (1, num_classes):
        raise RequestError(f"Model '{name}' is no classifier: it gives {shape} where (1, {num_classes}) are scores.")


def sizes_near(name: str, num_classes: int, kwargs: Mapping[str, Any], size: int) -> list[int]:
    """The nearest image size below and the nearest above `size` that the model can work on, as far as they are near."""
    multiples = {m for step in NEAR for m in (size // step * step, (size // step + 1) * step)} - {0, size}
    below, above = (sorted(m for m in multiples if m < size), sorted(m for m in multiples if m > size))
    found = []
    for candidates in (reversed(below), above):
        found += [m for m in candidates if works(name, num_classes, kwargs, m)][:1]
    return found


def works(name: str, num_classes: int, kwargs: Mapping[str, Any], size: int) -> bool:
    """Whether a model can work on pictures of a size."""
    try:
        module, _ = tried(name, num_classes, kwargs, size)
        _check_patches(name, module, size)
        check_forward(name, module, num_classes, size)
    except RequestError:
        return False
    return True


def _check_patches(name: str, module: nn.Module, size: int) -> None:
    """Patches that do not fill the picture would leave its edge unseen without a word."""
    embed = getattr(module, "patch_embed", None)
    patch = getattr(embed, "patch_size", None)
    for side in patch if isinstance(patch, tuple) and is_cut(embed) else ():
        if size % side:
            raise RequestError(f"{size} is not a multiple of the patch size {side} of {name}.")


def is_cut(embed: nn.Module | None) -> bool:
    """Whether an embedding cuts a picture into patches side by side, rather than such that overlap (pit, pvt)."""
    first = next((m for m in embed.modules() if isinstance(m, nn.Conv2d)), None) if embed is not None else None
    patch = getattr(embed, "patch_size", None)
    overlaps = first is not None and first.kernel_size in (patch, (patch, patch)) and first.kernel_size != first.stride
    return not overlaps


def check_training(a: Architecture, num_classes: int, images: int) -> None:
    """Raise `RequestError` when a training step on so many images at once fails, as batch norm does on a single one."""
    module = a.on_meta(num_classes).train()
    if not has_batch_norm(module):
        return
    side = a.preprocess.size
    try:
        with torch.no_grad():
            module(torch.empty(images, 3, side, side, device="meta"))
    except NotImplementedError:
        return
    except ValueError as error:
        raise RequestError(
            f"{a.name} normalises over the batch and cannot learn from {images} image at once ({error}): give a larger "
            "--batch-size or fewer parts (--accumulation)."
        ) from None


def has_batch_norm(module: nn.Module) -> bool:
    return any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in module.modules())
