"""Muon for matrices, AdamW for all else, as one optimizer.

Muon (Keller Jordan, "Muon: an optimizer for hidden layers in neural networks", 2024) replaces a matrix's momentum by
the nearest semi-orthogonal matrix, found by a few Newton–Schulz iterations. Its step is scaled as in "Muon is scalable
for LLM training" (arXiv:2502.16982) so that it has AdamW's usual size: one learning rate and one weight decay serve
both. Matrices of equal shape are orthogonalised in one batched product; a joint query-key-value matrix is three, the
kernels of a convolution are one: a row for each channel that comes out.

(torch's and timm's own compute in bfloat16 always, which a CPU without such instructions emulates 20 times slower.)
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, cast, overload

import torch
from torch.optim.adamw import adamw

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # Jordan's: steep at 0, so that small singular values grow fast
ITERATIONS = 5
SIZE = 0.2  # root mean square of an AdamW step, as arXiv:2502.16982 measured it
EPSILON = 1e-7


def orthogonalized(matrices: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """(N, rows, columns) → the same shape: U·Vᵀ of each matrix's U·S·Vᵀ, about: singular values land in 0.7–1.2."""
    a, b, c = COEFFICIENTS
    x = matrices.to(dtype)
    is_tall = x.shape[-2] > x.shape[-1]
    x = x.mT if is_tall else x
    x = x / (torch.linalg.matrix_norm(x, keepdim=True) + EPSILON)
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.mT if is_tall else x).to(matrices.dtype)


class Muon(torch.optim.Optimizer):
    """Groups with `parts` > 0 hold matrices, each made of so many equal ones below one another; 0: AdamW's share."""

    def __init__(
        self,
        groups: Iterable[dict[str, Any]],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.95),
        momentum: float = 0.95,
        dtype: torch.dtype = torch.float32,
    ):
        super().__init__(groups, {"lr": lr, "betas": betas, "momentum": momentum, "weight_decay": 0.0, "parts": 0})
        self.dtype = dtype

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        assert closure is None, "the gradients are there already"
        for group in self.param_groups:
            trained = [p for p in group["params"] if p.grad is not None]
            if group["parts"]:
                self._orthogonal_step(group, trained)
            elif trained:
                self._adamw_step(group, trained)
        return None

    def _orthogonal_step(self, group: dict[str, Any], matrices: list[torch.nn.Parameter]) -> None:
        alike: dict[torch.Size, list[tuple[torch.nn.Parameter, torch.Tensor]]] = defaultdict(list)
        for p in matrices:
            state = self.state[p]
            if not state:
                state["momentum"] = torch.zeros_like(p)
            gradient = cast(torch.Tensor, p.grad)
            average = state["momentum"].lerp_(gradient, 1.0 - group["momentum"])
            ahead = torch.lerp(gradient, average, group["momentum"])  # Nesterov's
            alike[p.shape].append((p, ahead))
        for shape, pairs in alike.items():
            height, columns = shape[0] // group["parts"], math.prod(shape[1:])
            stacked = torch.stack([ahead for _, ahead in pairs]).reshape(-1, height, columns)
            steps = orthogonalized(stacked, self.dtype).view(len(pairs), *shape)
            size = SIZE * max(height, columns) ** 0.5
            for (p, _), step in zip(pairs, steps, strict=True):
                p.mul_(1.0 - group["lr"] * group["weight_decay"]).sub_(step, alpha=group["lr"] * size)

    def _adamw_step(self, group: dict[str, Any], trained: list[torch.nn.Parameter]) -> None:
        for p in trained:
            state = self.state[p]
            if not state:
                state["step"] = torch.zeros(())
                state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(p), torch.zeros_like(p)
        adamw(
            trained,  # type: ignore[arg-type]
            [p.grad for p in trained],  # type: ignore[misc]
            [self.state[p]["exp_avg"] for p in trained],
            [self.state[p]["exp_avg_sq"] for p in trained],
            [],
            [self.state[p]["step"] for p in trained],
            amsgrad=False,
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=1e-8,
            maximize=False,
        )
