"""A loss or gradient that is no number. Training stops there by itself; the alert says how it came to that."""

from __future__ import annotations

import math
from collections import deque
from statistics import fmean

from vitscope.events import Alert, Event, StepRecord, StepsDone
from vitscope.training.alerts.onset import Situation

BEFORE = 20  # steps looked back on
RISE = 1.5  # of the mean of five losses to that of five later ones: it diverged, and did not break suddenly


class NotFinite:
    """Tells of the first step whose loss or gradient norm is NaN or infinite."""

    KIND = "not-finite"

    def __init__(self, situation: Situation):
        self._precision = situation.precision
        self._losses: deque[float] = deque(maxlen=BEFORE)

    def __call__(self, event: Event) -> Alert | None:
        if not isinstance(event, StepsDone):
            return None
        for record in event.records:
            if not (math.isfinite(record.loss) and math.isfinite(record.grad_norm)):
                return Alert(record.step, self.KIND, self._text(record))
            self._losses.append(record.loss)
        return None

    def _text(self, record: StepRecord) -> str:
        is_loss = not math.isfinite(record.loss)
        what = f"The loss became {record.loss:g}" if is_loss else f"The gradient's norm became {record.grad_norm:g}"
        first, last = (fmean(part) for part in (list(self._losses)[:5] or [0.0], list(self._losses)[-5:] or [0.0]))
        if len(self._losses) >= 10 and last > RISE * first:
            came = f"the loss had risen from {first:.3g} to {last:.3g} in {len(self._losses)} steps: training diverged"
            do = f"Lower --lr (it was {record.lr:.2g}) or lengthen the warm-up (--set schedule.warmup_ratio=0.2)."
        else:
            came = f"it came suddenly, after a loss of {last:.3g}" if self._losses else "it came at the very start"
            sooner = "Try --precision fp32 first, then" if self._precision != "fp32" else "Try"
            do = f"{sooner} a lower --lr (it was {record.lr:.2g}), and optim.clip_grad where it is off."
        return f"{what} in step {record.step:,}; {came}. {do} Nothing of this step is saved."
