"""Training waits for its data."""

from __future__ import annotations

from collections import deque
from statistics import median

from vitscope.events import Alert, Event, StepsDone
from vitscope.text import count
from vitscope.training.alerts.onset import Onset, Situation

STEPS = 100  # by whose median it is judged: the start of loader processes and a busy disk pass
SKIPPED = 10  # first steps of an attempt: files are read for the first time, kernels are warmed up
STARVING, FED = 0.4, 0.25  # shares of the time: above, the data cost two thirds of what the model does
CACHE_OPTION = "--cache on"


class StarvingLoader:
    """Tells when the median share of waiting over the last `STEPS` steps is above `STARVING`; over below `FED`.

    The first epoch of pictures that are kept decoded does not count: it is the one that decodes them.
    """

    KIND = "starving-loader"

    def __init__(self, situation: Situation, onset: Onset):
        self._situation, self._onset = situation, onset
        self._shares: deque[float] = deque(maxlen=STEPS)
        self._to_skip = SKIPPED

    def __call__(self, event: Event) -> Alert | None:
        if not isinstance(event, StepsDone):
            return None
        for record in event.records:
            if self._to_skip > 0:
                self._to_skip -= 1
            elif record.epoch > 0 or not self._situation.is_cached:
                self._shares.append(record.data_wait)
        if len(self._shares) < STEPS:
            return None
        share = median(self._shares)
        if not self._onset.begins(share > STARVING, is_over=share < FED):
            return None
        return Alert(event.records[-1].step, self.KIND, self._text(share))

    def _text(self, share: float) -> str:
        workers, cores = self._situation.workers, self._situation.cores
        what = f"{share:.0%} of each step waits for data (median of {STEPS} steps), with "
        what += count(workers, "loader process", "loader processes") if workers else "no loader processes"
        what += f" on {count(cores, 'core')}."
        ways = [f"--workers {cores}"] if workers < cores else []
        ways += [] if self._situation.is_cached else [f"{CACHE_OPTION} so that each picture is decoded once"]
        ways += [] if workers < cores else ["smaller pictures"]
        return f"{what} Next time: {', or '.join(ways)}."
