"""The first weights of a run: random, published, or another run's."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch

from vitscope.config import RunConfig
from vitscope.models.architecture import Architecture
from vitscope.models.bundle import ModelBundle, load_weights
from vitscope.models.fitting import fitted, has_tokens_of
from vitscope.models.tokens import PATCH_DROP
from vitscope.models.weights import Started, load_initial, new_module, published_module, resizes_plainly
from vitscope.storage.workspace import Workspace
from vitscope.training.activations import checkpoint_activations
from vitscope.training.optim import freeze


def initial_module(
    c: RunConfig, a: Architecture, classes: tuple[str, ...], workspace: Workspace, *, resumed: bool
) -> Started:
    """The module as the run starts from; a resumed run takes its weights from the checkpoint, so any will do."""
    plain = resizes_plainly(c.model.pos_embed, a.name)
    if c.model.pretrained and not resumed:
        return published_module(c.model.name, a, len(classes), plain=plain, **training_arguments(c, a))
    module, told = new_module(a, len(classes), **training_arguments(c, a)), []
    if c.model.init is not None and not resumed:
        weights, source, known_classes = given_weights(c.model.init, workspace)
        if source is None and has_tokens_of(weights, module):
            source = module  # a file does not say of what model it is: of one like this, but for the image size
        if source is not None:
            weights, told = fitted(weights, source, module, plain)
        load_initial(module, weights, c.model.init, known_classes in (None, classes), c.model.new_head)
    return Started(module, told)


def training_arguments(c: RunConfig, a: Architecture) -> dict[str, Any]:
    """timm's arguments for training alone: what is left out at random, and pictures of more than one size."""
    given: dict[str, Any] = a.rates(c.model)
    if c.model.patch_drop:
        given[PATCH_DROP] = c.model.patch_drop
    if c.schedule.start_size < 1:
        given["dynamic_img_size"] = True
    return given


def learning_module(c: RunConfig, a: Architecture, classes: int) -> torch.nn.Module:
    """For what a step costs: weights as they come, frozen as asked; adapters cost little, and are left out."""
    module = new_module(a, classes, **training_arguments(c, a))
    freeze(module, c.model.frozen)
    if c.train.checkpoint_activations:
        checkpoint_activations(module)
    return module


class Given(NamedTuple):
    """Weights, the module that they are of, and its classes; both None where they come from a file."""

    weights: dict[str, torch.Tensor]
    source: torch.nn.Module | None
    classes: tuple[str, ...] | None


def given_weights(init: str, workspace: Workspace) -> Given:
    """Weights of a safetensors file, a bundle's folder, or a run's best model."""
    from vitscope.workflows.load import load

    if Path(init).is_file():
        return Given(load_weights(Path(init)), None, None)
    bundle: ModelBundle = load(init, workspace)
    return Given(bundle.module.state_dict(), bundle.module, bundle.classes)
