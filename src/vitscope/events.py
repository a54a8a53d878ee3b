"""What a run tells its observers.

The training loop emits these values and knows nothing of who listens. An observer is any callable that takes an
event; it is called in the training thread, in order, and must return quickly. Observers cannot change training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple


class StepRecord(NamedTuple):
    """One optimizer step: mean loss over its images, learning rate, gradient norm before clipping, throughput.

    `data_wait` is the share of the time, 0 to 1, in which nothing was computed because the batch was not there yet.
    """

    step: int
    epoch: int
    loss: float
    lr: float
    grad_norm: float
    images_per_s: float
    data_wait: float = 0.0


class Metric(NamedTuple):
    """One recorded number. `split` is train, val, test, or "" for what belongs to none (lr, memory)."""

    split: str
    name: str
    value: float


class Stage(NamedTuple):
    """From the step `since` on a step takes about `cost` times as long as a whole one."""

    since: int
    cost: float


@dataclass(frozen=True)
class RunStarted:
    """An attempt begins at `start_step` of `total_steps` optimizer steps, which may become dearer in stages."""

    start_step: int
    total_steps: int
    epochs: int
    steps_per_epoch: int
    stages: tuple[Stage, ...] = (Stage(0, 1.0),)


@dataclass(frozen=True)
class Replanned:
    """With a time budget of `budget_s`, of which `used_s` are used: the run now ends after `total_steps` steps."""

    step: int
    total_steps: int
    epochs: int
    used_s: float
    budget_s: float


@dataclass(frozen=True)
class StepsDone:
    """Optimizer steps that have finished, in order; read from the device in bulk."""

    records: tuple[StepRecord, ...]


@dataclass(frozen=True)
class MetricsLogged:
    """Numbers measured at `step`, `epoch` epochs being complete (fractional inside one)."""

    step: int
    epoch: float
    metrics: tuple[Metric, ...]


@dataclass(frozen=True)
class EpochDone:
    """An epoch and its evaluation have finished. `epoch` counts from 1 here; `is_best` by validation."""

    step: int
    epoch: int
    metrics: tuple[Metric, ...]
    is_best: bool


@dataclass(frozen=True)
class CheckpointStarting:
    """A checkpoint of `step` is about to be written: whatever was told before must be on disk first."""

    step: int


@dataclass(frozen=True)
class CheckpointSaved:
    """A checkpoint is complete on disk under its final name."""

    step: int
    path: Path
    is_best: bool
    seconds: float


@dataclass(frozen=True)
class Notice:
    """Something that a person should be told, in plain words with what to do."""

    text: str
    level: Literal["info", "warning", "error"] = "info"
    step: int | None = None


@dataclass(frozen=True)
class Alert:
    """Training goes wrong or wastes time: what was seen, with its numbers, and what to do.

    `kind` is a stable name: those of `training/alerts/`, such as loss-spike. Training is never changed by one.
    """

    step: int
    kind: str
    text: str


@dataclass(frozen=True)
class RunEnded:
    """The attempt is over. `status` is finished, interrupted or failed."""

    step: int
    status: Literal["finished", "interrupted", "failed"]
    reason: str = ""


Event = (
    RunStarted
    | Replanned
    | StepsDone
    | MetricsLogged
    | EpochDone
    | CheckpointStarting
    | CheckpointSaved
    | Notice
    | Alert
    | RunEnded
)
Observer = Callable[[Event], None]


@dataclass
class Bus:
    """Hands each event to every observer, in the order in which they were added."""

    observers: list[Observer] = field(default_factory=list)

    def __call__(self, event: Event) -> None:
        for observer in self.observers:
            observer(event)

    def warn(self, text: str) -> None:
        """Tell a warning to every observer."""
        self(Notice(text, "warning"))

    def add(self, observers: Iterable[Observer]) -> None:
        self.observers.extend(observers)
