"""LoRA (arXiv:2106.09685): each linear layer W of the blocks learns a small product, W + 2·B·A, and W stays as given.

Through `peft`, which puts the pair beside its layer in timm's own module. What is saved for use is merged: an ordinary
timm model, whose weights hold the sum.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from importlib.util import find_spec

import torch
from torch import nn

from vitscope.errors import RequestError
from vitscope.models.architecture import Architecture
from vitscope.models.weights import head_prefixes, new_module

SCALE = 2  # of the product, whatever its rank: peft's `lora_alpha` is so many times the rank


def check_peft() -> None:
    """Raise `RequestError` with the command that installs `peft` where it is missing."""
    if find_spec("peft") is None:
        raise RequestError(
            "model.lora_rank: LoRA needs the package peft, which is not installed. Run: pip install 'vitscope[lora]'"
        )


def linear_layers(a: Architecture, num_classes: int) -> list[str]:
    """Names of the linear layers between the embedding and the head that the model calls as layers.

    Some models read the weight of a layer instead of calling it (EVA and BEiT their joint query-key-value); a pair
    beside that would never be asked. Found by a forward pass without memory. Raises `RequestError` where there is none.
    """
    with torch.device("meta"):
        module = new_module(a, num_classes).eval()
        picture = torch.empty(1, 3, a.preprocess.size, a.preprocess.size)
    called: list[str] = []
    for name, layer in module.named_modules():
        if isinstance(layer, nn.Linear) and not f"{name}.".startswith(("patch_embed.", *head_prefixes(module))):
            layer.register_forward_pre_hook(lambda *_, name=name: called.append(name))
    with torch.no_grad():
        module(picture)
    if not called:
        raise RequestError(f"model.lora_rank: {a.name} calls no linear layer that could be adapted.")
    return called


def adapted(module: nn.Module, layers: Sequence[str], rank: int) -> nn.Module:
    """A copy of `module` in which pairs of matrices beside `layers` learn, and the head; all else is frozen.

    It computes what `module` does until it is trained: B begins with zeros. A is drawn from torch's generator.
    """
    from peft import LoraConfig, inject_adapter_in_model

    copied = copy.deepcopy(module)
    config = LoraConfig(r=rank, lora_alpha=SCALE * rank, target_modules=list(layers))
    inject_adapter_in_model(config, copied)  # freezes what is not its own
    for name, parameter in copied.named_parameters():
        if name.startswith(head_prefixes(module)):
            parameter.requires_grad_(True)
    return copied


@torch.no_grad()
def merged(module: nn.Module) -> dict[str, torch.Tensor]:
    """State dict of the module that was adapted, each pair's product added to its layer's weight."""
    from peft.tuners.lora import LoraLayer

    layers = {name: layer for name, layer in module.named_modules() if isinstance(layer, LoraLayer)}
    state: dict[str, torch.Tensor] = {}
    for key, value in module.state_dict().items():
        owner, base, kind = key.partition(".base_layer.")
        if base and owner in layers:
            product = layers[owner].get_delta_weight("default") if kind == "weight" else None  # pyright: ignore
            state[f"{owner}.{kind}"] = value if product is None else value + product
        elif ".lora_" not in key:
            state[key] = value
    return state
