"""ViTScope: train Vision Transformer classifiers on your own images, see inside, prove their exports.

The public API, small and flat. Everything is imported on first use, so that `import vitscope` costs nothing.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from vitscope._version import __version__

# Before torch is first imported: threads that wait for each other sleep instead of spinning. On a machine that does
# other things too, spinning made training of a small ViT four times slower; on a quiet one it wins about 5 %.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

if TYPE_CHECKING:
    from vitscope import events
    from vitscope.analysis.evaluation import Evaluation
    from vitscope.config import RunConfig
    from vitscope.errors import Interrupted, RequestError, ViTScopeError, WorkFailed
    from vitscope.models.bundle import ModelBundle
    from vitscope.models.own import register_model
    from vitscope.storage.workspace import Workspace
    from vitscope.workflows.evaluate import evaluate
    from vitscope.workflows.export import ExportResult, export
    from vitscope.workflows.inspect import Inside, inspect, probe
    from vitscope.workflows.load import load
    from vitscope.workflows.predict import Prediction, predict
    from vitscope.workflows.resume import resume
    from vitscope.workflows.run import Run
    from vitscope.workflows.train import train

__all__ = [
    "Evaluation",
    "ExportResult",
    "Inside",
    "Interrupted",
    "ModelBundle",
    "Prediction",
    "RequestError",
    "Run",
    "RunConfig",
    "ViTScopeError",
    "WorkFailed",
    "Workspace",
    "__version__",
    "evaluate",
    "events",
    "export",
    "inspect",
    "load",
    "predict",
    "probe",
    "register_model",
    "resume",
    "train",
]

_HOMES = {
    "Evaluation": "vitscope.analysis.evaluation",
    "ExportResult": "vitscope.workflows.export",
    "Inside": "vitscope.workflows.inspect",
    "Interrupted": "vitscope.errors",
    "RequestError": "vitscope.errors",
    "ViTScopeError": "vitscope.errors",
    "WorkFailed": "vitscope.errors",
    "events": "vitscope",
    "ModelBundle": "vitscope.models.bundle",
    "Prediction": "vitscope.workflows.predict",
    "Run": "vitscope.workflows.run",
    "RunConfig": "vitscope.config",
    "Workspace": "vitscope.storage.workspace",
    "evaluate": "vitscope.workflows.evaluate",
    "export": "vitscope.workflows.export",
    "inspect": "vitscope.workflows.inspect",
    "load": "vitscope.workflows.load",
    "predict": "vitscope.workflows.predict",
    "probe": "vitscope.workflows.inspect",
    "register_model": "vitscope.models.own",
    "resume": "vitscope.workflows.resume",
    "train": "vitscope.workflows.train",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'vitscope' has no attribute '{name}'")
    home = _HOMES[name]
    value = import_module(f"vitscope.{name}") if home == "vitscope" else getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
