"""Events as rows of the database."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import Any

from vitscope import events
from vitscope.metrics.background import Told
from vitscope.storage.records import Batch, EventRow, MetricRow

# What a step tells, as (split, name); the names are also those of the fields of `StepRecord`.
STEP_METRICS = (("train", "loss"), ("", "lr"), ("", "grad_norm"), ("", "images_per_s"), ("", "data_wait"))


@dataclass
class Rows:
    """Rows of some events, and what the run's own row then says (`step`, `best`, …)."""

    batch: Batch = field(default_factory=Batch)
    run: dict[str, Any] = field(default_factory=dict)


class RowMaker:
    """Turns the events of one attempt into rows; knows the newest step and how many make an epoch."""

    def __init__(self) -> None:
        self._step: int | None = None
        self._steps_per_epoch: int | None = None

    def add(self, told: Told, rows: Rows) -> None:
        """Add the rows of one event."""
        time, event = told
        match event:
            case events.StepsDone():
                for record in event.records:
                    self._add_step(time, record, rows)
                if event.records:
                    self._reached(event.records[-1].step, rows)
            case events.MetricsLogged():
                rows.batch.metrics += [metric_row(time, event.step, event.epoch, m) for m in event.metrics]
            case events.EpochDone():
                self._reached(event.step, rows)
                rows.batch.metrics += [metric_row(time, event.step, event.epoch, m) for m in event.metrics]
                if event.is_best:
                    named = {(m.split, m.name): _stored(m.value) for m in event.metrics}
                    rows.run |= {"best": named.get(("val", "top1")), "test": named.get(("test", "top1"))}
            case events.RunStarted():
                self._steps_per_epoch = event.steps_per_epoch
                self._reached(event.start_step, rows)
                rows.run |= {"total_steps": event.total_steps, "epochs": event.epochs}
                self._add_event(time, event.start_step, "started", "info", "", {"total_steps": event.total_steps}, rows)
            case events.Replanned():
                rows.run |= {"total_steps": event.total_steps, "epochs": event.epochs}
                data = {"total_steps": event.total_steps, "used_s": event.used_s, "budget_s": event.budget_s}
                self._add_event(time, event.step, "replanned", "info", "", data, rows)
            case events.CheckpointSaved():
                data = {"name": event.path.name, "is_best": event.is_best, "seconds": event.seconds}
                self._add_event(time, event.step, "checkpoint", "info", "", data, rows)
            case events.Notice():
                step = event.step if event.step is not None else self._step
                self._add_event(time, step, "notice", event.level, event.text, {}, rows)
            case events.Alert():
                self._add_event(time, event.step, "alert", "warning", event.text, {"kind": event.kind}, rows)
            case events.RunEnded():
                self._reached(event.step, rows)
                level = "error" if event.status == "failed" else "info"
                self._add_event(time, event.step, "ended", level, event.reason, {"status": event.status}, rows)
            case events.CheckpointStarting():
                pass

    def _reached(self, step: int, rows: Rows) -> None:
        self._step = rows.run["step"] = step

    def _add_step(self, time: float, record: events.StepRecord, rows: Rows) -> None:
        epoch = record.step / self._steps_per_epoch if self._steps_per_epoch else float(record.epoch)
        for split, name in STEP_METRICS:
            metric = events.Metric(split, name, getattr(record, name))
            rows.batch.metrics.append(metric_row(time, record.step, epoch, metric))

    def _add_event(
        self, time: float, step: int | None, kind: str, level: str, text: str, data: dict[str, Any], rows: Rows
    ) -> None:
        rows.batch.events.append(EventRow(time, step, kind, level, text, json.dumps(data)))


def metric_row(time: float, step: int, epoch: float, metric: events.Metric) -> MetricRow:
    return MetricRow(time, step, _stored(epoch), metric.split, metric.name, _stored(metric.value))


def _stored(value: float) -> float | None:
    """NaN is stored as NULL, which SQLite makes of it anyway; the infinities are numbers to both databases."""
    return None if math.isnan(value) else float(value)
