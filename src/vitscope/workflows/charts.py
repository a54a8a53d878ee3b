"""`charts/*.png`, drawn anew while a run trains, by a thread of its own; after the first in 1 % of the run's time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from vitscope.events import EpochDone, Event, RunEnded
from vitscope.metrics import query
from vitscope.metrics.background import BackgroundObserver, Told, log_warning
from vitscope.storage.database import Database
from vitscope.storage.runs import get_run

FILES = {"loss": ("loss",), "accuracy": ("accuracy",), "schedule": ("lr", "grad_norm", "throughput")}

LARGEST_SHARE = 0.01  # of the run's time
PAUSE_S = 5.0


class Charts(BackgroundObserver):
    """Observer that draws loss, accuracy and schedule from the database: after epochs as time allows, and at the end.

    What goes wrong is warned of once and tried again at the next time; training never waits for a drawing.
    """

    def __init__(self, database: Database, run_id: str, folder: Path, warn: Callable[[str], None] = log_warning):
        self._database, self._run_id, self._folder = database, run_id, folder
        self._started = time.monotonic()
        self._drawn_at = float("-inf")
        self._spent_s = self._next_s = 0.0
        self._told: set[str] = set()
        super().__init__("The drawing of charts", warn)

    def __call__(self, event: Event) -> None:
        if isinstance(event, EpochDone | RunEnded):  # the thread need not wake for each step
            super().__call__(event)

    def handle(self, batch: Sequence[Told]) -> None:
        """Draw, if it is time. Called in the thread."""
        if not (self._is_time() or any(isinstance(told.event, RunEnded) for told in batch)):
            return
        began = time.thread_time()
        try:
            notices = draw_charts(self._database, self._run_id, self._folder)
        except Exception as error:  # a full disk now may have room later, and a chart is never worth a run
            notices = [f"The charts could not be drawn ({type(error).__name__}: {error}). Training goes on."]
        for text in notices:
            if text not in self._told:
                self._told.add(text)
                self.problem(text)
        self._next_s = time.thread_time() - began
        self._spent_s += self._next_s
        self._drawn_at = time.monotonic()

    def _is_time(self) -> bool:
        now = time.monotonic()
        if self._drawn_at == float("-inf"):  # the first, so that there is something to see
            return now - self._started >= PAUSE_S
        allowed_s = LARGEST_SHARE * (now - self._started)
        return self._spent_s + self._next_s <= allowed_s and now - self._drawn_at >= PAUSE_S


def draw_charts(database: Database, run_id: str, folder: Path) -> list[str]:
    """Write the charts of `FILES` into `folder`. Returns what to tell, such as characters that no font has."""
    from vitscope.visualization import curves, style

    wanted = [panel.metric for panel in curves.PANELS.values()]
    frame = query.frame(database, run_id, names=wanted)
    curve = curves.Curve(get_run(database, run_id).name, frame, query.best(database, run_id))
    notices = [
        notice
        for name, panels in FILES.items()
        for notice in style.save(curves.draw([curve], panels), folder / f"{name}.png")
    ]
    return list(dict.fromkeys(notices))
