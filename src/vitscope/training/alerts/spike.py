"""The loss jumps far above where it was."""

from __future__ import annotations

import math
from collections import deque
from statistics import median

from vitscope.events import Alert, Event, StepRecord, StepsDone
from vitscope.training.alerts.onset import Situation

WINDOW = 64  # steps before, by which a step is judged; the first so many of an attempt are not
DEVIATIONS = 8.0  # robust ones (1.4826 × MAD): batches of few pictures and of mixed ones have long tails
LEAST = 0.02  # of the median: a deviation is at least this much
UNDONE = 0.25  # of the way from guessing (ln classes) down to the median: less is a hard batch late in a run
OUT_OF = (3, 5)  # so many of so many steps: one bad batch is not worth a word
SETTLE = 20  # steps after which it is seen whether it came back


class LossSpike:
    """Tells of a jump once it is seen whether the loss came back. The next is judged by what follows.

    A step is out where its loss is above the median of those before by `DEVIATIONS` and by `UNDONE`.
    """

    KIND = "loss-spike"

    def __init__(self, situation: Situation):
        self._guessing = math.log(max(2, situation.classes))
        self._before: deque[float] = deque(maxlen=WINDOW)
        self._since: list[StepRecord] = []  # from the first step that is out

    def __call__(self, event: Event) -> Alert | None:
        if not isinstance(event, StepsDone):
            return None
        found = None
        for record in event.records:
            found = self._see(record) or found
        return found

    def _see(self, record: StepRecord) -> Alert | None:
        if not math.isfinite(record.loss):
            return None
        if not self._since and (len(self._before) < WINDOW or record.loss <= self._limit()):
            self._before.append(record.loss)
            return None
        self._since.append(record)
        out, among = OUT_OF
        if len(self._since) == among and sum(r.loss > self._limit() for r in self._since) < out:
            self._before.extend(r.loss for r in self._since)
            self._since = []
        return self._judged() if len(self._since) == SETTLE else None

    def _limit(self) -> float:
        usual = median(self._before)
        deviation = max(1.4826 * median(abs(loss - usual) for loss in self._before), LEAST * usual)
        return usual + max(DEVIATIONS * deviation, UNDONE * (self._guessing - usual))

    def _judged(self) -> Alert:
        usual, limit, first = median(self._before), self._limit(), self._since[0]
        losses = [record.loss for record in self._since]
        now = median(losses[SETTLE // 2 :])
        has_returned = now <= limit
        self._before = deque(losses[SETTLE // 2 :] if not has_returned else self._before, maxlen=WINDOW)
        self._since = []
        what = f"The loss jumped from about {usual:.3g} to {max(losses):.3g} at step {first.step:,}"
        if has_returned:
            what += f" and came back to {now:.3g} within {SETTLE} steps."
            do = f"Once does no harm; where it happens again, lower --lr (it is {first.lr:.2g}) or optim.clip_grad."
        else:
            what += f" and stayed at {now:.3g} for {SETTLE} steps."
            do = (
                f"Where it does not recover soon, stop: begin anew with lower --lr (it is {first.lr:.2g}) or a longer "
                "warm-up, or go back to a checkpoint from before with 'vitscope resume --from'."
            )
        return Alert(first.step, self.KIND, f"{what} {do}")
