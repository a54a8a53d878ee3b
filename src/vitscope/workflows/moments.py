"""The moments of a model's training that can be looked at, and its weights at each of them."""

from __future__ import annotations

import os
import time
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from vitscope.errors import Conflict, RequestError, unknown
from vitscope.inspection import snapshots
from vitscope.models.bundle import (
    DESCRIPTION,
    WEIGHTS,
    ModelBundle,
    check_weights,
    load_weights,
    read_description,
)
from vitscope.models.create import create_model
from vitscope.text import shown
from vitscope.training.checkpoint import Checkpoints
from vitscope.workflows.load import CHECKPOINTS, Found
from vitscope.workflows.snapshots import FOLDER

BEST, LAST, INITIAL = "best", "last", "initial"
KEPT = 2  # models in memory: those of two moments can be compared without loading them anew


TRIES = 20  # looks at a link that is being replaced


class NoWeights(Conflict):
    """A run that has no weights yet: there will be some."""


class Moment(NamedTuple):
    """A step of the training. One that is a checkpoint answers everything, another only the time line."""

    id: str
    step: int
    epoch: float | None
    is_checkpoint: bool
    label: str


class Opened(NamedTuple):
    """A model, and what tells it from every other: its weights file with its time and size."""

    key: tuple[str, int, int]
    bundle: ModelBundle


class Moments:
    """Of a run: its checkpoints, its recorded moments, and the weights it began with. Of any other model: itself."""

    def __init__(self, model: Found | ModelBundle, initial: Mapping[str, torch.Tensor] | None = None):
        self._model, self._initial = model, initial
        self._run = model.run_folder if isinstance(model, Found) and model.is_run else None
        self._opened: OrderedDict[tuple[str, int, int], ModelBundle] = OrderedDict()
        self._epochs: dict[tuple[Path, int], float | None] = {}

    @property
    def snapshots_folder(self) -> Path | None:
        """Where the time line lies; None for a model that is of no run."""
        folder = self._model.run_folder if isinstance(self._model, Found) else None
        return folder / FOLDER if folder is not None else None

    def all(self) -> list[Moment]:
        """By step. A checkpoint that is the best or the last is there under its own name too."""
        if self._run is None:
            info = self._model.info if isinstance(self._model, ModelBundle) else _info(self._model.path)
            step = int(_number(info.get("step")) or 0)
            return [Moment(BEST, step, _number(info.get("epoch")), True, f"step {step:,}" if step else "as it is")]
        checkpoints = Checkpoints(self._run / CHECKPOINTS)
        folders = {path.name: path for path in checkpoints.all()}
        found = [self._checkpoint(name, path) for name, path in folders.items()]
        taken = {moment.step for moment in found}
        for name, pointed in ((BEST, checkpoints.best), (LAST, checkpoints.last)):
            if pointed is not None:
                moment = self._checkpoint(name, pointed)
                found.append(moment._replace(label=f"{name}: {moment.label}"))
        recorded = self._run / FOLDER
        if (recorded / snapshots.INITIAL).is_file():
            found.append(Moment(INITIAL, 0, 0.0, True, "before training"))
            taken.add(0)
        for step in snapshots.steps(recorded):
            if step not in taken:
                epoch = self._epoch_of(recorded, step)
                found.append(Moment(f"step-{step:08d}", step, epoch, False, f"step {step:,}"))
        return sorted(found, key=lambda moment: moment.step)

    def _checkpoint(self, name: str, folder: Path) -> Moment:
        step = int(folder.name.split("-")[1])
        epoch = self._epoch_of(folder.parents[1] / FOLDER, step)
        epoch = epoch if epoch is not None else _number(_info(folder).get("epoch"))
        return Moment(name, step, epoch, True, f"step {step:,}")

    def _epoch_of(self, folder: Path, step: int) -> float | None:
        """The epoch, with its part, of a recorded moment. Read once, without what else the file holds."""
        file = snapshots.moment_file(folder, step)
        try:
            key = (file, file.stat().st_mtime_ns)
            if key not in self._epochs:
                with np.load(file, allow_pickle=False) as content:
                    self._epochs[key] = float(content["epoch"])
            return self._epochs[key]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None

    # ------------------------------------------------------------------------------------------ weights

    def open(self, at: str = BEST) -> Opened:
        """The model at a moment, the last few kept in memory. Raises `RequestError`; `NoWeights` where none is yet."""
        if isinstance(self._model, ModelBundle):
            self._only(at)
            return Opened(("", 0, 0), self._model)
        if self._run is None:
            self._only(at)
            return self._load(self._model)
        if at == INITIAL:
            return self._open_initial(self._run)
        folder = self._checkpoint_folder(self._run, at)
        while True:
            try:
                return self._load(Found(folder, self._run))
            except (RequestError, OSError):
                if folder.is_dir():
                    raise
                folder = self._checkpoint_folder(self._run, at)  # a later one took its place while it was read

    def _only(self, at: str) -> None:
        if at not in (BEST, LAST):
            raise unknown("moment", shown(at), [BEST], "This model is of no run: there are no other moments of it.")

    def _checkpoint_folder(self, run: Path, at: str) -> Path:
        checkpoints = Checkpoints(run / CHECKPOINTS)
        named = {path.name: path for path in checkpoints.all()}
        folder = _pointed(checkpoints, at) if at in (BEST, LAST) else named.get(at)
        if folder is not None:
            return folder
        if at in (BEST, LAST) or not named:
            raise NoWeights(f"Run {run.name} has no checkpoint yet: wait for its first, or resume it.")
        if any(moment.id == at for moment in self.all()):
            raise RequestError(f"Of {at} only the time line was recorded, not the weights. {_choices(named)}")
        raise unknown("moment", shown(at), [BEST, LAST, *named], "It may have been replaced by a later one.")

    def _load(self, found: Found) -> Opened:
        key = _key(found.path / WEIGHTS)
        if key not in self._opened:
            with _no_draw():
                self._keep(key, found.load())
        self._opened.move_to_end(key)
        return Opened(key, self._opened[key])

    def _open_initial(self, run: Path) -> Opened:
        file = run / FOLDER / snapshots.INITIAL
        if not file.is_file():
            raise RequestError(f"The weights that run {run.name} began with were not recorded (record.snapshots).")
        key = _key(file)
        if key not in self._opened:
            like = self.open(LAST).bundle
            with _no_draw():
                module = create_model(like.name, num_classes=len(like.classes), **like.kwargs).eval()
            weights = load_weights(file)
            check_weights(module, weights, str(file))
            module.load_state_dict(weights)
            self._keep(key, replace(like, module=module, info={**like.info, "step": 0, "epoch": 0}))
        self._opened.move_to_end(key)
        return Opened(key, self._opened[key])

    def _keep(self, key: tuple[str, int, int], bundle: ModelBundle) -> None:
        self._opened[key] = bundle
        while len(self._opened) > KEPT:
            self._opened.popitem(last=False)

    @property
    def initial(self) -> Mapping[str, torch.Tensor] | None:
        """The weights at the start, by name; None where they are not known. Read once."""
        if self._initial is None:
            folder = self.snapshots_folder
            if folder is not None and (folder / snapshots.INITIAL).is_file():
                self._initial = load_weights(folder / snapshots.INITIAL)
        return self._initial


def _pointed(checkpoints: Checkpoints, at: str) -> Path | None:
    """Where `best` or `last` points to; the last is the best of a run that has no best yet, and of no other.

    Raises `RequestError` for a link whose checkpoint is not there, also when it is looked at again.
    """
    link = checkpoints.folder / at
    for _ in range(TRIES):
        if not os.path.lexists(link):
            return checkpoints.last if at == BEST else None
        if (folder := checkpoints.best if at == BEST else checkpoints.last) is not None:
            return folder
        time.sleep(0.01)  # it was replaced, and what it pointed to removed, between two looks at it
    raise RequestError(f"{link}: points to a checkpoint that is not there.")


def _no_draw() -> AbstractContextManager[None]:
    """A model is made with random weights before its own are loaded: torch's generator is put back afterwards."""
    return torch.random.fork_rng(devices=[])


def _key(file: Path) -> tuple[str, int, int]:
    try:
        told = file.stat()
    except OSError:
        return str(file), 0, 0  # loading it will say what is wrong
    return str(file.resolve()), told.st_mtime_ns, told.st_size


def _info(folder: Path) -> Mapping[str, object]:
    if not (folder / DESCRIPTION).is_file():
        return {}
    try:
        return read_description(folder)["info"]
    except RequestError:
        return {}


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None


def _choices(named: Mapping[str, Path]) -> str:
    return f"There are weights of {', '.join([BEST, LAST, *named])}."
