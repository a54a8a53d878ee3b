"""How a run uses this machine: device, precision, threads, the cache of pictures and workers, decided."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from vitscope import config
from vitscope.config import RunConfig
from vitscope.data.augment import Augment
from vitscope.data.loader import TrainingViews, choose_workers, workers_for
from vitscope.data.manifest import Manifest
from vitscope.data.pictures import Decoded, Reduced, side_for
from vitscope.machine import Choices, Machine, choose
from vitscope.models.architecture import Architecture
from vitscope.storage.workspace import Workspace
from vitscope.training.resolution import sizes_of
from vitscope.workflows.measure import Subject, settle, view_s
from vitscope.workflows.picture_cache import decide


class Chosen(NamedTuple):
    """The configuration with no choice left open, the choices with their reasons, and which reasons were measured."""

    config: RunConfig
    choices: Choices
    measured: tuple[str, ...]


def chosen_for(
    c: RunConfig,
    a: Architecture,
    manifest: Manifest,
    machine: Machine,
    workspace: Workspace,
    *,
    is_new: bool,
    may_measure: bool,
) -> Chosen:
    """What is `auto` decided, by what was measured before, by measuring now where `may_measure`, or by capability."""
    training, batch = manifest.of_split("train"), c.train.batch_size
    total_steps = len(training) // batch * c.train.epochs
    subject = Subject.of(c, a, len(manifest.classes), total_steps)
    choices = choose(c.train, machine, total_steps, sizes_of(c.schedule.start_size))
    choices, image_s, told = settle(subject, machine, choices, workspace, may_measure)
    is_cached = c.data.cache == "on"
    if is_new:
        is_cached, reason = decide(c, training, a.preprocess.size, workspace)
        choices = replace(choices, reasons=(*choices.reasons, reason))
    workers = c.data.workers
    if workers is None and may_measure and image_s is not None:
        augment = Augment(a.preprocess.size, c.augment, a.preprocess.interpolation)
        side = side_for(a.preprocess.size, c.augment.crop_scale)
        pictures = Reduced(training, side) if is_cached else Decoded(training)
        took_s = view_s(TrainingViews(training, augment, c.seed, pictures), is_cached=is_cached)
        workers, why = workers_for(took_s, image_s, machine.cores, on_cpu=choices.device == "cpu")
        told = (*told, why)
    elif workers is None:
        workers = choose_workers(training, machine.cores)
    decided = {
        "data": {"workers": workers, "cache": "on" if is_cached else "off"},
        "train": {
            "device": choices.device,
            "precision": choices.precision,
            "attention": choices.attention,
            "compile": "on" if choices.compile else "off",
            "threads": choices.threads,
        },
    }
    return Chosen(config.build(c.model_dump(mode="json"), decided), choices, told)
