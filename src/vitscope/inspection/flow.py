"""Follow one pass through a model: which module is called from where, with what, and where its output goes.

Every tensor made of the picture carries its origins: the modules beside the present one that it was computed from.
Operations between modules (adding, slicing, joining, reshaping) hand them on; a call of a module replaces them by that
module. What does not depend on the picture, such as position embeddings, has no origins.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry
from torch.utils.weak import WeakIdKeyDictionary

FLOW, RESIDUAL = "flow", "residual"
_SUMS = frozenset({
    torch.add, torch.Tensor.add, torch.Tensor.add_, torch.Tensor.__add__, torch.Tensor.__radd__, torch.Tensor.__iadd__,
})  # fmt: skip

Origins = dict[str, str]  # source → kind of the way from there


class Edge(NamedTuple):
    """Output of `source` reaches `target`: two siblings, or "in:ID" and "out:ID" of the module around them."""

    source: str
    target: str
    shape: tuple[int, ...]  # as it arrives
    kind: str  # flow or residual


class Call(NamedTuple):
    """A module that was called; `flops` of all its calls together, the shapes those of its first."""

    id: str
    parent: str | None
    depth: int
    input_shape: tuple[int, ...] = ()
    output_shape: tuple[int, ...] = ()
    flops: int = 0
    is_complete: bool = False


class Flow(TorchFunctionMode):
    """Used as `with Flow(module) as flow: flow.run(pixels)`; then `calls` (in order, by id) and `edges` tell."""

    def __init__(self, module: nn.Module):
        super().__init__()
        self.module = module
        self.calls: dict[str, Call] = {}
        self._edges: dict[tuple[str, str, str], Edge] = {}
        self._stack: list[_Frame] = []
        self._clock = 0
        self._counter = _Flops()
        # Layers whose matrix is used without calling them (beit and eva do so), by the matrix.
        self._owner = {id(m.weight): name for name, m in module.named_modules() if isinstance(m, nn.Linear)}

    @property
    def edges(self) -> list[Edge]:
        return list(self._edges.values())

    def run(self, pixels: torch.Tensor) -> None:
        """One pass. Raises what the module raises; hooks are gone afterwards in any case."""
        with ExitStack() as stack:
            for name, part in self.module.named_modules():
                enter = part.register_forward_pre_hook(self._enter(name), with_kwargs=True, prepend=True)
                stack.callback(enter.remove)
                leave = part.register_forward_hook(self._leave, with_kwargs=True)
                stack.callback(leave.remove)
            stack.enter_context(self._counter)
            self.module(pixels)

    # ------------------------------------------------------------------------------------------ calls of modules

    def _enter(self, name: str) -> Any:
        def enter(_: nn.Module, args: Any, kwargs: Any) -> None:
            inputs = _tensors((args, kwargs))
            frame = _Frame(name, inputs, self._counter.total)
            for tensor in inputs:
                if not self._stack or tensor in self._stack[-1].origins:
                    frame.origins[tensor] = ({f"in:{name}": FLOW}, 0)
            self._expect(name)
            self._stack.append(frame)

        return enter

    def _expect(self, name: str) -> None:
        """A place in the order of the calls, before those that it makes itself."""
        parent = self._stack[-1].name if self._stack else None
        self.calls.setdefault(name, Call(name, parent, len(self._stack)))

    def _leave(self, part: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        frame, outputs = self._stack.pop(), _tensors(output)
        hands_on = len(outputs) == 1 and bool(frame.inputs) and outputs[0] is frame.inputs[0]
        if hands_on and self._stack and next(part.parameters(), None) is None:
            if not self.calls[frame.name].is_complete:
                del self.calls[frame.name]
            return
        for tensor in outputs:
            self._arrive(frame, tensor, f"out:{frame.name}")
        self._record(frame.name, frame.inputs, outputs, self._counter.total - frame.flops_before)

    def _record(self, name: str, inputs: list[torch.Tensor], outputs: list[torch.Tensor], flops: int) -> None:
        """A call has ended: its edges, and from here on its outputs come from it."""
        call = self.calls[name]
        if not call.is_complete:
            shapes = [tuple(tensors[0].shape) if tensors else () for tensors in (inputs, outputs)]
            call = call._replace(input_shape=shapes[0], output_shape=shapes[1], is_complete=True)
        self.calls[name] = call._replace(flops=call.flops + flops)
        if not self._stack:
            return
        outer = self._stack[-1]
        for tensor in inputs:
            self._arrive(outer, tensor, name)
        self._clock += 1
        for tensor in outputs:
            outer.origins[tensor] = ({name: FLOW}, self._clock)

    def _arrive(self, frame: _Frame, tensor: torch.Tensor, target: str) -> None:
        origins, _ = frame.origins.get(tensor, ({}, 0))
        above = frame.above.setdefault(target, set())
        for source, kind in origins.items():
            if source != target:
                above |= {source} | frame.above.get(source, set())
                self._edges.setdefault((source, target, kind), Edge(source, target, tuple(tensor.shape), kind))

    # ------------------------------------------------------------------------------------------ operations between

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        flops_before = self._counter.total
        output = func(*args, **kwargs)
        if not self._stack:
            return output
        frame, outputs = self._stack[-1], _tensors(output)
        if func is nn.functional.linear:
            owner = self._owner.get(id(args[1] if len(args) > 1 else kwargs.get("weight")))
            if owner is not None and owner != frame.name:  # as if the layer had been called
                self._expect(owner)
                self._record(owner, [args[0]], outputs, self._counter.total - flops_before)
                return output
        known = [frame.origins[tensor] for tensor in _tensors((args, kwargs)) if tensor in frame.origins]
        if outputs and known:
            merged = _sum(frame, *known) if func in _SUMS and len(known) == 2 else _union(known)
            for tensor in outputs:
                frame.origins[tensor] = merged
        return output


class _Frame:
    """A call under way, and what is known inside it of the tensors' origins."""

    def __init__(self, name: str, inputs: list[torch.Tensor], flops_before: int):
        self.name, self.inputs, self.flops_before = name, inputs, flops_before
        self.origins: Any = WeakIdKeyDictionary()  # tensor → (Origins, when the last of them was made)
        self.above: dict[str, set[str]] = {}  # module → all that it was computed from


class _Flops(TorchDispatchMode):
    """FLOPs by the rules of `torch.utils.flop_counter`, in total.

    (Its own mode watches modules too, which fails where a parameter is handed to a module without gradients.)
    """

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        output = func(*args, **kwargs)
        rule = flop_registry.get(func._overloadpacket)
        if rule is not None:
            self.total += rule(*args, **kwargs, out_val=output)
        return output


def _sum(frame: _Frame, a: tuple[Origins, int], b: tuple[Origins, int]) -> tuple[Origins, int]:
    """The origins of a + b. Where the younger was computed from the older, the older came past it: a residual."""
    (older, _), (younger, when) = sorted((a, b), key=lambda each: each[1])
    beneath = set(younger).union(*(frame.above.get(source, set()) for source in younger))
    if older != younger and set(older) <= beneath:
        return {**dict.fromkeys(older, RESIDUAL), **younger}, when
    return _union([a, b])


def _union(known: list[tuple[Origins, int]]) -> tuple[Origins, int]:
    origins: Origins = {}
    for each, _ in known:
        origins.update({source: kind for source, kind in each.items() if kind == FLOW or source not in origins})
    return origins, max(when for _, when in known)


def _tensors(values: Any) -> list[torch.Tensor]:
    return [value for value in tree_leaves(values) if isinstance(value, torch.Tensor)]
