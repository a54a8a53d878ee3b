"""Find a learning rate or a batch size for a run, by trying with its own data, model, recipe and optimizer.

Nothing of it stays: the weights are thrown away, no run is recorded.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from vitscope import config
from vitscope.data.loader import Batch
from vitscope.errors import RequestError, WorkFailed
from vitscope.events import Event, Notice
from vitscope.models.architecture import check_training
from vitscope.storage.workspace import Workspace
from vitscope.text import parse_size
from vitscope.training.checkpoint import Checkpoints
from vitscope.training.loop import Training, train_step
from vitscope.training.lr_range import Point, Suggestion, smoothed, suggest, sweep
from vitscope.workflows.assemble import assemble
from vitscope.workflows.footprint import Estimator
from vitscope.workflows.resolve import Plan, resolve

SHARE = 0.9  # of the device's memory that is filled
TIMED_STEPS = 2  # after one that warms up


class FoundRate(NamedTuple):
    """`suggestion` is None where the loss never falls; `diverged_at` where it does not diverge."""

    suggestion: Suggestion | None
    points: list[Point]
    diverged_at: float | None
    notices: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON values: lr, rule, diverged_at, points, notices."""
        return {
            "lr": self.suggestion.lr if self.suggestion else None,
            "rule": self.suggestion.rule if self.suggestion else None,
            "diverged_at": self.diverged_at,
            "points": [point._asdict() for point in self.points],
            "notices": list(self.notices),
        }


class Trial(NamedTuple):
    """Steps of `images` at a time; `images_per_s` is None where they did not fit."""

    images: int
    fits: bool
    images_per_s: float | None
    memory_bytes: int  # measured on CUDA, else estimated


class FoundBatch(NamedTuple):
    """`largest` images at a time fit; `fastest` is the smallest that comes within 5 % of the best rate.

    `limit` says what ended the search.
    """

    largest: int
    fastest: int
    trials: list[Trial]
    limit: str
    notices: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON values: largest, fastest, limit, trials, notices."""
        trials = [trial._asdict() for trial in self.trials]
        return {**self._asdict(), "trials": trials, "notices": list(self.notices)}


def find_lr(
    requested: Mapping[str, Any],
    workspace: Workspace,
    *,
    low: float = 1e-6,
    high: float = 1.0,
    steps: int = 100,
    figure: str | Path | None = None,
    tell: Callable[[Point], None] = lambda point: None,
) -> FoundRate:
    """Train with a rate that grows from `low` to `high` in at most `steps` steps, and suggest one.

    `figure`: draw the chart there (PNG, SVG or PDF). Raises `RequestError` as training would.
    """
    from vitscope.visualization import lr_range, style

    if not 0 < low < high:
        raise RequestError(f"--from {low:g} --to {high:g}: the rate grows from a small one above 0 to a larger one.")
    if steps < 10:
        raise RequestError(f"--steps {steps}: at least 10 are needed to see a slope.")
    if figure is not None:
        style.check_format(figure)
    plan = resolve(requested, workspace)
    told: list[str] = [*plan.warnings, *plan.notices]
    with trying(plan, workspace, told) as training:
        points = sweep(training, low, high, steps, tell)
    is_diverged = len(points) < steps
    found = FoundRate(suggest(points), points, points[-1].lr if is_diverged else None, tuple(dict.fromkeys(told)))
    if figure is not None:
        suggested = found.suggestion.lr if found.suggestion else None
        lrs, losses = zip(*points, strict=True)
        c = plan.config
        line = f"{plan.architecture.name}, {c.optim.name}, batches of {c.train.batch_size}"
        style.save(
            lr_range.figure(lrs, losses, smoothed(np.array(losses)).tolist(), suggested=suggested, told=line), figure
        )
    return found


def find_batch_size(
    requested: Mapping[str, Any],
    workspace: Workspace,
    *,
    seconds: float = 120.0,
    tell: Callable[[Trial], None] = lambda trial: None,
) -> FoundBatch:
    """The most images at a time whose step fits in `train.memory`, or in the device's: by doubling, then bisection.

    No size is tried that the estimate says does not fit. After `seconds` no other is begun. Raises `RequestError` as
    training would, `WorkFailed` when not even one image fits.
    """
    asked = config.build(requested).train.memory
    plan = resolve(config.merge(requested, {"train": {"memory": None, "accumulation": 1}}), workspace)
    c = plan.config
    most = parse_size(asked) if asked is not None else int(SHARE * _device_bytes(plan))
    estimator = Estimator(c, plan.architecture, len(plan.classes))
    bound = estimator.most_images(most, c.train.checkpoint_activations)
    if bound < 1:
        needed = estimator.footprint(1, c.train.checkpoint_activations).total
        raise RequestError(
            f"Not even one image at a time fits in {most / 1e9:.2g} GB: about {needed / 1e9:.2g} needed."
        )
    images_there, least = len(plan.manifest.of_split("train")), 1 if takes_one(plan) else 2
    began, told, trials = time.monotonic(), [*plan.warnings, *plan.notices], dict[int, Trial]()

    with trying(plan, workspace, told) as training:
        if training.on_features:
            raise RequestError(
                "Only the head learns here, on features computed once: any batch size fits. Set it with --batch-size."
            )

        def fits(images: int) -> bool:
            if images not in trials:
                estimated = estimator.footprint(images, c.train.checkpoint_activations).total
                trials[images] = _try(training, images, estimated)
                tell(trials[images])
            return trials[images].fits

        largest, too_many, limit = search(
            fits,
            {bound: "the estimate of memory", images_there: "the number of training images"},
            lambda: time.monotonic() - began > seconds,
            least,
        )
    if largest == 0:
        few = "one image" if least == 1 else f"{least} images"
        raise WorkFailed(f"Out of memory with {few} at a time. Take a smaller model or image size.")
    if not limit:
        limit = f"{too_many} images at a time did not fit"
    good = [trial for trial in trials.values() if trial.images_per_s is not None]
    best = max(trial.images_per_s or 0.0 for trial in good)
    fastest = min(trial.images for trial in good if (trial.images_per_s or 0.0) >= 0.95 * best)
    ordered = sorted(trials.values())
    return FoundBatch(largest, fastest, ordered, limit, tuple(dict.fromkeys(told)))


def search(
    fits: Callable[[int], bool], bounds: Mapping[int, str], is_over: Callable[[], bool], least: int = 1
) -> tuple[int, int | None, str]:
    """The largest number that fits, by doubling and then bisection; the smallest seen not to; what ended it, if known.

    `bounds` are numbers above which nothing is tried, with the reason; nor is anything below `least`.
    """
    bound, why = min(bounds.items())
    if bound < least:
        return 0, None, why
    largest, too_many, images = 0, None, least
    while largest < bound and (too_many is None or largest + 1 < too_many):
        if largest and is_over():
            return largest, too_many, "the time given; larger ones may fit"
        if fits(images):
            largest = images
        else:
            too_many = images
        images = min(2 * largest, bound) if too_many is None else (largest + too_many) // 2
        if images < least:
            return 0, too_many, ""
    return largest, too_many, why if too_many is None else ""


def takes_one(plan: Plan) -> bool:
    """Whether the model learns from a single image at a time."""
    try:
        check_training(plan.architecture, len(plan.classes), 1)
    except RequestError:
        return False
    return True


def _try(t: Training, images: int, estimated: int) -> Trial:
    """Real steps on random pictures, so that loading plays no part."""
    device, side = t.accelerator.device, t.trained.bundle.preprocess.size
    rng = np.random.default_rng(0)
    batch = Batch(
        torch.from_numpy(rng.integers(0, 256, (images, 3, side, side), dtype=np.uint8)),
        torch.from_numpy(rng.integers(0, len(t.trained.bundle.classes), images)),
        (),
        tuple(str(i) for i in range(images)),
        (0,) * images,
    )
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    t.trained.progress.micro_batch = None
    best = math.inf
    for _ in range(1 + TIMED_STEPS):
        started = time.perf_counter()
        try:
            train_step(t, batch)
        except WorkFailed:
            return Trial(images, False, None, estimated)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - started)
        if t.trained.progress.micro_batch is not None:  # memory ran out, and the step was made in parts
            return Trial(images, False, None, estimated)
    used = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else estimated
    return Trial(images, True, images / best, used)


def _device_bytes(plan: Plan) -> int:
    """Memory of the device that training may use: of a GPU all, of this machine what is not in use."""
    import psutil

    device = plan.choices.device
    if device.startswith("cuda"):
        return plan.machine.gpus[int(device.partition(":")[2] or 0)].memory_bytes
    return min(plan.machine.memory_bytes, psutil.virtual_memory().available + psutil.Process().memory_info().rss)


@contextmanager
def trying(plan: Plan, workspace: Workspace, told: list[str]) -> Iterator[Training]:
    """The parts of a run that is never recorded. Notices end in `told`; those about memory are what is looked for."""

    def emit(event: Event) -> None:
        if isinstance(event, Notice) and not event.text.startswith("Out of memory"):
            told.append(event.text)

    with tempfile.TemporaryDirectory(prefix="vitscope-find-") as folder:
        training = assemble(plan, workspace, Checkpoints(Path(folder)), None, emit, lambda: False)
        try:
            yield replace(training, evaluation={})
        finally:
            training.close()
