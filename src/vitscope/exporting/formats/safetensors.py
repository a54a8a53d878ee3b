"""safetensors with a `config.json` in the layout of timm and the hub: plain timm loads it back.

`timm.create_model("local-dir:FOLDER", pretrained=True)` gives the same module; our own architectures (`*_convstem`,
`*_poolstem`) need `import vitscope` first. The preprocessing is told in timm's words (input_size, crop_pct, …).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch

from vitscope._version import __version__
from vitscope.errors import RequestError, WorkFailed
from vitscope.inference.torch_runtime import TorchPredictor
from vitscope.models.bundle import ModelBundle, load_weights, module_of, write_weights
from vitscope.preprocess import Preprocess
from vitscope.storage.artifacts import sha256, write_json
from vitscope.text import brief

FILE: str = "model.safetensors"
CONFIG = "config.json"

# Preprocess.resize → timm's crop_mode
CROP_MODES = {"crop": "center", "squash": "squash"}


def require() -> None:
    """Nothing beyond what the program itself needs."""


def write(bundle: ModelBundle, folder: Path) -> None:
    """Write `model.safetensors` and `config.json`. Raises `WorkFailed` for a module that timm did not make."""
    known = getattr(bundle.module, "pretrained_cfg", None)
    if not isinstance(known, Mapping) or not known.get("architecture"):
        raise WorkFailed(f"'{bundle.name}' is no timm architecture: a folder that timm loads cannot be written for it.")
    p = bundle.preprocess
    write_weights(bundle.module.state_dict(), folder / FILE)
    config: dict[str, Any] = {
        "architecture": known["architecture"],
        "num_classes": len(bundle.classes),
        "num_features": getattr(bundle.module, "num_features", None),
        "label_names": list(bundle.classes),
        "model_args": dict(bundle.kwargs),
        "pretrained_cfg": {
            "custom_load": False,
            "input_size": [3, p.size, p.size],
            "fixed_input_size": bool(known.get("fixed_input_size", True)),
            "interpolation": p.interpolation,
            "crop_pct": p.crop_pct,
            "crop_mode": CROP_MODES[p.resize],
            "mean": list(p.mean),
            "std": list(p.std),
            "num_classes": len(bundle.classes),
            "pool_size": None,
            "first_conv": known.get("first_conv"),
            "classifier": known.get("classifier"),
        },
        "vitscope": {"version": __version__, "info": dict(bundle.info), "sha256": {FILE: sha256(folder / FILE)}},
    }
    write_json(folder / CONFIG, config)


def read(folder: Path) -> TorchPredictor:
    """The folder as plain timm loads it. Raises `WorkFailed` when timm does not."""
    try:
        module = timm.create_model(f"local-dir:{folder}", pretrained=True)
    except (RuntimeError, ValueError, TypeError, AssertionError) as error:
        reason = " ".join(str(error).split())[:500]
        raise WorkFailed(f"timm does not load the safetensors export back: {reason}") from error
    return TorchPredictor(read_config(folder).bundle(module.eval()))


def load(folder: Path) -> ModelBundle:
    """The folder as a bundle, its sum checked. Raises `RequestError` when it is damaged or not such an export."""
    described = read_config(folder)
    weights = load_weights(folder / FILE, described.sha256)
    classes = len(described.classes)
    return described.bundle(module_of(described.architecture, described.kwargs, classes, weights, str(folder / FILE)))


@dataclass(frozen=True)
class Described:
    """What `config.json` says."""

    architecture: str
    kwargs: dict[str, Any]
    classes: tuple[str, ...]
    preprocess: Preprocess
    info: dict[str, Any]
    sha256: str | None

    def bundle(self, module: torch.nn.Module) -> ModelBundle:
        """What is said here together with the module."""
        return ModelBundle(module, self.architecture, self.kwargs, self.classes, self.preprocess, self.info)


def read_config(folder: Path) -> Described:
    """The content of `config.json`. Raises `RequestError` when it is missing or says too little."""
    file = folder / CONFIG
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
        given = config["pretrained_cfg"]
        ours = config.get("vitscope", {})
        _, height, width = given["input_size"]
        if height != width:
            raise ValueError(f"pictures of {height} × {width} are not square")
        if given["interpolation"] not in ("bilinear", "bicubic"):
            raise ValueError(f"interpolation '{given['interpolation']}' is none of bilinear, bicubic")
        preprocess = Preprocess(
            size=height,
            mean=tuple(given["mean"]),
            std=tuple(given["std"]),
            interpolation=given["interpolation"],
            crop_pct=given["crop_pct"],
            resize={timms: our for our, timms in CROP_MODES.items()}[given.get("crop_mode", "center")],  # type: ignore[arg-type]
        )
        if why := preprocess.problem:
            raise ValueError(why)
        names = config["label_names"]
        if not isinstance(config["architecture"], str) or not isinstance(names, list) or not names:
            raise ValueError("its architecture or its classes are no names")
        return Described(
            architecture=config["architecture"],
            kwargs=dict(config.get("model_args", {})),
            classes=tuple(map(str, names)),
            preprocess=preprocess,
            info=dict(ours.get("info", {})),
            sha256=ours.get("sha256", {}).get(FILE),
        )
    except FileNotFoundError:
        raise RequestError(f"{folder}: no export here ({CONFIG} is missing).") from None
    except KeyError as missing:
        raise RequestError(f"{file}: says nothing about {missing}, which an export's description must.") from None
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise RequestError(f"{file}: not readable as an export's description ({brief(error)}).") from None
