"""Metrics as TensorBoard files, beside the database: `tensorboard --logdir runs/` shows them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

# What protobuf generates is made at import time, where no type checker sees it.
from tensorboard.compat.proto.event_pb2 import Event, SessionLog  # pyright: ignore[reportAttributeAccessIssue]
from tensorboard.compat.proto.summary_pb2 import Summary  # pyright: ignore[reportAttributeAccessIssue]
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from vitscope import events
from vitscope.metrics.background import BackgroundObserver, Told, log_warning
from vitscope.metrics.rows import STEP_METRICS


class TensorBoardMirror(BackgroundObserver):
    """Observer that writes each metric as the scalar `name/split`, or `name` where it belongs to no split.

    The attempt goes on from `start_step`: TensorBoard is told to forget what an earlier one wrote after it.
    """

    def __init__(self, folder: Path, start_step: int, warn: Callable[[str], None] = log_warning):
        self._writer = EventFileWriter(str(folder))
        for mark in ({"file_version": "brain.Event:2"}, {"session_log": SessionLog(status=SessionLog.START)}):
            self._writer.add_event(Event(step=start_step + 1, **mark))
        super().__init__("The TensorBoard mirror", warn)

    def handle(self, batch: Sequence[Told]) -> None:
        for time, event in batch:
            match event:
                case events.StepsDone():
                    for record in event.records:
                        metrics = [events.Metric(split, name, getattr(record, name)) for split, name in STEP_METRICS]
                        self._write(time, record.step, metrics)
                case events.MetricsLogged() | events.EpochDone():
                    self._write(time, event.step, event.metrics)
                case _:
                    pass
        self._writer.flush()

    def close(self) -> None:
        super().close()
        self._writer.close()

    def _write(self, time: float, step: int, metrics: Sequence[events.Metric]) -> None:
        scalars = [Summary.Value(tag=tag(m), simple_value=m.value) for m in metrics]
        self._writer.add_event(Event(wall_time=time, step=step, summary=Summary(value=scalars)))


def tag(metric: events.Metric) -> str:
    """TensorBoard groups tags by what stands before the slash: the splits of one metric share a chart's section."""
    return f"{metric.name}/{metric.split}" if metric.split else metric.name
