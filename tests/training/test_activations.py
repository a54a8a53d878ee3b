from __future__ import annotations

import pytest
import torch
from tests.trained import SIZES

from vitscope.errors import RequestError
from vitscope.models.create import create_model
from vitscope.training.activations import checkpoint_activations


def gradients_and_kept(name: str, is_checkpointed: bool) -> tuple[list[torch.Tensor], int]:
    """With drop path and dropout; and the bytes that forward keeps for backward beside the weights."""
    torch.manual_seed(0)
    module = create_model(name, num_classes=3, **SIZES | {"depth": 4}, drop_path_rate=0.3, proj_drop_rate=0.2).train()
    if is_checkpointed:
        checkpoint_activations(module)
    own = {p.untyped_storage()._cdata for p in module.parameters()}
    kept: dict[int, torch.Tensor] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        if (key := tensor.untyped_storage()._cdata) not in own:
            kept[key] = tensor
        return tensor

    images = torch.randn(6, 3, 32, 32)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        result = module(images)
    size = sum(t.untyped_storage().nbytes() for t in kept.values())
    kept.clear()
    result.square().sum().backward()
    return [p.grad for p in module.parameters() if p.grad is not None], size


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "eva02_tiny_patch14_224", "beit_base_patch16_224"])
def test_the_same_gradients_bit_for_bit_with_less_kept(name: str):
    (plain, kept), (again, fewer) = (gradients_and_kept(name, is_checkpointed) for is_checkpointed in (False, True))
    assert len(plain) == len(again) > 40
    assert all(torch.equal(one, other) for one, other in zip(plain, again, strict=True))
    assert fewer < kept / 3


def test_a_model_that_cannot_is_told():
    with pytest.raises(RequestError, match="Linear cannot compute its activations again"):
        checkpoint_activations(torch.nn.Linear(2, 2))
