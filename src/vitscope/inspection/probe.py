"""One probe into a model: a single pass that also tells the attention weights and what chosen modules gave out.

timm's attention layers hand their weights to `attn_drop` when `fused_attn` is off. So for one pass the flag is off, a
hook on `attn_drop` takes a copy, and afterwards everything is as it was. Nothing else patches a model.

Kinds of attention, and the shape of a layer's weights (B images, H heads, rows are queries and sum to 1):

- `global`: (B, H, N, N), every token looks at every token. vit, deit, deit3, beit, eva, dinov2, dinov3.
- `window`: (B, W, H, M, M), inside each of W windows of M patches. swin; see `windows_of` in `windows.py`.
- `channel`: (B, H, C, C), the C channels of a head look at each other. xcit, its blocks of cross-covariance attention.
- `class`: (B, H, 1, N), the class token alone looks, at itself and at the patches. cait, its last blocks.
- `none`: nothing; the reason says why.

cait's other blocks mix the heads after the softmax: their rows are no shares of anything (they do not sum to 1 and may
be negative), so they are not given as attention. `activations=["blocks.0.attn.attn_drop"]` gives them, (B, H, N, N).
xcit's two last blocks (class attention) can be had the same way, with `cls_attn_blocks.0.attn.attn_drop`.

Nor is what differential attention (vit_dlittle, vit_dwee, vit_dpwee) works with: A₁ − λA₂, whose rows sum to 1 − λ and
may be negative. `activations=["blocks.0.attn.attn_drop"]` gives both halves, (B, 2·H, N, N): A₁ and A₂ of each head.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

import numpy as np
import torch
from timm.layers.diff_attention import DiffAttention
from timm.models.cait import ClassAttn, TalkingHeadAttn
from timm.models.swin_transformer import WindowAttention
from timm.models.swin_transformer_v2 import WindowAttention as WindowAttentionV2
from timm.models.xcit import XCA
from torch import nn

from vitscope.errors import unknown

_KINDS: tuple[tuple[type[nn.Module] | tuple[type[nn.Module], ...], str], ...] = (
    (ClassAttn, "class"),
    (TalkingHeadAttn, "talking"),
    ((WindowAttention, WindowAttentionV2), "window"),
    (XCA, "channel"),
    (DiffAttention, "difference"),
)
_NO_SHARES = {
    "difference": "Its layers work with the difference of two attentions: what a token gives the others is no share.",
    "talking": "Its layers mix their heads after the softmax: what a token gives the others is no share.",
}
# Layers of several kinds in one model: which of them is told.
_TOLD = {frozenset({"talking", "class"}): "class", frozenset({"channel", "class"}): "channel"}


class Probed(NamedTuple):
    """What a pass gave: arrays are float32, on the CPU, the images first."""

    logits: np.ndarray  # (B, classes)
    attention: list[np.ndarray]  # a layer each, first to last; empty for kind "none" and where none was asked for
    kind: str  # global, window, channel, class or none
    reason: str  # why there is no attention; "" where there is
    activations: dict[str, np.ndarray]  # by module name: what it gave out


def capture(
    module: nn.Module, pixels: torch.Tensor, *, attention: bool = True, activations: Sequence[str] = ()
) -> Probed:
    """Run `module` once on (B, 3, S, S) pixels and tell what happened inside.

    Computed in evaluation mode, in the module's own precision, without gradients and without drawing from a generator;
    modes, flags, hooks and weights are afterwards as they were, also when the pass fails. `activations` names modules
    as `named_modules` does. Raises `RequestError` for a name that no module has.
    """
    module = getattr(module, "_orig_mod", module)  # a compiled module would not call the hooks
    named = dict(module.named_modules())
    for name in activations:
        if name not in named:
            raise unknown("module", name, named)
    kind, reason = attention_kind(module)
    layers = [layer for layer in attention_layers(module) if _kind_of(layer) == kind] if attention else []
    taken: list[torch.Tensor] = []
    seen: list[_Passed] = []
    given: dict[str, np.ndarray] = {}
    with ExitStack() as stack:
        stack.enter_context(evaluating(module))
        stack.enter_context(unfused(module))
        for layer in layers:
            stack.callback(_watch(layer, lambda layer, weights: seen.append(_Passed.of(layer, weights))))
            stack.callback(_watch(layer, lambda _, weights: taken.append(weights.detach().clone())))
        for name in activations:
            handle = named[name].register_forward_hook(
                lambda _, __, output, name=name: given.update({name: _array(output)})
            )
            stack.callback(handle.remove)
        device = next((p.device for p in module.parameters()), pixels.device)
        logits = _array(module(pixels.to(device)))
    if not layers:
        return Probed(logits, [], kind, reason, given)
    kind, reason = _confirmed(kind, seen, len(layers), len(pixels))
    weights = [] if kind == "none" else [_by_image(weight, kind, len(pixels)) for weight in taken]
    return Probed(logits, weights, kind, reason, given)


def confirmed_kind(module: nn.Module, pixels: torch.Tensor) -> tuple[str, str, tuple[int, ...]]:
    """What `capture` would tell of (B, 3, S, S) pixels: the kind, for "none" the reason, and how many keys a query has.

    Takes a pass as `capture` does (on the meta device too, where weights have no values and pass for shares), but keeps
    nothing of it: the numbers of keys are those of all layers, each once,
    smallest first.
    """
    module = getattr(module, "_orig_mod", module)
    kind, reason = attention_kind(module)
    layers = [layer for layer in attention_layers(module) if _kind_of(layer) == kind]
    if not layers:
        return kind, reason, ()
    seen: list[_Passed] = []
    with ExitStack() as stack:
        stack.enter_context(evaluating(module))
        stack.enter_context(unfused(module))
        for layer in layers:
            stack.callback(_watch(layer, lambda layer, weights: seen.append(_Passed.of(layer, weights))))
        device = next((p.device for p in module.parameters()), pixels.device)
        module(pixels.to(device))
    kind, reason = _confirmed(kind, seen, len(layers), len(pixels))
    return kind, reason, tuple(sorted({one.shape[-1] for one in seen})) if kind != "none" else ()


def attention_kind(module: nn.Module) -> tuple[str, str]:
    """The kind of attention that a model's layers are made for, and for "none" the reason in words. Runs nothing.

    What only a pass can show (a layer that keeps its weights to itself) makes `capture` answer "none" all the same:
    see `confirmed_kind`.
    """
    kinds = frozenset(_kind_of(layer) for layer in attention_layers(module))
    if kinds in _TOLD:
        return _TOLD[kinds], ""
    if len(kinds) == 1:
        kind = next(iter(kinds))
        return ("none", _NO_SHARES[kind]) if kind in _NO_SHARES else (kind, "")
    if kinds:
        return "none", f"Its layers attend in ways that one map cannot show ({', '.join(sorted(kinds))})."
    others = sorted({type(m).__name__ for m in module.modules() if "attn" in type(m).__name__.lower()})
    others += sorted({type(m).__name__ for m in module.modules() if "attention" in type(m).__name__.lower()})
    if others:
        return "none", f"Its attention layers ({', '.join(others)}) keep their weights where they cannot be read."
    return "none", "It has no attention layers."


def attention_layers(module: nn.Module) -> list[nn.Module]:
    """The layers whose attention weights pass through an `attn_drop`, in the order in which the model names them."""
    return [m for m in module.modules() if isinstance(getattr(m, "attn_drop", None), nn.Module)]


@contextmanager
def unfused(module: nn.Module) -> Iterator[None]:
    """Let the attention layers compute their weights openly instead of in one fused kernel; undone at the end."""
    switched = [m for m in module.modules() if getattr(m, "fused_attn", False) is True]
    try:
        for layer in switched:
            layer.fused_attn = False  # type: ignore[assignment]
        yield
    finally:
        for layer in switched:
            layer.fused_attn = True  # type: ignore[assignment]


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients or autocast; each submodule's mode is put back at the end."""
    training = [m for m in module.modules() if m.training]
    device = next((p.device.type for p in module.parameters()), "cpu")
    try:
        for part in training:
            part.training = False
        with torch.no_grad(), torch.autocast("cpu" if device == "meta" else device, enabled=False):
            yield
    finally:
        for part in training:
            part.training = True


def _kind_of(layer: nn.Module) -> str:
    return next((kind for types, kind in _KINDS if isinstance(layer, types)), "global")


class _Passed(NamedTuple):
    """What the weights of a layer are like that passed through its `attn_drop`."""

    shape: tuple[int, ...]
    heads: int | None  # as the layer says
    is_finite: bool
    is_shares: bool  # none below 0, rows sum to 1

    @classmethod
    def of(cls, layer: nn.Module, weights: torch.Tensor) -> _Passed:
        heads = getattr(layer, "num_heads", None)
        shape, heads = tuple(weights.shape), heads if isinstance(heads, int) else None
        if weights.is_meta:  # shapes alone: what can be told without values
            return cls(shape, heads, True, True)
        is_shares = torch.allclose(weights.sum(dim=-1), weights.new_ones(()), atol=1e-3) and not bool(
            (weights < 0).any()
        )
        return cls(shape, heads, bool(torch.isfinite(weights).all()), is_shares)


def _watch(layer: nn.Module, see: Callable[[nn.Module, torch.Tensor], None]) -> Callable[[], None]:
    """Let `see` have the layer and its weights whenever they pass; what is returned ends it."""
    drop = layer.get_submodule("attn_drop")
    return drop.register_forward_pre_hook(lambda _, inputs: see(layer, inputs[0])).remove


def _confirmed(kind: str, seen: list[_Passed], layers: int, count: int) -> tuple[str, str]:
    """The kind, once the weights themselves agree with it: (kind, "") or ("none", reason)."""
    if len(seen) != layers:
        return "none", f"Only {len(seen)} of its {layers} attention layers show their weights."
    if not all(one.is_finite for one in seen):
        return "none", "Its attention weights are not finite (NaN), as after a training that diverged."
    if not all(one.is_shares for one in seen):
        return "none", "Its attention weights are not shares: what a token gives the others does not sum to 1."
    for one in seen:
        heads = one.shape[1] if len(one.shape) > 3 else 1
        if one.heads is not None and heads != one.heads:
            return "none", f"A layer shows weights of {heads} heads but works with {one.heads}."
    if kind == "global":
        if any(len(one.shape) != 4 or one.shape[0] != count or one.shape[2] != one.shape[3] for one in seen):
            return "none", "Its attention layers do not compare every token of an image with every other."
        if len({one.shape[-1] for one in seen}) > 1:
            return "none", "Its layers work on different numbers of tokens, so they have no common map."
    return kind, ""


def _by_image(weight: torch.Tensor, kind: str, count: int) -> np.ndarray:
    """Windows come as further images, the windows of one image side by side."""
    if kind == "window":
        weight = weight.unflatten(0, (count, -1))
    return _array(weight)


def _array(output: object) -> np.ndarray:
    """A tensor, or the first of several, as a float32 array of its own."""
    while isinstance(output, (tuple, list)):
        output = output[0]
    if isinstance(output, dict):
        output = next(iter(output.values()))
    assert isinstance(output, torch.Tensor)
    return output.detach().float().cpu().numpy().copy()
