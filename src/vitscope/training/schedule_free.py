"""Schedule-free AdamW (Defazio et al., "The Road Less Scheduled", arXiv:2405.15682).

Three sequences: z takes AdamW's steps, x is the average of z weighted by the squared rate, and gradients are taken at
y = (1 - β₁)·z + β₁·x. The module being trained holds y, the optimizer z, and x, which follows from the two, is
evaluated and saved. (The authors' package moves x and y into the same tensors by turns, which rounds: an evaluation
would then change the training. Here it does not.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, overload

import torch

from vitscope.training.ema import EvaluationCopy


class ScheduleFreeAdamW(torch.optim.Optimizer):
    """`lr` may warm up, and then stays; `betas`: β₁, at least above 0, and the decay of the squared gradients."""

    def __init__(self, groups: Iterable[dict[str, Any]], lr: float, betas: tuple[float, float] = (0.9, 0.999)):
        defaults = {"lr": lr, "betas": betas, "eps": 1e-8, "weight_decay": 0.0}
        super().__init__(groups, {**defaults, "steps": 0, "largest_lr": 0.0, "weight_sum": 0.0})

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        assert closure is None, "the gradients are there already"
        for group in self.param_groups:
            lr, (beta, decay) = group["lr"], group["betas"]
            group["steps"] += 1
            group["largest_lr"] = max(lr, group["largest_lr"])
            weight = group["largest_lr"] ** 2
            group["weight_sum"] += weight
            share = weight / group["weight_sum"] if weight else 0.0  # of the newest z in the average
            for y in group["params"]:
                if y.grad is None:
                    continue
                state = self.state[y]
                if not state:
                    state["z"], state["exp_avg_sq"] = y.clone(), torch.zeros_like(y)
                z, squares = state["z"], state["exp_avg_sq"]
                squares.mul_(decay).addcmul_(y.grad, y.grad, value=1.0 - decay)
                scale = (squares / (1.0 - decay ** group["steps"])).sqrt_().add_(group["eps"])
                direction = (y.grad / scale).add_(y, alpha=group["weight_decay"])
                y.lerp_(z, share).add_(direction, alpha=lr * (beta * (1.0 - share) - 1.0))
                z.sub_(direction, alpha=lr)
        return None


class Averaged(EvaluationCopy):
    """x of the weights that a `ScheduleFreeAdamW` trains; those that it does not are as they are."""

    def __init__(self, module: torch.nn.Module, optimizer: ScheduleFreeAdamW):
        super().__init__(module)
        self.optimizer = optimizer

    def _follow(self, module: torch.nn.Module) -> None:
        beta = {id(p): group["betas"][0] for group in self.optimizer.param_groups for p in group["params"]}
        for x, y in zip(self.module.parameters(), module.parameters(), strict=True):
            if y in self.optimizer.state:
                torch.lerp(self.optimizer.state[y]["z"], y, 1.0 / beta[id(y)], out=x)
            else:
                x.copy_(y)
