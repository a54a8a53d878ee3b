from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from tests.inspection.tiny import ALL, pixels, tiny
from vitscope.inspection.probe import capture, unfused
from vitscope.inspection.structure import Structure, structure


def nodes(tree: Structure) -> dict[str, Any]:
    return {node.id: node for node in tree.nodes}


@pytest.mark.parametrize("name", ALL)
def test_flops_are_the_flop_counters(name: str) -> None:
    module, image = tiny(name), pixels(1)
    tree = structure(module, image)
    for parameter in module.parameters():  # its tracker of modules stumbles over parameters that want gradients
        parameter.requires_grad_(False)
    with torch.no_grad(), unfused(module), FlopCounterMode(display=False) as counter:
        module(image)
    assert tree.nodes[0].flops == counter.get_total_flops() > 0
    by_name = counter.get_flop_counts()
    prefix = f"{type(module).__name__}."
    for node in tree.nodes[1:]:
        if f"{prefix}{node.id}" in by_name:
            assert node.flops == sum(by_name[f"{prefix}{node.id}"].values()), node.id


def test_flops_by_hand() -> None:
    found = nodes(structure(tiny("vit_tiny_patch16_224"), pixels(1)))
    tokens, width, hidden = 17, 32, 128
    qkv = 2 * tokens * width * 3 * width
    scores = values = 2 * tokens * tokens * width
    projection = 2 * tokens * width * width
    mlp = 2 * 2 * tokens * width * hidden
    patches = 2 * 16 * (3 * 8 * 8) * width
    head = 2 * width * 3
    assert found["blocks.0.attn.qkv"].flops == qkv
    assert found["blocks.0.attn"].flops == qkv + scores + values + projection
    assert found["blocks.0.mlp"].flops == mlp
    assert found["patch_embed"].flops == patches
    assert found[""].flops == patches + 2 * (qkv + scores + values + projection + mlp) + head


@pytest.mark.parametrize("name", ["beit_base_patch16_224", "eva02_tiny_patch14_224"])
def test_a_matrix_that_is_used_without_a_call_is_there(name: str) -> None:
    found = nodes(structure(tiny(name), pixels(1)))
    qkv = found["blocks.0.attn.qkv"]
    assert (qkv.input_shape, qkv.output_shape) == ((1, 17, 32), (1, 17, 96))
    assert qkv.flops == 2 * 17 * 32 * 96
    assert qkv.parent == "blocks.0.attn"


@pytest.mark.parametrize("name", ALL)
def test_shapes_and_parameters(name: str) -> None:
    module = tiny(name)
    tree = structure(module, pixels(1))
    found = nodes(tree)
    assert found[""].parameters == sum(p.numel() for p in module.parameters())
    assert sum(node.own_parameters for node in tree.nodes) == found[""].parameters
    assert (found["image"].output_shape, found["result"].input_shape) == ((1, 3, 32, 32), (1, 3))
    assert [node.order for node in tree.nodes] == list(range(len(tree.nodes)))
    told = [n.id for n in tree.nodes if n.id not in ("", "image", "result")]
    probed = capture(module, pixels(1), activations=told)
    for node_id, output in probed.activations.items():
        assert found[node_id].output_shape == output.shape
        assert found[node_id].parent in found


@pytest.mark.parametrize("name", ALL)
def test_every_node_is_reached_from_the_image_and_reaches_the_result(name: str) -> None:
    tree = structure(tiny(name), pixels(1))
    known = {node.id for node in tree.nodes}
    parents = {node.id: node.parent for node in tree.nodes}
    below = {node.parent for node in tree.nodes}
    steps: dict[str, set[str]] = {}
    for edge in tree.edges:
        ends = [end.removeprefix("in:").removeprefix("out:") for end in (edge.source, edge.target)]
        assert set(ends) <= known
        inside = [end if ":" in edge_end else parents[end] for end, edge_end in zip(ends, edge[:2], strict=True)]
        assert inside[0] == inside[1]  # siblings, or the module around them
        steps.setdefault(edge.source, set()).add(edge.target)
    for node in below - {None, ""}:
        steps.setdefault(str(node), set()).add(f"in:{node}")
        steps.setdefault(f"out:{node}", set()).add(f"{node}!")
    # What comes out of a module that others are inside of is what comes out of its "out".
    seen, todo = set(), ["image"]
    while todo:
        one = todo.pop()
        if one in seen:
            continue
        seen.add(one)
        todo += steps.get(one, ())
    without_picture = {"pos_embed"} if name.startswith("xcit") else set()
    dark = {i for i in known - seen - {""} if i.partition(".")[0] not in without_picture}
    assert dark == set()
    assert "result" in seen


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "deit3_small_patch16_224", "vit_small_patch14_reg4_dinov2"])
def test_what_reaches_a_module_is_the_sum_of_its_edges(name: str) -> None:
    """The edges say: input of b = output of a + what came past. Held against the tensors themselves."""
    module = tiny(name)
    tree = structure(module, pixels(1))
    given: dict[str, np.ndarray] = {}
    taken: dict[str, np.ndarray] = {}

    def watch(node_id: str) -> Any:
        def remember(_: nn.Module, inputs: tuple, output: torch.Tensor) -> None:
            taken[node_id], given[node_id] = inputs[0].numpy(), output.numpy()

        return remember

    handles = [part.register_forward_hook(watch(node_id)) for node_id, part in module.named_modules()]
    with torch.no_grad():
        module(pixels(1))
    for handle in handles:
        handle.remove()
    inside = [e for e in tree.edges if e.source.startswith(("blocks.0.", "in:blocks.0")) and e.source.count(".") <= 2]
    targets = {
        e.target for e in inside if not e.target.startswith(("blocks.0.attn.", "blocks.0.mlp.", "out:blocks.0."))
    }
    assert {"blocks.0.norm1", "blocks.0.norm2", "out:blocks.0"} <= targets
    residuals = 0
    for target in targets:
        sources = [e for e in inside if e.target == target]
        parts = [taken["blocks.0"] if e.source == "in:blocks.0" else given[e.source] for e in sources]
        reached = given["blocks.0"] if target == "out:blocks.0" else taken[target]
        np.testing.assert_allclose(reached, sum(parts), rtol=1e-4, atol=1e-4 * np.abs(reached).max())
        residuals += sum(e.kind == "residual" for e in sources)
        assert sum(e.kind == "flow" for e in sources) == 1
    assert residuals == 3  # past attention, past the MLP: the block's input and what attention added


class Known(nn.Module):
    """b is called twice, c stands in parallel, and nothing that does nothing is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)
        self.rest, self.out = nn.Sequential(nn.Identity(), nn.Dropout(0.5)), nn.Linear(4, 2)
        self.scale = nn.Parameter(torch.ones(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.mean(dim=(2, 3))
        x = torch.nn.functional.pad(x, (0, 1))
        x = self.a(x) * self.scale
        y = self.b(self.b(x))
        z = self.rest(self.c(x))
        return self.out(x + (y + z))


def test_a_module_of_known_structure() -> None:
    tree = structure(Known().eval(), pixels(1))
    edges = {(e.source, e.target): e.kind for e in tree.edges}
    assert edges == {
        ("image", "a"): "flow",
        ("a", "b"): "flow",
        ("a", "c"): "flow",
        ("a", "out"): "residual",
        ("b", "out"): "flow",
        ("c", "out"): "flow",
        ("out", "result"): "flow",
    }
    found = nodes(tree)
    assert "rest" not in found
    assert found["b"].flops == 2 * 2 * 4 * 4
    assert found[""].own_parameters == 4
    assert next(e.shape for e in tree.edges if e.target == "a") == (1, 4)


def test_folds_are_blocks_alike() -> None:
    tree = structure(tiny("vit_tiny_patch16_224"), pixels(1))
    assert [(f.id, f.first, f.count, f.members) for f in tree.folds] == [
        ("blocks", "blocks.0", 2, ["blocks.0", "blocks.1"])
    ]
    assert {node.id: node.fold for node in tree.nodes if node.fold} == dict.fromkeys(["blocks.0", "blocks.1"], "blocks")
    module: Any = tiny("vit_tiny_patch16_224")
    module.blocks[1].mlp.act = nn.ReLU()
    assert structure(module, pixels(1)).folds == []


def test_the_module_is_left_as_it_was_also_when_it_fails() -> None:
    module: Any = tiny("vit_tiny_patch16_224").train()
    state = {k: v.clone() for k, v in module.state_dict().items()}
    structure(module, pixels(1))
    with pytest.raises((RuntimeError, AssertionError)):
        structure(module, torch.zeros(1, 3, 7, 7))
    for part in module.modules():
        assert part.training
        assert not part._forward_hooks
        assert not part._forward_pre_hooks
        assert getattr(part, "fused_attn", True)
    assert all(torch.equal(state[k], v) for k, v in module.state_dict().items())
