"""Models by timm's name: what a name stands for, and creating one; what does not fit is told in plain words."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import timm
import torch
from timm.models import get_pretrained_cfg, is_model, model_entrypoint

from vitscope.errors import RequestError, closest, unknown
from vitscope.models import own
from vitscope.models.families import available, family_of

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
# Arguments of many families that options of their own stand for.
OPTIONS = {
    "img_size": "image_size",
    "drop_path_rate": "drop_path",
    "drop_rate": "dropout",
    "patch_drop_rate": "patch_drop",
}
_FIXED = re.compile(r"got multiple values for (?:keyword )?argument '(\w+)'")
_UNEXPECTED = re.compile(r"unexpected keyword argument(?:\(s\))?:? \[?'(\w+)'")


class NotTaken(RequestError):
    """A model's constructor has no such argument."""

    def __init__(self, name: str, argument: str):
        super().__init__(name, argument)
        self.name, self.argument = name, argument

    def __str__(self) -> str:  # when it is told: what the constructor does take costs creating one
        hint = closest(self.argument, arguments_of(self.name))
        return f"Model '{self.name}' takes no argument '{self.argument}'. {hint}".rstrip()


def check_name(name: str) -> None:
    """Raise `RequestError` with the closest names when timm does not know `name` or it is of another family."""
    if own.is_own(name):
        own.copy_of(name)
        return
    base = base_name(name)
    if not is_model(base):
        raise unknown("model", name, available(), "See 'vitscope models available'.")
    if family_of(base) is None:
        raise RequestError(
            f"Model '{name}' is not of a family supported here ('vitscope models families' lists them). "
            f"{closest(base, available())}"
        )


def create_model(name: str, *, num_classes: int, pretrained: bool = False, **kwargs: Any) -> torch.nn.Module:
    """timm's module. Raises `RequestError` for a name or an argument that is not known, with the closest."""
    if own.is_own(name):
        module = own.copy_of(name)
        for argument in kwargs:  # it is made already
            raise NotTaken(name, argument)
        return module
    check_name(name)
    try:
        return timm.create_model(name, pretrained=pretrained, num_classes=num_classes, **kwargs)
    except TypeError as error:
        found = _UNEXPECTED.search(str(error))
        if found is not None and found[1] in kwargs:
            raise NotTaken(name, found[1]) from None
        raise _unfit(name, kwargs, error) from None
    except (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, ValueError) as error:
        if pretrained:  # of a hub or a file: whoever asked for weights knows what to say
            raise
        raise _unfit(name, kwargs, error) from None


def _unfit(name: str, kwargs: Mapping[str, Any], error: Exception) -> RequestError:
    """Constructors check little and raise whatever they stumble over."""
    fixed = _FIXED.search(str(error)) if isinstance(error, TypeError) else None
    if fixed is not None:
        return RequestError(f"Model '{name}': its name fixes '{fixed[1]}', so it cannot be set.")
    given = {k: v for k, v in kwargs.items() if k not in OPTIONS}
    reason = " ".join(str(error).split()).rstrip(".") or "sizes do not fit"
    return RequestError(f"Model '{name}' cannot be created{f' with {given}' if given else ''}: {reason}.")


def base_name(name: str) -> str:
    """timm's name without the tag of its weights; for a local folder the architecture that its config.json names."""
    if name.startswith("local-dir:"):
        return str(local_config(name).get("architecture", ""))
    return name if own.is_own(name) else name.split(".")[0]


def published_config(name: str) -> dict[str, Any]:
    """What is said with the weights of a name or a local folder (mean, std, crop, …). Raises `RequestError`."""
    return local_config(name).get("pretrained_cfg", {}) if name.startswith("local-dir:") else tagged_config(name)


def tagged_config(name: str) -> dict[str, Any]:
    """What is published with the weights of a name (mean, std, crop, …)."""
    check_name(name)
    if own.is_own(name):
        return dict(own.config_of(name))
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


def check_arguments(name: str, kwargs: Mapping[str, Any]) -> None:
    """Raise `RequestError` for an argument that would speak to timm's factory rather than to the architecture."""
    if wrong := sorted(FACTORY_ARGUMENTS & kwargs.keys()):
        raise RequestError(f"Model '{name}': '{wrong[0]}' is no argument of the architecture and cannot be set here.")


def arguments_of(name: str) -> list[str]:
    """Arguments that the architecture behind a name takes (its class's constructor)."""
    if name.startswith("local-dir:") or own.is_own(name):
        return []
    entry: Callable[..., Any] = model_entrypoint(name.split(".")[0])
    with torch.device("meta"):
        module = entry(pretrained=False)
    return [p for p in inspect.signature(type(module).__init__).parameters if p not in ("self", "args", "kwargs")]
