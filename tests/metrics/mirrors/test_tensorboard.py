from __future__ import annotations

import math
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from vitscope.events import EpochDone, Metric, MetricsLogged, Notice, StepRecord, StepsDone
from vitscope.metrics.mirrors.tensorboard import TensorBoardMirror


def read(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard itself shows."""
    accumulator = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    accumulator.Reload()
    return {tag: [(e.step, e.value) for e in accumulator.Scalars(tag)] for tag in accumulator.Tags()["scalars"]}


def steps(*numbers: int, loss: float = 1.0) -> StepsDone:
    return StepsDone(tuple(StepRecord(n, 0, loss, 0.5, 2.0, 300.0) for n in numbers))


def test_scalars_and_their_tags(tmp_path: Path):
    mirror = TensorBoardMirror(tmp_path, 0)
    mirror(steps(1, 2))
    mirror(Notice("not a number"))
    mirror(EpochDone(2, 1, (Metric("val", "top1", 0.25), Metric("test", "top1", math.inf)), True))
    mirror(MetricsLogged(3, 1.5, (Metric("", "memory_gb", 1.5),)))
    mirror.close()
    assert read(tmp_path) == {
        "loss/train": [(1, 1.0), (2, 1.0)],
        "lr": [(1, 0.5), (2, 0.5)],
        "grad_norm": [(1, 2.0), (2, 2.0)],
        "images_per_s": [(1, 300.0), (2, 300.0)],
        "data_wait": [(1, 0.0), (2, 0.0)],
        "top1/val": [(2, 0.25)],
        "top1/test": [(2, math.inf)],
        "memory_gb": [(3, 1.5)],
    }


@pytest.mark.parametrize("start", [0, 2])
def test_resume_forgets_what_came_after_its_checkpoint(tmp_path: Path, start: int):
    first = TensorBoardMirror(tmp_path, 0)
    first(steps(1, 2, 3, 4, loss=1.0))
    first.close()
    resumed = TensorBoardMirror(tmp_path, start)
    resumed(steps(start + 1, start + 2, loss=2.0))
    resumed.close()
    kept = [(n, 1.0) for n in range(1, start + 1)]
    assert read(tmp_path)["loss/train"] == [*kept, (start + 1, 2.0), (start + 2, 2.0)]


def test_what_was_flushed_is_readable_while_it_goes_on(tmp_path: Path):
    mirror = TensorBoardMirror(tmp_path, 0)
    mirror(steps(1))
    assert mirror.flush()
    assert read(tmp_path)["loss/train"] == [(1, 1.0)]
    mirror.close()
