from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from vitscope.events import CheckpointStarting
from vitscope.metrics.background import BackgroundObserver, Told


class Collector(BackgroundObserver):
    """Keeps what it is handed; `hold` makes the work wait."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.threads: set[str] = set()
        self.warned: list[tuple[str, str]] = []
        self.hold = threading.Event()
        self.hold.set()
        self.fails = False
        super().__init__("The collector", lambda text: self.warned.append((threading.current_thread().name, text)))

    def handle(self, batch: Sequence[Told]) -> None:
        self.hold.wait()
        self.threads.add(threading.current_thread().name)
        if self.fails:
            raise ValueError("no\nroom")
        self.batches.append([told.event.step for told in batch if isinstance(told.event, CheckpointStarting)])

    @property
    def steps(self) -> list[int]:
        return [step for batch in self.batches for step in batch]


def test_work_is_done_in_order_in_one_other_thread_and_in_batches():
    collector = Collector()
    for step in range(1000):
        collector(CheckpointStarting(step))
    assert collector.flush()
    assert collector.steps == list(range(1000))
    assert len(collector.threads) == 1
    assert threading.current_thread().name not in collector.threads
    assert len(collector.batches) < 100
    collector.close()


def test_telling_does_not_wait_for_the_work():
    collector = Collector()
    collector.hold.clear()
    begun = time.monotonic()
    for step in range(1000):
        collector(CheckpointStarting(step))
    assert not collector.flush(timeout_s=0.1)
    assert time.monotonic() - begun < 5
    assert collector.steps == []
    collector.hold.set()
    assert collector.flush()
    assert collector.steps == list(range(1000))
    collector.close()


def test_work_begins_soon_without_a_flush():
    collector = Collector()
    collector(CheckpointStarting(1))
    deadline = time.monotonic() + 10
    while not collector.steps and time.monotonic() < deadline:
        time.sleep(0.01)
    assert collector.steps == [1]
    collector.close()


def test_close_finishes_the_work_and_may_be_repeated():
    collector = Collector()
    collector(CheckpointStarting(1))
    collector.close()
    collector.close()
    collector(CheckpointStarting(2))
    assert collector.steps == [1]


def test_an_error_is_warned_of_once_by_the_telling_thread_and_ends_the_work():
    collector = Collector()
    collector.fails = True
    collector(CheckpointStarting(1))
    assert not collector.flush()
    collector.fails = False
    collector(CheckpointStarting(2))
    assert not collector.flush()
    collector.close()
    assert collector.steps == []
    reason = "The collector has stopped after an error (ValueError: no). Training goes on without it."
    assert collector.warned == [(threading.current_thread().name, reason)]


def test_nobody_waits_long_for_work_that_is_stuck():
    collector = Collector()
    collector.hold.clear()
    collector(CheckpointStarting(1))
    collector.stuck(True)
    begun = time.monotonic()
    assert not collector.flush(timeout_s=60)
    assert time.monotonic() - begun < 10
    collector.hold.set()
    collector.stuck(False)
    assert collector.flush()
    collector.close()
