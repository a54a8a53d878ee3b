"""The first weights of a run: random, published, or another run's."""

from __future__ import annotations

from pathlib import Path

import torch

from vitscope.config import RunConfig
from vitscope.models.architecture import Architecture
from vitscope.models.bundle import ModelBundle, load_weights
from vitscope.models.weights import load_initial, new_module, published_module
from vitscope.storage.workspace import Workspace


def initial_module(
    c: RunConfig, a: Architecture, classes: tuple[str, ...], workspace: Workspace, *, resumed: bool
) -> torch.nn.Module:
    """The module as the run starts from; a resumed run takes its weights from the checkpoint, so any will do."""
    rates = a.rates(c.model)
    if c.model.pretrained and not resumed:
        return published_module(c.model.name, a, len(classes), **rates)
    module = new_module(a, len(classes), **rates)
    if c.model.init is not None and not resumed:
        weights, known_classes = given_weights(c.model.init, workspace)
        load_initial(module, weights, c.model.init, known_classes in (None, classes), c.model.new_head)
    return module


def given_weights(init: str, workspace: Workspace) -> tuple[dict[str, torch.Tensor], tuple[str, ...] | None]:
    """Weights of a safetensors file (classes unknown: None), a bundle's folder, or a run's best model."""
    from vitscope.workflows.load import load

    if Path(init).is_file():
        return load_weights(Path(init)), None
    bundle: ModelBundle = load(init, workspace)
    return bundle.module.state_dict(), bundle.classes
