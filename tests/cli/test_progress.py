"""What a person sees of a run that trains: a live line that fits a terminal, plain lines in a pipe."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from vitscope.cli import progress
from vitscope.cli.progress import TrainingProgress, clock
from vitscope.events import Alert, EpochDone, Metric, Replanned, RunEnded, RunStarted, Stage, StepRecord, StepsDone

SCORES = (Metric("train", "epoch_loss", 1.5), Metric("val", "top1", 0.875), Metric("test", "top1", 0.9))


def steps(first: int, last: int, wait: float = 0.0) -> StepsDone:
    return StepsDone(tuple(StepRecord(s, (s - 1) // 100, 1.25, 1e-3, 1.0, 411.0, wait) for s in range(first, last + 1)))


@pytest.mark.parametrize("width", [80, 120])
def test_the_live_line_shows_what_matters_at_every_width(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    out = Console(force_terminal=True, color_system=None, width=width, file=io.StringIO(), highlight=False)
    monkeypatch.setattr(progress, "console", lambda: out)
    with TrainingProgress() as shown:
        shown(RunStarted(0, 40_000, 400, 100))
        shown(steps(1, 100))
        shown(EpochDone(100, 1, SCORES, True))
        shown(steps(101, 150))
        line = shown._line(150, 1.25, 411.0)
        shown(RunEnded(150, "finished"))
        assert shown._live is None  # what follows is not redrawn over
    text = line.plain[:width]
    for part in ("epoch 2/400", " left", "loss 1.250", "val 87.5%", "test 90.0%"):
        assert part in text, part
    assert ("step 150/40000" in text) == (width == 120)
    assert shown.seconds > 0


def test_time_left_counts_dearer_steps_and_ends_with_a_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(progress, "say", lambda text: None)
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    with TrainingProgress(quiet=True) as shown:
        shown(RunStarted(0, 200, 2, 100, (Stage(0, 0.25), Stage(100, 1.0))))
        assert shown._remaining(0) == "?"
        now += 25
        assert shown._remaining(50) == "3:45"  # 50 more steps of 0.5 s, then 100 of four times that
        shown(Replanned(50, 120, 2, 25.0, 85.0))
        now += 20
        assert shown._remaining(60) == "0:40"
        now += 60
        assert shown._remaining(60) == "0:00"


def test_waiting_for_data_is_shown_where_it_is_notable(monkeypatch: pytest.MonkeyPatch) -> None:
    out = Console(force_terminal=True, color_system=None, width=120, file=io.StringIO())
    monkeypatch.setattr(progress, "console", lambda: out)
    with TrainingProgress() as shown:
        shown(RunStarted(0, 40_000, 400, 100))
        for first, wait, expected in ((1, 0.1, ""), (101, 0.67, "411 images/s (67% waiting for data)"), (201, 0.1, "")):
            shown(steps(first, first + 99, wait))
            line = shown._line(first, 1.25, 411.0).plain
            assert ("waiting for data" in line) == bool(expected)
            assert expected in line


def test_an_alert_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(progress, "warn", told.append)
    with TrainingProgress(quiet=True) as shown:
        shown(Alert(7, "loss-spike", "The loss jumped."))
    assert told == ["The loss jumped."]


def test_a_pipe_has_a_line_an_epoch(monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    said: list[str] = []
    monkeypatch.setattr(progress, "say", said.append)
    monkeypatch.setattr(progress, "console", lambda: Console(file=io.StringIO()))
    with TrainingProgress() as shown:
        shown(RunStarted(0, 200, 2, 100))
        for epoch, best in ((1, True), (2, False)):
            shown(steps(100 * epoch - 99, 100 * epoch))
            shown(EpochDone(100 * epoch, epoch, SCORES, best))
    assert [line.split("  ")[:5] for line in said] == [
        ["epoch 1/2", "step 100", "loss 1.5000", "val 87.5%", "test 90.0%"],
        ["epoch 2/2", "step 200", "loss 1.5000", "val 87.5%", "test 90.0%"],
    ]
    assert ["(best)" in line for line in said] == [True, False]
    with TrainingProgress(quiet=True) as shown:
        shown(RunStarted(0, 200, 2, 100))
        shown(EpochDone(100, 1, SCORES, True))
    assert len(said) == 2


@pytest.mark.parametrize(("seconds", "text"), [(7, "0:07"), (754, "12:34"), (3722, "1:02:02")])
def test_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text
