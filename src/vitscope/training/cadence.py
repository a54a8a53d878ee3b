"""When to save a checkpoint."""

from __future__ import annotations

import time

from vitscope.config import CheckpointConfig


class Cadence:
    """By steps, or after `every_s` or 2 % of the run (the sooner), never costing more than its share of the time."""

    SHARE_OF_RUN = 0.02

    def __init__(self, config: CheckpointConfig, total_steps: int):
        self.config, self.total_steps = config, total_steps
        self.started = self.saved_at = time.monotonic()
        self.steps = 0
        self.cost_s = 0.0

    def interval_s(self) -> float:
        """Seconds between two saves, by what a step and a save have taken so far."""
        per_step = (time.monotonic() - self.started) / max(1, self.steps)
        wanted = min(self.config.every_s, self.SHARE_OF_RUN * per_step * self.total_steps)
        return max(wanted, self.cost_s / self.config.max_overhead)

    def due(self, step: int) -> bool:
        """To be asked after every step."""
        self.steps += 1
        if self.config.every_steps is not None and step % self.config.every_steps == 0:
            return True
        return time.monotonic() - self.saved_at >= self.interval_s()

    def due_after_epoch(self, epoch: int) -> bool:
        """To be asked after every epoch (counted from 1)."""
        affordable = time.monotonic() - self.saved_at >= self.cost_s / self.config.max_overhead
        return epoch % self.config.every_epochs == 0 and affordable

    def saved(self, seconds: float) -> None:
        """Tell that a save has just taken `seconds`."""
        self.cost_s, self.saved_at = seconds, time.monotonic()
