"""Nothing becomes better any more, with much of the run still to go."""

from __future__ import annotations

import math
from typing import NamedTuple

from vitscope.events import Alert, EpochDone, Event, Replanned, RunStarted
from vitscope.training.alerts.onset import Onset, Situation

EPOCHS, SHARE = 5, 0.1  # without anything better: at least so many, and so large a part of the run
LEFT = 0.2  # of the run that must still be to go: at the end of a schedule nothing moves, as it should
BETTER_LOSS = 0.005  # share by which a loss must fall to count: steady progress makes more of it in so many epochs
BETTER_TOP1 = 0.002
ENOUGH_TOP1 = 0.99  # validation accuracy at which there is nothing left to gain
GUESSING = 0.95  # of ln classes: a training loss above this has learnt nothing


class _Epoch(NamedTuple):
    epoch: int
    train_loss: float
    val_loss: float | None
    val_top1: float | None


class Plateau:
    """Tells when for long neither the training loss nor (where there is validation) its loss or accuracy got better.

    All three, because each alone stands still in healthy runs: validation until the rate falls, the training loss under
    strong augmentation.
    """

    KIND = "plateau"

    def __init__(self, situation: Situation, onset: Onset):
        self._guessing, self._onset = math.log(max(2, situation.classes)), onset
        self._epochs = 0
        self._seen: list[_Epoch] = []

    def __call__(self, event: Event) -> Alert | None:
        if isinstance(event, RunStarted | Replanned):
            self._epochs = event.epochs
        if not isinstance(event, EpochDone):
            return None
        found = {(m.split, m.name): m.value for m in event.metrics}
        numbers = found["train", "epoch_loss"], found.get(("val", "loss")), found.get(("val", "top1"))
        self._seen.append(_Epoch(event.epoch, *numbers))
        return self._judged(event.step)

    def _judged(self, step: int) -> Alert | None:
        patience = max(EPOCHS, math.ceil(SHARE * self._epochs))
        left = self._epochs - self._seen[-1].epoch
        before, lately = self._seen[:-patience], self._seen[-patience:]
        if not before or left < max(patience, LEFT * self._epochs):
            return None
        gains = [
            _least(before, "train_loss") * (1 - BETTER_LOSS) > _least(lately, "train_loss"),
            _least(before, "val_loss") * (1 - BETTER_LOSS) > _least(lately, "val_loss"),
            _most(before) + BETTER_TOP1 < _most(lately),
        ]
        is_done = _most(self._seen) >= ENOUGH_TOP1
        if not self._onset.begins(not any(gains) and not is_done, is_over=any(gains)):
            return None
        loss = lately[-1].train_loss
        what = f"Nothing has become better for {patience} epochs: the training loss is {loss:.3g}"
        if lately[-1].val_top1 is not None:
            what += f", validation accuracy {lately[-1].val_top1:.1%} (best {_most(self._seen):.1%})"
        if loss > GUESSING * self._guessing:
            do = "That is guessing: check the labels, lower --lr, lengthen the warm-up, or start from --pretrained."
        else:
            do = "Stop here, or next time: fewer --epochs (the rate then falls sooner), another --lr, a larger model."
        return Alert(step, self.KIND, f"{what}; {left} of {self._epochs} epochs are left. {do}")


def _least(epochs: list[_Epoch], name: str) -> float:
    return min((v for e in epochs if (v := getattr(e, name)) is not None), default=math.inf)


def _most(epochs: list[_Epoch]) -> float:
    return max((e.val_top1 for e in epochs if e.val_top1 is not None), default=-math.inf)
