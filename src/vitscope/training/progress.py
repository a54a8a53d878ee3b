"""How far a run is: everything beside weights and generators that a resume needs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from vitscope.training.validation import Scores


@dataclass
class Progress:
    """`epoch` counts finished epochs, `step` finished optimizer steps; the sums belong to the epoch in progress.

    The last five belong to a time budget: the end as planned last, when that was and what share was done by then, how
    many epochs lie between evaluations, and the seconds used until the state was saved.
    """

    step: int = 0
    epoch: int = 0
    step_in_epoch: int = 0
    loss_sum: float = 0.0
    correct: int = 0
    images: int = 0
    best_step: int | None = None
    best_top1: float = float("-inf")
    best_loss: float = float("inf")
    epochs_since_best: int = 0
    total_steps: int | None = None
    replanned_at: int = 0
    replanned_share: float = 0.0
    evaluate_every: int | None = None
    used_s: float = 0.0
    micro_batch: int | None = None  # images at a time since memory ran out; None: as the configuration says
    left_out: int = 0  # steps in a row whose loss or gradient was no number

    def add_step(self, loss: float, correct: int, images: int) -> None:
        """Count one optimizer step whose mean loss over `images` was `loss`."""
        self.left_out = 0
        self.loss_sum += loss * images
        self.correct += correct
        self.images += images

    def close_epoch(self) -> None:
        """Begin the next epoch; until `finish_epoch` says otherwise, this one was not the best."""
        self.epoch += 1
        self.epochs_since_best += 1
        self.step_in_epoch, self.loss_sum, self.correct, self.images = 0, 0.0, 0, 0

    def finish_epoch(self, validation: Scores | None) -> bool:
        """Close the epoch; True when it is the best so far (by validation top-1, then loss; the newest without any)."""
        self.close_epoch()
        better = validation is None or (validation.top1, -validation.loss) > (self.best_top1, -self.best_loss)
        if better:
            self._former_best = self.best_step, self.best_top1, self.best_loss
            self.best_step, self.epochs_since_best = self.step, 0
            if validation is not None:
                self.best_top1, self.best_loss = validation.top1, validation.loss
        return better

    def take_back_best(self) -> None:
        """The epoch that was just found to be the best could not be saved: the one before it is the best again."""
        self.best_step, self.best_top1, self.best_loss = self._former_best

    def forget_best(self) -> None:
        """Start the search for the best anew: the checkpoint that held it is gone."""
        self.best_step, self.best_top1, self.best_loss = None, float("-inf"), float("inf")

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)
