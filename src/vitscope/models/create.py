"""Vision Transformers by timm's name, with what a family does not take told before any work."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

import timm
import torch
from timm.models import get_pretrained_cfg, is_model, model_entrypoint

import vitscope.models.stems  # noqa: F401  registers our own architectures with timm
from vitscope.config import DataConfig, ModelConfig
from vitscope.errors import RequestError, closest, unknown
from vitscope.models.tokens import asks_for_tokens, check_pool, token_arguments
from vitscope.preprocess import Preprocess

# Family → how its names begin in timm.
FAMILIES: dict[str, tuple[str, ...]] = {
    "vit": ("vit_",),
    "deit": ("deit_",),
    "deit3": ("deit3_",),
    "beit": ("beit_", "beitv2_"),
    "eva": ("eva02_", "eva_"),
    "dinov2": ("dinov2",),
}


# Arguments of timm's factory rather than of a model: what they do (loading files, downloading, counting classes) is
# decided elsewhere, and never by what a foreign file says.
FACTORY_ARGUMENTS = frozenset(
    {
        "cache_dir",
        "checkpoint_path",
        "exportable",
        "features_only",
        "in_chans",
        "no_jit",
        "num_classes",
        "pretrained",
        "pretrained_cfg",
        "pretrained_cfg_overlay",
        "pretrained_strict",
        "scriptable",
    }
)

# Arguments of a model that have an option of their own.
OWN_OPTIONS = {
    "img_size": "image_size",
    "drop_path_rate": "drop_path",
    "drop_rate": "dropout",
    "patch_drop_rate": "patch_drop",
}


def family_of(name: str) -> str | None:
    """The family that a model's name belongs to, or None when it is none of those tried here."""
    base = name.split(".")[0]
    if "dinov2" in base:
        return "dinov2"
    return next((family for family, starts in FAMILIES.items() if base.startswith(starts)), None)


def available(family: str | None = None) -> list[str]:
    """Names of the models of one family, or of all."""
    if family is not None and family not in FAMILIES:
        raise unknown("family", family, FAMILIES)
    names = [name for name in timm.list_models() if family_of(name) is not None]
    return [name for name in names if family is None or family_of(name) == family]


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


def check_name(name: str) -> None:
    """Raise `RequestError` with the closest names when timm does not know `name` or it is of another family."""
    base = base_name(name)
    if not is_model(base):
        raise unknown("model", name, available(), "See 'vitscope models available'.")
    if family_of(base) is None:
        raise RequestError(
            f"Model '{name}' is not of a family supported here ({', '.join(FAMILIES)}). {closest(base, available())}"
        )


def create_model(name: str, *, num_classes: int, pretrained: bool = False, **kwargs: Any) -> torch.nn.Module:
    """timm's module. Raises `RequestError` for a name or an argument that is not known, with the closest."""
    check_name(name)
    try:
        return timm.create_model(name, pretrained=pretrained, num_classes=num_classes, **kwargs)
    except TypeError as error:
        taken = arguments_of(name)
        for wrong in (k for k in kwargs if taken and k not in taken):
            raise RequestError(f"Model '{name}' takes no argument '{wrong}'. {closest(wrong, taken)}") from None
        raise RequestError(f"Model '{name}' cannot be created with {kwargs}: {error}.") from None
    except (AssertionError, ValueError, ZeroDivisionError) as error:
        raise RequestError(
            f"Model '{name}' cannot be created with {kwargs}: {str(error).strip() or 'sizes do not fit'}."
        ) from None


@dataclass(frozen=True)
class Architecture:
    """timm's name and arguments of a model, enough to create it anew, and how its pictures are prepared."""

    name: str
    kwargs: dict[str, Any]  # num_classes left out
    preprocess: Preprocess
    parameters: int
    takes_any_size: bool = False  # created with dynamic_img_size, it takes pictures of any whole number of patches


def describe(c: ModelConfig, d: DataConfig, num_classes: int) -> Architecture:
    """The architecture that the options ask for, created without memory; all that does not fit is told here.

    Raises `RequestError` for an unknown name or argument, and for sizes that do not fit each other.
    """
    name, own_kwargs = base_name(c.name), dict(c.kwargs)
    if c.name.startswith("local-dir:"):
        given = local_config(c.name).get("model_args", {})
        own_kwargs = {k: v for k, v in given.items() if k not in FACTORY_ARGUMENTS} | own_kwargs
    check_arguments(name, c.kwargs)
    for argument, option in OWN_OPTIONS.items():
        if argument in c.kwargs:
            raise RequestError(f"model.kwargs.{argument}: use model.{option} instead.")
    own_kwargs |= token_arguments(c, name, arguments_of(name) if asks_for_tokens(c) else ())
    if c.image_size is not None:
        own_kwargs["img_size"] = c.image_size
    with torch.device("meta"):
        module = create_model(name, num_classes=num_classes, **own_kwargs)
    check_pool(c, name, module)
    published = published_config(c.name)
    size = own_kwargs.get("img_size") or published.get("input_size", default_config(module)["input_size"])[-1]
    kwargs = {**own_kwargs, "img_size": size}
    _check_patches(name, module, size)
    crop = d.crop_pct if d.crop_pct is not None else (published.get("crop_pct") or 1.0) if c.pretrained else 1.0
    filter_ = d.interpolation or published.get("interpolation", "bicubic")
    preprocess = Preprocess(
        size=size,
        mean=tuple(published.get("mean", (0.5, 0.5, 0.5))),
        std=tuple(published.get("std", (0.5, 0.5, 0.5))),
        interpolation="bilinear" if filter_ == "bilinear" else "bicubic",
        crop_pct=crop,
        resize=d.resize,
    )
    takes_any_size = hasattr(module, "dynamic_img_size") and hasattr(module, "patch_embed")
    return Architecture(name, kwargs, preprocess, sum(p.numel() for p in module.parameters()), takes_any_size)


def default_config(module: torch.nn.Module) -> dict[str, Any]:
    """What timm knows of a module's default input (size, mean, std, …)."""
    return cast(dict[str, Any], module.pretrained_cfg)


def base_name(name: str) -> str:
    """timm's name without the tag of its weights; for a local folder the architecture that its config.json names."""
    if name.startswith("local-dir:"):
        return str(local_config(name).get("architecture", ""))
    return name.split(".")[0]


def published_config(name: str) -> dict[str, Any]:
    """What is published with a name's weights, or in the `config.json` of its folder."""
    return local_config(name).get("pretrained_cfg", {}) if name.startswith("local-dir:") else tagged_config(name)


def tagged_config(name: str) -> dict[str, Any]:
    """What is published with the weights of a name (mean, std, crop, …)."""
    check_name(name)
    try:
        found = get_pretrained_cfg(name)
    except RuntimeError:
        raise unknown("weights", name, timm.list_pretrained(f"{name.split('.')[0]}.*")) from None
    return found.to_dict() if found is not None else {}


def local_config(name: str) -> dict[str, Any]:
    """`config.json` of a `local-dir:PATH` model. Raises `RequestError`."""
    file = Path(name.removeprefix("local-dir:")).expanduser() / "config.json"
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RequestError(
            f"{file}: no such file. A local-dir model is a folder with config.json and model.safetensors."
        ) from None
    except (OSError, ValueError) as error:
        raise RequestError(f"{file}: not readable as JSON ({error}).") from None
    if not isinstance(content, dict) or "architecture" not in content:
        raise RequestError(f"{file}: names no 'architecture'.")
    return content


def _check_patches(name: str, module: torch.nn.Module, size: int) -> None:
    embed = getattr(module, "patch_embed", None)
    patch = getattr(embed, "patch_size", None)
    for side in patch if isinstance(patch, tuple) else ():
        if size % side:
            lower, upper = size // side * side, (size // side + 1) * side
            raise RequestError(
                f"model.image_size: {size} is not a multiple of the patch size {side} of {name}. "
                f"Take {lower or upper} or {upper}."
            )


def check_arguments(name: str, kwargs: Mapping[str, Any]) -> None:
    """Raise `RequestError` for an argument that would speak to timm's factory rather than to the architecture."""
    if wrong := sorted(FACTORY_ARGUMENTS & kwargs.keys()):
        raise RequestError(f"Model '{name}': '{wrong[0]}' is no argument of the architecture and cannot be set here.")


def arguments_of(name: str) -> list[str]:
    """Arguments that the architecture behind a name takes (its class's constructor)."""
    if name.startswith("local-dir:"):
        return []
    entry: Callable[..., Any] = model_entrypoint(name.split(".")[0])
    with torch.device("meta"):
        module = entry(pretrained=False)
    return [p for p in inspect.signature(type(module).__init__).parameters if p not in ("self", "args", "kwargs")]
