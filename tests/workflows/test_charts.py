"""Charts that appear while a run trains, and cannot change or break it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vitscope.events import EpochDone, Metric, RunEnded, RunStarted, StepRecord, StepsDone
from vitscope.metrics.recorder import Recorder
from vitscope.storage.database import Database
from vitscope.storage.runs import begin_attempt, create_run
from vitscope.storage.workspace import Workspace
from vitscope.workflows import charts
from vitscope.workflows.charts import Charts, draw_charts

STEPS = 5


class Recorded:
    """A run in a database, its recorder, and the events of an epoch."""

    def __init__(self, root: Path):
        self.database: Database = Workspace(root).database
        self.id = create_run(self.database, name="猫 $x^{", source="s", model="m").id
        self.recorder = Recorder(self.database, self.id, begin_attempt(self.database, self.id, 0))
        self.recorder(RunStarted(0, 3 * STEPS, 3, STEPS))

    def epoch(self, number: int) -> list[StepsDone | EpochDone]:
        steps = range(STEPS * number - STEPS + 1, STEPS * number + 1)
        records = tuple(StepRecord(s, number - 1, 2 / s, 1e-3, 1.0, 100.0) for s in steps)
        return [StepsDone(records), EpochDone(STEPS * number, number, (Metric("val", "top1", 0.3 * number),), True)]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Recorded]:
    made = Recorded(tmp_path / "workspace")
    yield made
    made.recorder.close()


def test_the_end_of_a_run_always_draws_what_was_recorded_last(run: Recorded, tmp_path: Path) -> None:
    warned: list[str] = []
    observer = Charts(run.database, run.id, tmp_path / "charts", warned.append)
    random = torch.get_rng_state()
    for event in [*run.epoch(1), *run.epoch(2), RunEnded(2 * STEPS, "interrupted")]:
        run.recorder(event)
        observer(event)
    observer.close()
    assert torch.equal(torch.get_rng_state(), random)
    files = {file.name for file in (tmp_path / "charts").iterdir()}
    assert files == {"loss.png", "accuracy.png", "schedule.png"}
    drawn = np.asarray(Image.open(tmp_path / "charts/accuracy.png"))
    draw_charts(run.database, run.id, tmp_path / "again")  # from the database as it is now, with nothing missing
    assert np.array_equal(drawn, np.asarray(Image.open(tmp_path / "again/accuracy.png")))


def test_telling_costs_training_next_to_nothing(run: Recorded, tmp_path: Path) -> None:
    observer = Charts(run.database, run.id, tmp_path / "charts")
    began = time.perf_counter()
    for event in run.epoch(1) * 1_000:
        observer(event)
    assert time.perf_counter() - began < 0.5
    observer.close()


def test_drawing_takes_at_most_a_hundredth_of_the_time(
    run: Recorded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A made-up clock: epochs of 2 s for 10,000 s, drawings that take 3 s each."""
    now, drawn_at = [0.0], []
    monkeypatch.setattr(charts.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(charts.time, "thread_time", lambda: 3.0 * len(drawn_at))
    monkeypatch.setattr(charts, "draw_charts", lambda *_: drawn_at.append(now[0]) or [])
    observer = Charts(run.database, run.id, tmp_path)
    for number in range(1, 5_001):
        now[0] = 2.0 * number
        observer.handle([charts.Told(now[0], run.epoch(1)[1])])
        assert 3.0 * len(drawn_at) <= 0.01 * now[0] + 3.0
    assert 25 <= len(drawn_at) <= 34
    observer.close()


def test_at_most_one_drawing_in_five_seconds(run: Recorded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now, drawn_at = [1e6], []
    monkeypatch.setattr(charts.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(charts.time, "thread_time", lambda: 0.0)
    monkeypatch.setattr(charts, "draw_charts", lambda *_: drawn_at.append(now[0]) or [])
    observer = Charts(run.database, run.id, tmp_path)
    now[0] += 1_000
    for _ in range(100):
        now[0] += 1.0
        observer.handle([charts.Told(now[0], run.epoch(1)[1])])
    observer.close()
    assert len(drawn_at) == 20
    assert min(np.diff(drawn_at)) >= 5


def test_what_goes_wrong_is_warned_of_once_and_tried_again(run: Recorded, tmp_path: Path) -> None:
    (tmp_path / "charts").write_text("a file where the folder should be")
    warned: list[str] = []
    observer = Charts(run.database, run.id, tmp_path / "charts", warned.append)
    for _ in range(2):
        observer(RunEnded(1, "finished"))
        observer.flush()
    assert len([text for text in warned if "could not be drawn" in text and "charts" in text]) == 1
    (tmp_path / "charts").unlink()
    observer(RunEnded(1, "finished"))
    observer.close()
    assert (tmp_path / "charts" / "loss.png").is_file()


def test_characters_without_a_font_are_told_once(
    run: Recorded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vitscope.visualization import fonts

    monkeypatch.setattr(
        fonts, "cover", lambda texts: fonts.Cover((fonts.BASE,), "猫" if "猫" in "".join(texts) else "")
    )
    warned: list[str] = []
    observer = Charts(run.database, run.id, tmp_path / "charts", warned.append)
    for _ in range(2):
        observer(RunEnded(1, "finished"))
        observer.flush()
    observer.close()
    assert len(warned) == 1
    assert "fonts-noto-cjk" in warned[0]
