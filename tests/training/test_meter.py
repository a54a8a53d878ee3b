"""Throughput and waiting, on a clock that is turned by hand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from vitscope.training import meter
from vitscope.training.meter import StepMeter
from vitscope.training.progress import Progress


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def perf_counter(self) -> float:
        return self.now


def of_steps(clock: Clock, wait_s: float, step_s: float, count: int, device: str = "cpu") -> list[Any]:
    """The records of steps of four images that each wait, and then compute, for so long."""

    def slow() -> Iterator[Any]:
        for _ in range(count):
            clock.now += wait_s
            yield object()

    measured, records, numbers = StepMeter(torch.device(device)), [], torch.ones(())
    clock.now += 1000.0  # whatever came before
    measured.pause()
    for step, _ in enumerate(measured.batches(slow()), 1):
        clock.now += step_s
        measured.add(Progress(step=step), images=4, lr=0.1, loss=numbers, grad_norm=numbers, correct=numbers)
        if measured.is_full:
            records += [reading.record for reading in measured.read()]
    return records


def test_each_step_on_the_cpu_has_its_own_share(monkeypatch: pytest.MonkeyPatch):
    clock = Clock()
    monkeypatch.setattr(meter, "time", clock)
    records = of_steps(clock, wait_s=2.0, step_s=1.0, count=3)
    assert [r.data_wait for r in records] == pytest.approx([2 / 3] * 3)
    assert [r.images_per_s for r in records] == pytest.approx([4 / 3] * 3)
    assert [r.data_wait for r in of_steps(clock, wait_s=0.0, step_s=1.0, count=2)] == [0.0, 0.0]


@pytest.mark.parametrize(("busy_s", "share"), [(0.5, 0.5), (0.2, 0.8), (0.05, 0.9), (1.0, 0.0)])
def test_a_gpu_that_is_at_work_meanwhile_does_not_wait(monkeypatch: pytest.MonkeyPatch, busy_s: float, share: float):
    """The process waits 0.9 s of each second; how much of it the device had nothing to do is what counts."""

    class Mark:
        """A CUDA event: ends of steps lie `busy_s` after their beginnings."""

        made = 0

        def __init__(self, enable_timing: bool):
            assert enable_timing

        def record(self) -> None:
            self.number, Mark.made = Mark.made, Mark.made + 1

        def elapsed_time(self, end: Mark) -> float:
            assert end.number == self.number + 1
            return 1000 * busy_s

    clock = Clock()
    monkeypatch.setattr(meter, "time", clock)
    monkeypatch.setattr(torch.cuda, "Event", Mark)
    records = of_steps(clock, wait_s=0.9, step_s=0.1, count=20, device="cuda")
    assert [r.data_wait for r in records] == pytest.approx([share] * 20)
