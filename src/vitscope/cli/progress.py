"""Progress of a run for people: one live line on a terminal, a line an epoch when piped."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from vitscope.cli.console import console, say, warn
from vitscope.events import Alert, EpochDone, Event, Notice, Replanned, RunEnded, RunStarted, Stage, StepsDone
from vitscope.text import shown

if TYPE_CHECKING:
    from rich.live import Live
    from rich.text import Text

NOTABLE_WAIT = 0.25  # share of the time spent waiting for data that is worth a word
MEMORY = 0.95  # of the running mean of that share: about the last twenty steps


class TrainingProgress:
    """An observer that shows epoch, step, loss, accuracy, images/s and the time left."""

    def __init__(self, quiet: bool = False):
        self.quiet = quiet
        self._live: Live | None = None
        self._total = self._epochs = self._per_epoch = self._first = 0
        self._began = 0.0
        self._stages: tuple[Stage, ...] = ()
        self._ends: float | None = None  # when a time budget does, on `time.monotonic`
        self._accuracy = ""
        self._data_wait = 0.0
        self.seconds = 0.0  # from the first step to the last

    def __enter__(self) -> TrainingProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def __call__(self, event: Event) -> None:
        match event:
            case RunStarted():
                self._start(event)
            case Replanned(total_steps=total, epochs=epochs):
                self._total, self._epochs = total, epochs
                self._ends = time.monotonic() + event.budget_s - event.used_s
            case StepsDone(records=records) if self._live is not None:
                for record in records:
                    self._data_wait = MEMORY * self._data_wait + (1 - MEMORY) * record.data_wait
                self._live.update(self._line(records[-1].step, records[-1].loss, records[-1].images_per_s))
            case EpochDone():
                self._epoch(event)
            case Notice(text=text) | Alert(text=text):
                warn(shown(text))
            case RunEnded():
                self.seconds = time.monotonic() - self._began
                self._stop()
            case _:
                pass

    def _start(self, event: RunStarted) -> None:
        self._total, self._epochs, self._per_epoch = event.total_steps, event.epochs, event.steps_per_epoch
        self._first, self._began, self._stages = event.start_step, time.monotonic(), event.stages
        if console().is_terminal and not self.quiet:
            from rich.live import Live

            self._live = Live("", console=console(), refresh_per_second=5)
            self._live.start()

    def _line(self, step: int, loss: float, images_per_s: float) -> Text:
        from rich.text import Text

        epoch = min(self._epochs, (step - 1) // max(1, self._per_epoch) + 1)
        share = step / max(1, self._total)
        width = 16
        bar = "━" * round(width * share)
        # What matters most comes first: a narrow terminal cuts the end.
        where = f" epoch {epoch}/{self._epochs}  {self._remaining(step)} left"
        waits = f" ({self._data_wait:.0%} waiting for data)" if self._data_wait >= NOTABLE_WAIT else ""
        speed = f"{images_per_s:.0f} images/s{waits}"
        facts = f"{where}  loss {loss:.3f}{self._accuracy}  {speed}  step {step}/{self._total}"
        return Text.assemble(
            (bar, "cyan"), ("━" * (width - len(bar)), "bright_black"), facts, no_wrap=True, overflow="ellipsis"
        )

    def _remaining(self, step: int) -> str:
        if self._ends is not None:
            return clock(max(0.0, self._ends - time.monotonic()))
        done = cost_between(self._stages, self._first, step)
        left = cost_between(self._stages, step, self._total)
        return clock((time.monotonic() - self._began) / done * left) if done else "?"

    def _epoch(self, event: EpochDone) -> None:
        found = {(m.split, m.name): m.value for m in event.metrics}
        shown = [(name, found.get((split, "top1"))) for split, name in (("val", "val"), ("test", "test"))]
        self._accuracy = "".join(f"  {name} {value:.1%}" for name, value in shown if value is not None)
        if self._live is None and not self.quiet:
            loss = found.get(("train", "epoch_loss"), float("nan"))
            best = "  (best)" if event.is_best else ""
            left = self._remaining(event.step)
            where = f"epoch {event.epoch}/{self._epochs}  step {event.step}"
            text = f"{where}  loss {loss:.4f}{self._accuracy}{best}  {left} left"
            say(text)


def cost_between(stages: Sequence[Stage], first: int, last: int) -> float:
    """What the steps after `first` up to `last` cost, in whole steps."""
    ends = [*(stage.since for stage in stages[1:]), math.inf]
    return sum(
        max(0.0, min(end, last) - max(since, first)) * cost for (since, cost), end in zip(stages, ends, strict=True)
    )


def clock(seconds: float) -> str:
    """Seconds as 0:07, 12:34 or 1:02:03."""
    whole = round(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"
