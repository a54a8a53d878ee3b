"""What this machine takes for a step of a run's model and for a picture, and the choices that follow from it.

Measurements are kept in the workspace's `cache/machine/`, a file for each kind of machine, torch, threads, model, shape
and request: so equal commands get equal choices.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import torch

from vitscope.config import RunConfig
from vitscope.data import draw
from vitscope.data.loader import TrainingViews
from vitscope.errors import BadImage
from vitscope.machine import Choices, Machine, keep_freed_memory, measured
from vitscope.machine.measured import Candidate
from vitscope.models.architecture import Architecture
from vitscope.storage.artifacts import write_json
from vitscope.storage.workspace import Workspace
from vitscope.text import seconds_of
from vitscope.training.mixing import soft_cross_entropy_sum
from vitscope.training.resolution import sizes_of
from vitscope.workflows.cost import forward_passes, learns_on_features, passes_of_step
from vitscope.workflows.forward import compiled, set_attention
from vitscope.workflows.initial import learning_module, training_arguments

LEAST_IMAGES = 2  # of a step: batch norm of pooled features refuses one
LONG_S = 2.0  # a first step of those that takes longer is not repeated
SOME_IMAGES = 8
SHORT_S = 2.0  # a step of more images is taken where it lasts no longer
PICTURES, PICTURES_S = 8, 2.0  # training pictures that are decoded, and about how long at most


class Subject(NamedTuple):
    """What is measured: the model of a run of `total_steps` steps of `batch` images, computed `part` at a time."""

    config: RunConfig
    architecture: Architecture
    classes: int
    total_steps: int
    batch: int
    part: int

    @classmethod
    def of(cls, c: RunConfig, a: Architecture, classes: int, total_steps: int = 1) -> Subject:
        """As the options say; of one step where only that is asked for."""
        batch = c.train.batch_size
        return cls(c, a, classes, total_steps, batch, math.ceil(batch / c.train.accumulation))


class Outcome(NamedTuple):
    """The choices, and the seconds that training takes for an image with them, where that is known."""

    choices: Choices
    image_s: float | None
    told: tuple[str, ...] = ()  # the reasons that were measured


class Steps:
    """Training steps of made-up pictures, timed: forward and backward; neither data nor the optimizer."""

    def __init__(self, subject: Subject, choices: Choices, compiler: str | None = None):
        torch.set_num_threads(choices.threads)
        keep_freed_memory()  # as training will
        self.subject, self.device, self.compiler = subject, torch.device(choices.device), compiler
        self._module = learning_module(subject.config, subject.architecture, subject.classes).to(self.device).train()
        self._forwards: dict[tuple[str, bool], Callable[[torch.Tensor], torch.Tensor]] = {}

    def __call__(self, candidate: Candidate, images: int) -> float:
        """Seconds of one step. Raises what torch raises."""
        forward, side = self._forward(candidate), self.subject.architecture.preprocess.size
        pictures = torch.randn(images, 3, side, side, device=self.device)
        targets = torch.full((images, self.subject.classes), 1 / self.subject.classes, device=self.device)
        self._wait()
        started = time.perf_counter()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=candidate.precision == "bf16"):
            logits = forward(pictures)
        soft_cross_entropy_sum(logits.float(), targets).backward()
        self._wait()
        return time.perf_counter() - started

    def _forward(self, candidate: Candidate) -> Callable[[torch.Tensor], torch.Tensor]:
        key = candidate.attention, candidate.compile
        if key not in self._forwards:
            module = copy.deepcopy(self._module)
            set_attention(module, candidate.attention)
            self._forwards[key] = compiled(module, self.compiler) if candidate.compile else module
        return self._forwards[key]

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def settle(subject: Subject, machine: Machine, choices: Choices, workspace: Workspace, may_measure: bool) -> Outcome:
    """The choices by what is kept, or, where that is missing and `may_measure`, by what is measured now."""
    c = subject.config
    wanted = measured.candidates(c.train, choices, machine.compiler, subject.total_steps)
    is_settled = len(wanted) == 1 and c.data.workers is not None
    if is_settled or c.train.deterministic or subject.total_steps < measured.FROM_STEPS:
        return Outcome(choices, None)
    file, key = kept_file(subject, machine, choices, workspace)
    kept = _read(file, key)
    if kept is None:
        if not may_measure:
            return Outcome(choices, None)
        kept = {"key": key, "image_s": image_s(subject, choices)}
        _keep(file, kept)
    took_s = kept["image_s"]
    run_s = took_s * images_of_run(subject)
    if c.train.time_budget is not None:
        run_s = seconds_of(c.train.time_budget)
    wanted = measured.affordable(wanted, run_s, sizes_of(c.schedule.start_size))
    if not wanted:
        return Outcome(choices, took_s)
    name = "compiled" if any(candidate.compile for candidate in wanted) else "uncompiled"
    budget = measured.budget_s(wanted, run_s)
    if may_measure and _is_to_measure(kept.get(name), budget):
        on_cpu = max(measured.MOST_IMAGES, math.floor(measured.STEP_S / took_s))
        most = min(subject.part, on_cpu) if choices.device == "cpu" else subject.part
        if images := measured.images_of(len(wanted), took_s, most, budget):
            steps = Steps(subject, choices, machine.compiler)
            tried = measured.measure(wanted, lambda candidate: steps(candidate, images), images, budget)
            kept[name] = {**measured.to_json(tried), "budget_s": budget}
            _keep(file, kept)
    if name not in kept:
        return Outcome(choices, took_s)
    tried = measured.from_json(kept[name])
    decided = measured.decide(choices, tried, machine.compiler)
    if seconds := tried.seconds.get(measured.own(decided)):
        took_s = seconds / tried.images
    told = tuple(new for new, old in zip(decided.reasons, choices.reasons, strict=True) if new != old)
    return Outcome(decided, took_s, told)


def _is_to_measure(kept: dict[str, Any] | None, budget: float) -> bool:
    """Whether nothing is kept, or time was up for some of it and a longer run has twice as much."""
    if kept is None:
        return True
    return measured.TIME_UP in measured.from_json(kept).failed.values() and budget >= 2 * kept["budget_s"]


def image_s(subject: Subject, choices: Choices) -> float:
    """Seconds that a training step takes for an image here, uncompiled, loading left out: by it a run is judged.

    Of few images where the model is heavy; of as many as a step has where they last short, for then much of the time
    of a few is no computing.
    """
    steps, candidate = Steps(subject, choices), measured.own(choices)._replace(compile=False)
    images = min(LEAST_IMAGES, subject.part)
    took_s = steps(candidate, images)  # warms up too
    if took_s <= LONG_S:
        took_s = min(took_s, steps(candidate, images))
    for more in (min(SOME_IMAGES, subject.part), subject.part):
        if more > images and took_s * more / images < SHORT_S:
            took_s, images = min(steps(candidate, more) for _ in range(3)), more
    return took_s / images


def images_of_run(subject: Subject) -> float:
    """How many images in training steps cost as much as the run."""
    c, seen = subject.config, subject.batch * subject.total_steps
    on_features = learns_on_features(c, subject.architecture, subject.classes)
    epochs = max(1, c.train.epochs)
    return forward_passes(c, seen // epochs, epochs, on_features=on_features) / passes_of_step(c)


def kept_file(
    subject: Subject, machine: Machine, choices: Choices, workspace: Workspace
) -> tuple[Path, dict[str, Any]]:
    """Where measurements of this subject on this machine are kept, and the key that the file repeats."""
    asked, a = subject.config.train, subject.architecture
    arguments = training_arguments(subject.config, a)
    key = {
        "machine": [machine.cpu, machine.kind, choices.device],
        "torch": machine.torch,
        "threads": choices.threads,
        "model": [a.name, a.kwargs, a.preprocess.size, subject.classes, subject.config.model.frozen, arguments],
        "images": subject.part,
        "checkpointed": asked.checkpoint_activations,
        "asked": [asked.precision, asked.attention, asked.compile],
    }
    key = json.loads(json.dumps(key, sort_keys=True, default=str))
    name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    return workspace.cache_folder / "machine" / f"{name}.json", key


def _read(file: Path, key: dict[str, Any]) -> dict[str, Any] | None:
    """None where nothing is kept, or what is there cannot be used."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        kept = dict(json.loads(file.read_text(encoding="utf-8")))
        for name in {"compiled", "uncompiled"} & kept.keys():
            measured.from_json(kept[name])
            float(kept[name]["budget_s"])
        if kept["key"] == key and kept["image_s"] > 0:
            return kept
    return None


def _keep(file: Path, kept: dict[str, Any]) -> None:
    with suppress(OSError):  # a full disk: it is measured again the next time
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, kept)


def view_s(views: TrainingViews, *, is_cached: bool) -> float:
    """Seconds to make one training view: the median of a few spread over the split; decoding counts where it recurs."""
    took: list[float] = []
    for row in range(0, len(views), max(1, len(views) // PICTURES))[:PICTURES]:
        started = time.perf_counter()
        try:
            picture = views.pictures(row)
        except BadImage:
            continue
        if is_cached:
            started = time.perf_counter()
        views.augment(picture, draw.generator("augment", views.seed, 0, row))
        took.append(time.perf_counter() - started)
        if sum(took) > PICTURES_S:
            break
    return median(took) if took else 0.0
