"""The module tree as one pass runs through it: shapes, parameters, FLOPs, and which output flows where.

Nothing is known of any architecture. While one picture passes, every tensor carries the modules that it came from; what
reaches a module's input becomes an edge. A sum of two such tensors is a residual connection: what was made last flows,
what it is added to came past it.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import nn

from vitscope.inspection.flow import Call, Edge, Flow
from vitscope.inspection.probe import evaluating, unfused

IMAGE, RESULT = "image", "result"


class Node(NamedTuple):
    """A module that the pass went through; "" is the model itself, `image` what it is fed, `result` its logits."""

    id: str
    name: str
    type: str
    parent: str | None  # the module that called it; None for the model
    depth: int
    parameters: int  # with all below
    own_parameters: int  # its own, without those of modules below: a class token, a position embedding
    flops: int  # 2 × multiply-adds of one picture, with all below
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    order: int  # of the call
    fold: str | None  # the fold that it is one of


@dataclass(frozen=True)
class Fold:
    """Modules in a row that are built alike."""

    id: str
    first: str
    count: int
    members: list[str]


class Structure(NamedTuple):
    nodes: list[Node]  # in the order of the calls
    edges: list[Edge]
    folds: list[Fold]


def structure(module: nn.Module, pixels: torch.Tensor) -> Structure:
    """What (1, 3, S, S) pixels pass through.

    Left out are modules without parameters that hand on their input as it is (Identity, and dropout in evaluation).
    The picture runs through in evaluation mode; the module is left as it was.
    """
    module = getattr(module, "_orig_mod", module)
    device = next((p.device for p in module.parameters()), pixels.device)
    with evaluating(module), unfused(module), Flow(module) as flow:
        flow.run(pixels.to(device))
    calls = flow.calls
    nodes = [_node(module, call, order) for order, call in enumerate(calls.values())]
    root = nodes[0]
    picture, logits = tuple(pixels.shape), root.output_shape
    first = Node(IMAGE, IMAGE, "Image", "", 1, 0, 0, 0, picture, picture, 0, None)
    last = Node(RESULT, RESULT, "Logits", "", 1, 0, 0, 0, logits, logits, len(nodes) + 1, None)
    nodes = [root, first, *nodes[1:], last]
    folds = _folds(nodes)
    fold_of = {member: fold.id for fold in folds for member in fold.members}
    nodes = [node._replace(order=order, fold=fold_of.get(node.id)) for order, node in enumerate(nodes)]
    ends = {"in:": IMAGE, "out:": RESULT}
    outer = {node.parent for node in nodes}
    edges = [
        edge._replace(source=ends.get(edge.source, edge.source), target=ends.get(edge.target, edge.target))
        for edge in flow.edges
        if not edge.source.startswith("in:") or not edge.target.startswith("out:") or edge.source[3:] in outer
    ]
    return Structure(nodes, edges, folds)


def _node(module: nn.Module, call: Call, order: int) -> Node:
    part = module.get_submodule(call.id)
    return Node(
        id=call.id,
        name=call.id[len(call.parent) :].lstrip(".") if call.parent else call.id,
        type=type(part).__name__,
        parent=call.parent,
        depth=call.depth,
        parameters=sum(p.numel() for p in part.parameters()),
        own_parameters=sum(p.numel() for p in part.parameters(recurse=False)),
        flops=call.flops,
        input_shape=call.input_shape,
        output_shape=call.output_shape,
        order=order,
        fold=None,
    )


def _folds(nodes: list[Node]) -> list[Fold]:
    """Runs of siblings that are alike down to the last module."""
    below: dict[str, list[Node]] = defaultdict(list)
    for node in nodes:
        if node.parent is not None:
            below[node.parent].append(node)

    def form(node: Node) -> tuple:
        parts = tuple((child.name, form(child)) for child in below[node.id]) if node.id else ()
        return (node.type, node.parameters, node.own_parameters, node.flops, node.input_shape, node.output_shape, parts)

    folds: list[Fold] = []
    for siblings in list(below.values()):
        for _, run in itertools.groupby(siblings, key=lambda n: (_place(n.id), form(n))):
            members = [node.id for node in run]
            if len(members) > 1 and members[0].rpartition(".")[2].isdigit():
                place = _place(members[0])
                taken = any(fold.id == place for fold in folds)
                folds.append(Fold(f"{place}:{members[0]}" if taken else place, members[0], len(members), members))
    return folds


def _place(name: str) -> str:
    return name.rpartition(".")[0]
