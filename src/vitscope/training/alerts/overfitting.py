"""Validation becomes worse while the training loss goes on falling."""

from __future__ import annotations

import math
from itertools import pairwise
from statistics import fmean, median
from typing import NamedTuple

from vitscope.events import Alert, EpochDone, Event, Replanned, RunStarted
from vitscope.training.alerts.onset import Onset, Situation

EPOCHS, SHARE = 4, 0.05  # since the best validation: at least so many, and so large a part of the run
WORSE_LOSS = 0.05  # share by which validation's loss, a mean of three epochs, must lie above its best such mean,
NOISE = 3.0  # and by so much of what moves it from one epoch to the next (1.4826 × MAD of differences, by √2)
ENOUGH_PICTURES = 50  # of validation: the loss of fewer hangs on one or two of them
FALLEN = 0.02  # share by which the training loss must have fallen meanwhile


class _Epoch(NamedTuple):
    epoch: int
    train_loss: float
    val_loss: float
    val_top1: float


class Overfitting:
    """Tells when validation's loss and its accuracy are both past their best and the training loss still falls.

    A loss that rises while accuracy does too is no alert: a few wrong labels, met with growing confidence, do that.
    Means of three epochs, because single ones of a small validation split jump by more than overfitting moves them.
    """

    KIND = "overfitting"

    def __init__(self, situation: Situation, onset: Onset):
        self._is_enough, self._onset, self._epochs = situation.validation >= ENOUGH_PICTURES, onset, 0
        self._seen: list[_Epoch] = []

    def __call__(self, event: Event) -> Alert | None:
        if isinstance(event, RunStarted | Replanned):
            self._epochs = event.epochs
        if not isinstance(event, EpochDone):
            return None
        found = {(m.split, m.name): m.value for m in event.metrics}
        if ("val", "loss") not in found or not self._is_enough:
            return None
        numbers = found["train", "epoch_loss"], found["val", "loss"], found["val", "top1"]
        self._seen.append(_Epoch(event.epoch, *numbers))
        return self._judged(event.step)

    def _judged(self, step: int) -> Alert | None:
        losses = [fmean(e.val_loss for e in self._seen[max(0, i - 2) : i + 1]) for i in range(len(self._seen))]
        lowest = min(range(len(losses)), key=losses.__getitem__)
        highest = max(range(len(losses)), key=lambda i: self._seen[i].val_top1)
        patience = max(EPOCHS, math.ceil(SHARE * self._epochs))
        since = max(lowest, highest)
        is_past = len(self._seen) - 1 - since >= patience
        steps = [abs(now.val_loss - before.val_loss) for before, now in pairwise(self._seen)] or [0.0]
        noise = NOISE * 1.4826 * median(steps) / math.sqrt(2)
        is_worse = losses[-1] - losses[lowest] >= max(WORSE_LOSS * losses[lowest], noise)
        train = [fmean(e.train_loss for e in part) for part in (self._seen[lowest : lowest + 3], self._seen[-3:])]
        is_falling = train[1] <= (1 - FALLEN) * train[0]
        is_over = lowest == highest == len(self._seen) - 1 >= patience  # the first epoch seen is always the best
        if not self._onset.begins(is_past and is_worse and is_falling, is_over=is_over):
            return None
        rise, best, now = losses[-1] / losses[lowest] - 1, self._seen[highest], self._seen[-1]
        what = (
            f"Overfitting since about epoch {self._seen[lowest].epoch}: validation's loss rose from "
            f"{losses[lowest]:.3g} to {losses[-1]:.3g} (+{rise:.0%}) while the training loss fell "
            f"from {train[0]:.3g} to {train[1]:.3g}; "
            f"its accuracy is {now.val_top1:.1%}, at best {best.val_top1:.1%} (epoch {best.epoch})."
        )
        do = (
            "The best model is kept: stop here (next time --early-stop does), or next time more augmentation "
            "(--policy randaugment, --mixup 0.2), --drop-path 0.1, more weight decay or more pictures."
        )
        return Alert(step, self.KIND, f"{what} {do}")
