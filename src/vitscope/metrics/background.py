"""An observer whose work is done by a thread of its own, so that watching never slows training.

Being told an event costs the training thread one append to a queue, whatever the work is. The thread takes what has
gathered at most every quarter of a second, as one batch.
"""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from threading import Condition, Event, Thread
from typing import NamedTuple

from vitscope import events

GATHER_S = 0.25  # longest time that an event waits for others before the work on it begins
PATIENCE_S = 60.0  # longest time that `flush` and `close` wait for work that goes on
STUCK_PATIENCE_S = 1.0  # the same once the work is known to be stuck


class Told(NamedTuple):
    """An event and the Unix time at which it was told."""

    time: float
    event: events.Event


class _Mark:
    """Stands in the queue for "all before this"."""

    done = False


def log_warning(text: str) -> None:
    """Where problems go when nobody else wants to hear of them."""
    logging.getLogger("vitscope").warning(text)


class BackgroundObserver(ABC):
    """Subclasses do the work in `handle`, in the thread; `problem` and `stuck` are theirs to set.

    `warn` is called with each problem, always in a thread that tells events (or flushes, or closes), never in ours.
    An exception from `handle` ends the work: it is warned of once, later events are dropped, training goes on.
    """

    def __init__(self, name: str, warn: Callable[[str], None] = log_warning):
        self._name, self._warn = name, warn
        self._queue: SimpleQueue[Told | _Mark | None] = SimpleQueue()
        self._problems: SimpleQueue[str] = SimpleQueue()
        self._hurry = Event()
        self._closing = Event()
        self._changed = Condition()
        self._stuck = False
        self._broken = False
        self._thread = Thread(target=self._work, name=f"vitscope-{name}", daemon=True)
        self._thread.start()

    def __call__(self, event: events.Event) -> None:
        self._queue.put(Told(time.time(), event))
        self._pass_on_problems()

    @abstractmethod
    def handle(self, batch: Sequence[Told]) -> None:
        """Work on some events, in the order in which they were told. Called in the thread."""

    def flush(self, timeout_s: float = PATIENCE_S) -> bool:
        """Wait until everything told before has been worked on; False when that has not happened.

        Gives up after `timeout_s` seconds, or after one where the work is stuck (it goes on being tried).
        """
        mark = _Mark()
        self._queue.put(mark)
        self._hurry.set()
        with self._changed:
            self._changed.wait_for(lambda: mark.done or self._stuck or self._broken, timeout_s)
            if not mark.done and self._stuck:
                self._changed.wait_for(lambda: mark.done, min(timeout_s, STUCK_PATIENCE_S))
        self._pass_on_problems()
        return mark.done and not self._broken

    def close(self) -> None:
        """Finish the work and end the thread; what is told later is dropped. May be called again."""
        self._closing.set()
        self._queue.put(None)
        self._hurry.set()
        self._thread.join(PATIENCE_S)
        if self._thread.is_alive():
            self.problem(f"{self._name} is still at work after {PATIENCE_S:.0f} s; what it has not written is lost.")
        self._pass_on_problems()

    def problem(self, text: str) -> None:
        """Have a warning passed on."""
        self._problems.put(text)

    def stuck(self, is_stuck: bool) -> None:
        """Say that the work cannot go on for now, so that nobody waits long for it; or that it can again."""
        with self._changed:
            self._stuck = is_stuck
            self._changed.notify_all()

    def _pass_on_problems(self) -> None:
        while not self._problems.empty():
            self._warn(self._problems.get())

    def _work(self) -> None:
        while True:
            waiting: list[Told | _Mark | None] = [self._queue.get()]
            # Gathering by sleeping, not by taking each event as it comes: waking for every one would have this thread
            # ask for the interpreter's lock at every training step.
            self._hurry.wait(GATHER_S)
            self._hurry.clear()
            try:
                while True:
                    waiting.append(self._queue.get_nowait())
            except Empty:
                pass
            told = [item for item in waiting if isinstance(item, Told)]
            if told and not self._broken:
                self._try(told)
            with self._changed:
                for item in waiting:
                    if isinstance(item, _Mark):
                        item.done = True
                self._changed.notify_all()
            if None in waiting:
                return

    def _try(self, told: list[Told]) -> None:
        try:
            self.handle(told)
        except Exception as error:
            first_line = str(error).partition("\n")[0]
            reason = f"{type(error).__name__}: {first_line}"
            self.problem(f"{self._name} has stopped after an error ({reason}). Training goes on without it.")
            with self._changed:
                self._broken = True
                self._changed.notify_all()
