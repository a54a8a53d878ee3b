"""What a run writes down about where it was made."""

from __future__ import annotations

import importlib.metadata
import platform
import re
import sys
from typing import Any

from vitscope._version import __version__
from vitscope.machine.found import Machine, probe

RECORDED_PACKAGES = (
    *("torch", "torchvision", "timm", "accelerate", "safetensors", "numpy", "pandas", "pyarrow", "pillow"),
    *("scikit-learn", "matplotlib", "tensorboard", "pydantic", "sqlalchemy", "onnx", "onnxscript", "onnxruntime"),
)


def environment(machine: Machine | None = None) -> dict[str, Any]:
    """What a run's environment.json records: versions, machine, threads, and the command with passwords left out."""
    import torch

    machine = machine or probe()
    return {
        "vitscope": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: version for name in RECORDED_PACKAGES if (version := installed_version(name))}
        | {"torch": torch.__version__},  # with its build, such as +cpu
        "machine": {
            "kind": machine.kind,
            "cpu": machine.cpu,
            "cores": machine.cores,
            "gpus": [gpu.name for gpu in machine.gpus],
            "memory_bytes": machine.memory_bytes,
        },
        "threads": torch.get_num_threads(),
        "command": [_without_password(argument) for argument in sys.argv],
    }


def _without_password(argument: str) -> str:
    hidden = re.sub(r"(?<=://)([^/@:\s]*):[^/\s]*@", r"\1:…@", argument)
    return re.sub(r"(?i)(password=)[^&\s]+", r"\1…", hidden)


def installed_version(package: str) -> str | None:
    """Version of an installed distribution, without importing it."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
