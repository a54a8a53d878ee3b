"""Optimizers by name, and what each parameter is to one: whether it decays, at what rate, whether it is trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from timm.models import group_parameters

from vitscope.config import OptimConfig
from vitscope.models.weights import head_prefixes
from vitscope.training.ema import EvaluationCopy, MovingAverage
from vitscope.training.muon import Muon
from vitscope.training.schedule_free import Averaged, ScheduleFreeAdamW

Groups = list[dict[str, Any]]
COLOURS = 3  # channels of a picture
FUSED_ON = {"cpu", "cuda"}  # devices on which torch steps all parameters in one kernel


def adamw(groups: Groups, c: OptimConfig, dtype: torch.dtype) -> torch.optim.Optimizer:
    """AdamW (arXiv:1711.05101), in one kernel where torch has it: on a CPU a fifth of the time of many."""
    devices = {p.device.type for group in groups for p in group["params"]}
    is_real = all(p.is_floating_point() for group in groups for p in group["params"])
    return torch.optim.AdamW(groups, lr=c.lr, betas=c.betas, fused=is_real and devices <= FUSED_ON)


def sgd(groups: Groups, c: OptimConfig, dtype: torch.dtype) -> torch.optim.Optimizer:
    """SGD with Nesterov momentum where there is any."""
    return torch.optim.SGD(groups, lr=c.lr, momentum=c.momentum, nesterov=c.momentum > 0)


def muon(groups: Groups, c: OptimConfig, dtype: torch.dtype) -> torch.optim.Optimizer:
    """Muon for the matrices of the blocks and the kernels of a stem, AdamW for the rest; see muon.py."""
    return Muon(groups, lr=c.lr, betas=c.betas, momentum=c.momentum, dtype=dtype)


def schedulefree(groups: Groups, c: OptimConfig, dtype: torch.dtype) -> torch.optim.Optimizer:
    """AdamW with averaging in the place of a schedule; see schedule_free.py."""
    return ScheduleFreeAdamW(groups, lr=c.lr, betas=c.betas)


OPTIMIZERS: dict[str, Callable[[Groups, OptimConfig, torch.dtype], torch.optim.Optimizer]] = {
    "adamw": adamw,
    "sgd": sgd,
    "muon": muon,
    "schedulefree": schedulefree,
}


def create_optimizer(
    module: torch.nn.Module, c: OptimConfig, dtype: torch.dtype = torch.float32
) -> torch.optim.Optimizer:
    """The optimizer of `c.name` over what is trained of `module`; `dtype` is what its matrix products may use."""
    return OPTIMIZERS[c.name](parameter_groups(module, c), c, dtype)


def evaluation_copy(
    module: torch.nn.Module, optimizer: torch.optim.Optimizer, ema_decay: float
) -> EvaluationCopy | None:
    """What is evaluated and saved in the place of the weights being trained; None: they themselves."""
    if isinstance(optimizer, ScheduleFreeAdamW):
        return Averaged(module, optimizer)
    return MovingAverage(module, ema_decay) if ema_decay > 0 else None


def state_values(module: torch.nn.Module, c: OptimConfig) -> int:
    """How many numbers the optimizer keeps about what is trained of `module`."""

    def copies(group: dict[str, Any]) -> int:
        if c.name == "sgd":
            return 1 if c.momentum else 0
        return 1 if group["parts"] else 2  # a matrix of Muon's has a momentum alone

    return sum(copies(group) * sum(p.numel() for p in group["params"]) for group in parameter_groups(module, c))


def parameter_groups(module: torch.nn.Module, c: OptimConfig) -> Groups:
    """Parameters that are treated alike: `weight_decay`, `lr_scale` (of the run's rate), `parts` (muon.py; else 0).

    Biases, norms and what the model names (tokens, position embeddings) do not decay. With `layer_decay` the rate
    shrinks by that factor a layer, from the head down (arXiv:2106.08254).
    """
    names: Callable[[], set[str]] = getattr(module, "no_weight_decay", set)
    resting, depths = names(), depth_of_parameters(module)
    deepest = max(depths.values(), default=0)
    groups: dict[tuple[float, float, int], list[torch.nn.Parameter]] = {}
    for name, parameter in module.named_parameters():
        if not parameter.requires_grad:
            continue
        decays = parameter.ndim > 1 and name not in resting
        scale = c.layer_decay ** (deepest - depths[name])
        parts = _matrices_in(module, name, depths[name]) if c.name == "muon" else 0
        key = (c.weight_decay if decays else 0.0, scale, parts)
        groups.setdefault(key, []).append(parameter)
    return [
        {"params": parameters, "weight_decay": decay, "lr_scale": scale, "parts": parts}
        for (decay, scale, parts), parameters in groups.items()
    ]


def freeze(module: torch.nn.Module, share: float) -> None:
    """Leave the first layers as they are: `share` of those below the head, from the embedding on; 1: all of them."""
    depths = depth_of_parameters(module)
    frozen = round(share * max(depths.values(), default=0))
    for name, parameter in module.named_parameters():
        if depths[name] < frozen:
            parameter.requires_grad_(False)


def training_mode(module: torch.nn.Module) -> None:
    """Training mode, but for batch norm among the frozen layers: its running statistics stay as they are too."""
    module.train()
    for part in module.modules():
        if isinstance(part, torch.nn.modules.batchnorm._BatchNorm) and part.weight is not None:
            part.train(part.weight.requires_grad)


def depth_of_parameters(module: torch.nn.Module) -> dict[str, int]:
    """Layer of each parameter by name: 0 the embedding, then the blocks, last the head; as timm groups its models."""
    matcher = getattr(module, "group_matcher", None)
    if matcher is None:  # one's own module: top-level children in their order
        order = {name: i for i, (name, _) in enumerate(module.named_children())}
        return {name: order.get(name.split(".")[0], 0) for name, _ in module.named_parameters()}
    found = cast(Mapping[str, int], group_parameters(module, matcher(coarse=False), reverse=True))
    deepest = max(found.values(), default=0)
    return {name: found.get(name, deepest) for name, _ in module.named_parameters()}


def _matrices_in(module: torch.nn.Module, name: str, depth: int) -> int:
    """How many matrices Muon takes a parameter for: 3 for a joint query-key-value matrix, 0 for what is AdamW's.

    Those are the weights of linear layers and the kernels of convolutions over all channels, but neither a head's nor
    what reads the picture (a linear layer of the embedding, `depth` 0; a convolution of colours).
    """
    owner, _, kind = name.rpartition(".")
    layer = module.get_submodule(owner)
    if kind != "weight" or name.startswith(head_prefixes(module)):
        return 0
    if isinstance(layer, torch.nn.Conv2d):
        return int(layer.groups == 1 and layer.in_channels > COLOURS)
    is_embedding = depth == 0 and hasattr(module, "group_matcher")  # else the depths are a guess
    if not isinstance(layer, torch.nn.Linear) or is_embedding:
        return 0
    is_joint = owner.endswith("qkv") and layer.out_features % 3 == 0
    return 3 if is_joint else 1
