"""The learning rate as a pure function of the step."""

from __future__ import annotations

import math
from collections.abc import Callable

from vitscope.config import ScheduleConfig

# Share of the way from peak to end → share of the peak that is left, before the minimum is applied.
SCHEDULES: dict[str, Callable[[float], float]] = {
    "cosine": lambda done: 0.5 * (1.0 + math.cos(math.pi * done)),  # arXiv:1608.03983, without restarts
    "linear": lambda done: 1.0 - done,
    "constant": lambda done: 1.0,
}


def lr_factor(step: float, total_steps: int, c: ScheduleConfig) -> float:
    """Share of the peak rate for optimizer step `step` (counted from 0) of `total_steps`: warm-up, then the shape."""
    warmup = round(c.warmup_ratio * total_steps)
    if step < warmup:
        return min(1.0, (step + 1) / warmup)  # a step between two, of a run that was replanned
    done = (step - warmup) / max(1, total_steps - warmup)
    return c.min_lr_ratio + (1.0 - c.min_lr_ratio) * SCHEDULES[c.name](min(1.0, done))
