"""Who watches a run: the recorder, TensorBoard, charts, the log file, and guests from Python."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

import torch

from vitscope.events import (
    Alert,
    Bus,
    CheckpointSaved,
    EpochDone,
    Event,
    Notice,
    Observer,
    Replanned,
    RunEnded,
    RunStarted,
)
from vitscope.metrics import query
from vitscope.metrics.recorder import Recorder
from vitscope.training.alerts import Alerts, Situation, detectors, gradients
from vitscope.training.loop import Training
from vitscope.workflows.resolve import Plan
from vitscope.workflows.run import Run


@contextmanager
def watchers(
    plan: Plan, run: Run, attempt: int, start_step: int, warn: Callable[[str], None]
) -> Iterator[list[Observer]]:
    """The observers that the plan asks for, open while inside; closed in the reverse order.

    `warn` is called where one of them cannot do its work for now.
    """
    record, database = plan.config.record, run.workspace.database
    with ExitStack() as closing:
        recorder = Recorder(database, run.id, attempt, warn)
        closing.callback(recorder.close)
        chosen: list[Observer] = [recorder, closing.enter_context(LogFile(run.folder / "train.log"))]
        if record.tensorboard:
            from vitscope.metrics.mirrors.tensorboard import TensorBoardMirror

            mirror = TensorBoardMirror(run.folder / "tensorboard", start_step, warn)
            closing.callback(mirror.close)
            chosen.append(mirror)
        if record.charts:
            from vitscope.workflows.charts import Charts

            charts = Charts(database, run.id, run.folder / "charts")
            closing.callback(charts.close)
            chosen.append(charts)
        yield chosen


def alerts_of(training: Training, plan: Plan, run: Run) -> Alerts:
    """The observer that tells what goes wrong; what was told before the step it goes on from is not told again."""
    trained, events = training.trained, query.events(run.workspace.database, run.id)
    told = {e.data["kind"] for e in events if e.kind == "alert" and (e.step or 0) <= trained.progress.step}
    workers, validation = plan.config.data.workers or 0, len(plan.manifest.of_split("val"))
    is_cached = plan.config.data.cache == "on"
    situation = Situation(len(plan.classes), validation, plan.choices.precision, workers, plan.machine.cores, is_cached)
    layers = partial(gradients, trained.module, trained.optimizer)
    return Alerts(detectors(situation, layers, told), training.emit)


class LogFile:
    """`train.log`: a line for each epoch, checkpoint, notice and alert, flushed at once."""

    def __init__(self, file: Path):
        self.file = file

    def __enter__(self) -> LogFile:
        self._stream = self.file.open("a", encoding="utf-8", buffering=1)
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def __call__(self, event: Event) -> None:
        if (text := line(event)) is None:
            return
        with suppress(OSError):  # a full disk: the log is never worth a run
            self._stream.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")


def line(event: Event) -> str | None:
    """An event as a line for people; None for those that come too often."""
    match event:
        case RunStarted(start_step=start, total_steps=total, epochs=epochs):
            return f"{'start' if start == 0 else f'resume at step {start}'}: {total} steps, {epochs} epochs"
        case EpochDone(step=step, epoch=epoch, metrics=metrics, is_best=is_best):
            numbers = "  ".join(f"{m.split}{' ' if m.split else ''}{m.name} {m.value:.4f}" for m in metrics)
            return f"epoch {epoch} (step {step}): {numbers}{'  best' if is_best else ''}"
        case Replanned(step=step, total_steps=total, epochs=epochs, used_s=used, budget_s=budget):
            return f"replanned at step {step}: {total} steps, {epochs} epochs ({used:.0f} of {budget:.0f} s used)"
        case CheckpointSaved(path=path, seconds=seconds):
            return f"checkpoint {path.name} ({seconds:.2f} s)"
        case Notice(text=text, level=level):
            return f"{level}: {text}"
        case Alert(step=step, kind=kind, text=text):
            return f"alert at step {step}, {kind}: {text}"
        case RunEnded(step=step, status=status, reason=reason):
            return f"{status} at step {step}{': ' + reason if reason else ''}"
        case _:
            return None


class Guests:
    """Observers from outside: they can neither break training nor draw from its generators.

    One that raises is told once and left out from then on.
    """

    def __init__(self, observers: Sequence[Observer], bus: Bus):
        self.observers, self.bus = list(observers), bus

    def __call__(self, event: Event) -> None:
        for observer in list(self.observers):
            state = torch.get_rng_state()
            try:
                observer(event)
            except Exception as error:  # whatever a guest does
                self.observers.remove(observer)
                name = getattr(observer, "__name__", type(observer).__name__)
                self.bus(
                    Notice(
                        f"Observer {name} failed ({type(error).__name__}: {error}) and is left out from now on.",
                        "warning",
                    )
                )
            finally:
                torch.set_rng_state(state)
