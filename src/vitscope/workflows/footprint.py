"""How much memory a training step takes, found by going through it without computing anything."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import torch
from torch._subclasses import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from vitscope.config import RunConfig
from vitscope.models.architecture import Architecture
from vitscope.training.activations import checkpoint_activations
from vitscope.training.mixing import soft_cross_entropy_sum
from vitscope.training.optim import state_values
from vitscope.workflows.forward import set_attention
from vitscope.workflows.initial import learning_module

# Measured: Python with torch and timm loaded occupies 0.77 GB on Linux; a CUDA context about 0.5 GB of its device.
PROGRAM_BYTES = {"cpu": 800_000_000, "cuda": 500_000_000}
# Measured on a CPU: a step occupied 1.2 times what its tensors held at most (scratch of kernels, fragments).
ALLOWANCE = 1.2
FEW, TOGETHER = 2, 8  # pictures in the steps that are gone through; batch norm of pooled features refuses one
PICTURES = 3  # copies of a batch that exist at a time: as loaded, normalised, mixed

Way = Literal["trained", "checkpointed", "evaluated"]


class Footprint(NamedTuple):
    """Bytes at the fullest moment of a step of `images` pictures at a time."""

    program: int  # interpreter and libraries, or the device's context
    weights: int  # weights, gradients, the optimizer's numbers, the average
    activations: int  # what the forward pass keeps and the backward pass adds
    batch: int  # the pictures of the effective batch
    images: int
    kept: int = 0  # evaluation inputs that are loaded once

    @property
    def total(self) -> int:
        return self.program + self.weights + self.activations + self.batch + self.kept


class Estimator:
    """Footprints of one architecture. What a step holds grows evenly with its pictures: two steps tell of all."""

    def __init__(self, c: RunConfig, a: Architecture, num_classes: int):
        self.config, self.architecture, self.num_classes = c, a, num_classes
        self._known: dict[tuple[int, Way], int] = {}
        module = self._module()
        sizes = [(p.numel() * p.element_size(), p.requires_grad) for p in module.parameters()]
        own = sum(size for size, _ in sizes)
        trained = sum(size for size, is_trained in sizes if is_trained)
        has_average = c.train.ema_decay > 0 or c.optim.name == "schedulefree"
        self.state_bytes = 4 * state_values(module, c.optim)
        self.average_bytes = own if has_average else 0
        self.weight_bytes = own + trained + self.state_bytes + self.average_bytes

    def footprint(self, images: int, is_checkpointed: bool) -> Footprint:
        """Of steps with so many pictures at a time."""
        c, side = self.config, self.architecture.preprocess.size
        device = (c.train.device if c.train.device != "auto" else "cpu").partition(":")[0]
        batch = PICTURES * c.train.batch_size * 3 * side**2 * 4
        activations = int(ALLOWANCE * self.activation_bytes(images, is_checkpointed))
        return Footprint(PROGRAM_BYTES.get(device, 0), self.weight_bytes, activations, batch, images)

    def most_images(self, size_bytes: int, is_checkpointed: bool) -> int:
        """At a time, so that the footprint fits; 0 when not even one does."""
        room = size_bytes - self.footprint(1, is_checkpointed).total
        each = ALLOWANCE * (self.activation_bytes(2, is_checkpointed) - self.activation_bytes(1, is_checkpointed))
        if room < 0:
            return 0
        images = 1 + int(room / each)
        return images + (self.footprint(images + 1, is_checkpointed).total <= size_bytes)  # where rounding took one

    def most_evaluated(self, size_bytes: int) -> int:
        """Pictures at a time that can be evaluated beside what training holds."""
        room = size_bytes - self.footprint(1, True).program - self.weight_bytes
        each = self._once(TOGETHER, "evaluated") / TOGETHER + 3 * self.architecture.preprocess.size**2 * 4
        return int(room / (ALLOWANCE * each))

    def activation_bytes(self, images: int, is_checkpointed: bool) -> float:
        """What forward and backward of `images` pictures hold at most beside weights, gradients and pictures."""
        way: Way = "checkpointed" if is_checkpointed else "trained"
        few, several = self._once(FEW, way), self._once(TOGETHER, way)
        return few + (images - FEW) * (several - few) / (TOGETHER - FEW)

    def _once(self, images: int, way: Way) -> int:
        if (images, way) not in self._known:
            self._known[images, way] = self._go_through(images, way)
        return self._known[images, way]

    def _module(self) -> torch.nn.Module:
        with torch.device("meta"):
            return learning_module(self.config, self.architecture, self.num_classes).train()

    def _go_through(self, images: int, way: Way) -> int:
        module, side = self._module(), self.architecture.preprocess.size
        if way == "checkpointed":
            checkpoint_activations(module)
        set_attention(module, self.config.train.attention)
        with FakeTensorMode(allow_non_fake_inputs=True), torch.set_grad_enabled(way != "evaluated"):
            module = module.to_empty(device="cpu")
            for p in module.parameters():
                p.grad = torch.empty_like(p) if p.requires_grad else None  # as in every part but the first
            pictures = torch.empty(images, 3, side, side)
            with LiveBytes() as live:
                with torch.autocast("cpu", torch.bfloat16, enabled=self.config.train.precision == "bf16"):
                    scores = module(pictures)
                if way != "evaluated":
                    soft_cross_entropy_sum(scores.float(), torch.empty(images, self.num_classes)).backward()
        return live.most


class LiveBytes(TorchDispatchMode):
    """Counts the memory of tensors made under it, for as long as they are held: now and at most."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self._held: dict[int, Any] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        before = {t.untyped_storage()._cdata for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)}
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                if storage._cdata not in before:  # else a view, or changed in place
                    self._note(storage._cdata, storage)
        return result

    def _note(self, key: int, storage: torch.UntypedStorage) -> None:
        if key in self._held:
            return
        size = storage.nbytes()
        self.now += size
        self.most = max(self.most, self.now)

        def freed(_: Any) -> None:
            del self._held[key]
            self.now -= size

        self._held[key] = weakref.ref(storage, freed)
