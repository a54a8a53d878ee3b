"""Where a run stands between its beginning and its end: by that go the learning rate, the resolution and the end.

Without a time budget the end is known from the start: `planned` steps. With one it is moved when the run is replanned;
the share that was done by then stays done, and what is left is stretched or shortened, so that rate and resolution go
on without a jump. Where the end was moved is part of `Progress`, hence of every checkpoint.
"""

from __future__ import annotations

from dataclasses import dataclass

from vitscope.training.progress import Progress


@dataclass(frozen=True)
class Horizon:
    """The end of a run of `planned` optimizer steps, as far as `progress` does not say otherwise."""

    progress: Progress
    planned: int

    @property
    def total_steps(self) -> int:
        """Optimizer steps from the beginning to the end."""
        return self.planned if self.progress.total_steps is None else self.progress.total_steps

    @property
    def is_reached(self) -> bool:
        """No step is left."""
        return self.progress.step >= self.total_steps

    @property
    def is_finished(self) -> bool:
        """No step is left, and the last epoch is closed."""
        return self.is_reached and self.progress.step_in_epoch == 0

    def share(self, step: int) -> float:
        """How much of the run is done after `step` steps, 0–1."""
        p, total = self.progress, self.total_steps
        left = (step - p.replanned_at) / max(1, total - p.replanned_at)
        return min(1.0, p.replanned_share + (1 - p.replanned_share) * left)

    def position(self, step: int) -> float:
        """`step` on a scale on which the run has `total_steps` equal steps; the step itself where nothing was moved."""
        return step if self.progress.replanned_at == 0 else self.share(step) * self.total_steps

    def move(self, total_steps: int) -> None:
        """Let the run end after `total_steps` steps, at the earliest now."""
        p = self.progress
        share = self.share(p.step)
        p.total_steps, p.replanned_at, p.replanned_share = max(p.step, total_steps), p.step, share
