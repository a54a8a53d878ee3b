"""`ModelBundle`: weights + architecture + class names + preprocessing, kept together for good.

Checkpoints, inference, exports and inspection pass this one thing around. On disk it is a folder with
`model.safetensors` and `bundle.json`; the latter carries the sum of the former.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from vitscope.errors import RequestError
from vitscope.models.create import check_arguments, create_model
from vitscope.models.own import is_own
from vitscope.preprocess import Preprocess
from vitscope.storage.artifacts import sha256, write_json
from vitscope.text import brief

FORMAT = 1
WEIGHTS = "model.safetensors"
DESCRIPTION = "bundle.json"
SMALL = 65_536  # an argument up to it asks for nothing that memory would not hold
PICKLES = (".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle")  # can carry code


@dataclass(frozen=True)
class ModelBundle:
    """A trained classifier. `module` is timm's own module, uncompiled and unwrapped, in evaluation mode."""

    module: torch.nn.Module
    name: str  # timm's name of the architecture
    kwargs: Mapping[str, Any]  # arguments it was created with, num_classes left out
    classes: tuple[str, ...]
    preprocess: Preprocess
    info: Mapping[str, Any] = field(default_factory=dict)  # where it comes from: run, step, accuracy, …

    def probabilities(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 3, S, S) float32 as `preprocess` makes them → (B, C) float32."""
        with torch.inference_mode():
            return self.module(images).float().softmax(dim=-1)

    def save(self, folder: Path, weights: Mapping[str, torch.Tensor] | None = None) -> None:
        """Write both files into an existing folder; `weights` replaces the module's own (a moving average)."""
        state = weights if weights is not None else self.module.state_dict()
        write_weights(state, folder / WEIGHTS)
        write_json(
            folder / DESCRIPTION,
            {
                "format": FORMAT,
                "architecture": {"name": self.name, "kwargs": dict(self.kwargs)},
                "classes": list(self.classes),
                "preprocess": self.preprocess.to_dict(),
                "info": dict(self.info),
                "sha256": {WEIGHTS: sha256(folder / WEIGHTS)},
            },
        )

    @classmethod
    def load(cls, folder: str | Path) -> ModelBundle:
        """Read a bundle's folder. Raises `RequestError` when a file is missing, altered or not a bundle's."""
        folder = Path(folder)
        described = read_description(folder)
        weights = load_weights(folder / WEIGHTS, described["sha256"].get(WEIGHTS))
        classes = tuple(described["classes"])
        name, kwargs = described["architecture"]["name"], described["architecture"]["kwargs"]
        module = module_of(name, kwargs, len(classes), weights, str(folder / WEIGHTS))
        return cls(module, name, kwargs, classes, Preprocess.from_dict(described["preprocess"]), described["info"])


def write_weights(state: Mapping[str, torch.Tensor], file: Path) -> None:
    """A state dict as safetensors, readable as other new files are (safetensors makes it private to the user)."""
    file.touch()
    mode = file.stat().st_mode
    save_file(_apart(state), file, {"format": "pt"})
    file.chmod(mode)


def _apart(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Tensors that share no memory, as safetensors wants them: what is tied is written twice."""
    seen: set[int] = set()
    found: dict[str, torch.Tensor] = {}
    for name, tensor in state.items():
        whole = tensor.detach().cpu().contiguous()
        place = whole.untyped_storage().data_ptr()
        found[name] = whole.clone() if place in seen else whole
        seen.add(place)
    return found


def read_description(folder: Path) -> dict[str, Any]:
    """The content of `bundle.json`, checked for its parts. Raises `RequestError`."""
    file = folder / DESCRIPTION
    try:
        described = json.loads(file.read_text(encoding="utf-8"))
        missing = [
            k for k in ("format", "architecture", "classes", "preprocess", "info", "sha256") if k not in described
        ]
    except FileNotFoundError:
        raise RequestError(f"{folder}: no model here ({DESCRIPTION} is missing).") from None
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise RequestError(f"{file}: not readable as a model's description ({error}).") from None
    if not isinstance(described, dict):
        missing = ["everything"]
    if missing:
        raise RequestError(f"{file}: not a model's description: {', '.join(missing)} missing.")
    if isinstance(described["format"], int) and described["format"] > FORMAT:
        raise RequestError(f"{file}: written by a newer vitscope (format {described['format']}). Update vitscope.")
    architecture, classes = described["architecture"], described["classes"]
    parts = {
        "format": described["format"] == FORMAT,
        "architecture": isinstance(architecture, dict)
        and isinstance(architecture.get("name"), str)
        and isinstance(architecture.get("kwargs"), dict),
        "classes": isinstance(classes, list) and bool(classes) and all(isinstance(name, str) for name in classes),
        "preprocess": isinstance(described["preprocess"], dict),
        "info": isinstance(described["info"], dict),
        "sha256": isinstance(described["sha256"], dict),
    }
    if wrong := [name for name, is_sound in parts.items() if not is_sound]:
        raise RequestError(f"{file}: not a model's description: {', '.join(wrong)} of it cannot be what it says.")
    return described


def load_weights(file: Path, expected_sha256: str | None = None) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file, its sum checked where one is known. Never unpickles anything.

    Raises `RequestError` for a missing, damaged or altered file, and for formats that can carry code.
    """
    _check_kind(file)
    if expected_sha256 is not None and sha256(file) != expected_sha256:
        raise RequestError(
            f"{file}: damaged: its sum differs from the one written beside it. Take another checkpoint or a backup."
        )
    try:
        return load_file(file)
    except (SafetensorError, OSError, ValueError) as error:
        raise RequestError(f"{file}: not a safetensors file ({error}).") from None


def tensor_names(file: Path) -> list[str]:
    """The names of the tensors of a safetensors file, without reading them. Raises as `load_weights`."""
    _check_kind(file)
    try:
        with safe_open(file, framework="pt") as opened:
            return list(opened.keys())
    except (SafetensorError, OSError, ValueError) as error:
        raise RequestError(f"{file}: not a safetensors file ({error}).") from None


def module_of(
    name: str, kwargs: Mapping[str, Any], num_classes: int, weights: Mapping[str, torch.Tensor], where: str
) -> torch.nn.Module:
    """The module that a description names, with its weights, in evaluation mode. Raises `RequestError`.

    It is made without memory first and compared with the weights: a description may ask for any size.
    """
    check_arguments(name, kwargs)
    if not is_own(name):
        _check_extent(kwargs, weights, where)
        with torch.device("meta"):
            check_weights(create_model(name, num_classes=num_classes, **kwargs), weights, where)
    module = create_model(name, num_classes=num_classes, **kwargs)
    check_weights(module, weights, where)
    module.load_state_dict(weights)
    return module.eval()


def _check_extent(kwargs: Mapping[str, Any], weights: Mapping[str, torch.Tensor], where: str) -> None:
    """Raise `RequestError` for arguments of more layers or numbers than there are weights for."""
    numbers = max(SMALL, sum(tensor.numel() for tensor in weights.values()))
    for name, value in kwargs.items():
        most = len(weights) if "depth" in name else numbers
        for number in value if isinstance(value, list) else [value]:
            if isinstance(number, (int, float)) and not -most <= number <= most:
                raise RequestError(f"{where}: these weights are of another model ({name} {brief(number)}).")


def _check_kind(file: Path) -> None:
    if file.suffix.lower() in PICKLES:
        raise RequestError(
            f"{file}: files of this kind can carry code that runs when they are loaded, so they are refused. "
            "Save the weights as safetensors (safetensors.torch.save_file(model.state_dict(), 'model.safetensors'))."
        )
    if not file.is_file():
        raise RequestError(f"{file}: no such weights file.")


def check_weights(module: torch.nn.Module, weights: Mapping[str, torch.Tensor], where: str) -> None:
    """Raise `RequestError` that tells which tensors differ when `weights` do not fit `module`."""
    own = {k: tuple(v.shape) for k, v in module.state_dict().items()}
    given = {k: tuple(v.shape) for k, v in weights.items()}
    differ = [f"{k}: file {given[k]}, model {own[k]}" for k in own if k in given and given[k] != own[k]]
    differ += [f"{k}: missing in the file" for k in own if k not in given]
    differ += [f"{k}: not in the model" for k in given if k not in own]
    if differ:
        more = f"; and {len(differ) - 6} more" if len(differ) > 6 else ""
        raise RequestError(
            f"{where}: these weights are of another model ({len(differ)} tensors differ): "
            f"{'; '.join(map(brief, differ[:6]))}{more}."
        )
