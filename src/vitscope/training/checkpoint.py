"""Checkpoints: complete or absent, summed, bounded in number.

A checkpoint is a model bundle (`model.safetensors` is what evaluation uses: the moving average where there is one,
adapters merged) plus `raw.safetensors` (the weights being trained, where they differ), `average.safetensors` (with
adapters: the moving average of what learns), `state.pt` (optimizer, generators, progress; loaded with `weights_only`)
and `sums.json`. It is written under a temporary name, flushed and renamed to `step-00001234`; `last` and `best` point
to such folders and are replaced atomically.
"""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch

from vitscope.errors import RequestError
from vitscope.models.adapters import merged
from vitscope.models.bundle import DESCRIPTION, WEIGHTS, ModelBundle, load_weights, write_weights
from vitscope.storage.artifacts import new_folder, point, pointed, sha256, write_json
from vitscope.text import brief
from vitscope.training.ema import EvaluationCopy
from vitscope.training.progress import Progress

RAW, AVERAGE, STATE, SUMS = "raw.safetensors", "average.safetensors", "state.pt", "sums.json"
EVALUATED = "-evaluated"  # of an epoch's end, where the state before its evaluation was saved too
FORMAT = 1


class Snapshot(NamedTuple):
    """What a checkpoint gives back: raw weights, averaged weights (None where there are none) and the rest."""

    folder: Path
    step: int
    weights: dict[str, torch.Tensor]
    average: dict[str, torch.Tensor] | None
    state: dict[str, Any]


@dataclass(frozen=True)
class Trained:
    """The live objects whose state a checkpoint saves and restores.

    `adapted` is what learns in place of the bundle's module where there are adapters (models/adapters.py).
    """

    bundle: ModelBundle
    optimizer: torch.optim.Optimizer
    average: EvaluationCopy | None
    progress: Progress
    adapted: torch.nn.Module | None = None

    @property
    def module(self) -> torch.nn.Module:
        """What learns."""
        return self.adapted if self.adapted is not None else self.bundle.module

    def evaluated(self) -> torch.nn.Module:
        """timm's module with the weights of now that evaluation uses: averaged, merged, or simply those that learn."""
        newest = self.average.module if self.average is not None else self.module
        if self.adapted is None:
            return newest
        self.bundle.module.load_state_dict(merged(newest))
        return self.bundle.module.eval()

    def restore(self, snapshot: Snapshot) -> None:
        """Put everything back as it was at the snapshot's step, random generators included."""
        self.module.load_state_dict(snapshot.weights)
        if self.average is not None and snapshot.average is not None:
            self.average.module.load_state_dict(snapshot.average)
            self.average.updates = snapshot.state["average_updates"]
        self.optimizer.load_state_dict(snapshot.state["optimizer"])
        for name, value in snapshot.state["progress"].items():
            setattr(self.progress, name, value)
        torch.set_rng_state(snapshot.state["generators"]["cpu"])
        cuda = snapshot.state["generators"]["cuda"]
        if len(cuda) == torch.cuda.device_count():  # else it is another kind of machine, which was told
            torch.cuda.set_rng_state_all(cuda)


class Checkpoints:
    """The folder `checkpoints/` of a run."""

    def __init__(self, folder: Path, keep: int = 2):
        self.folder, self.keep = folder, keep
        self._superseded: list[Path] = []

    @property
    def last(self) -> Path | None:
        """The newest complete checkpoint."""
        return self._pointed("last")

    @property
    def best(self) -> Path | None:
        """The best so far by validation."""
        return self._pointed("best")

    def _pointed(self, name: str) -> Path | None:
        target = pointed(self.folder / name)
        if target is None or target.name != name:
            return target
        # A copy that followed links made a folder of the link: its twin is the one with the same sums.
        sums = (target / SUMS).read_bytes() if (target / SUMS).is_file() else b""
        return next((p for p in self.all() if (p / SUMS).is_file() and (p / SUMS).read_bytes() == sums), None)

    def all(self) -> list[Path]:
        """Complete checkpoints, oldest first."""
        return sorted(p for p in self.folder.glob("step-*") if p.is_dir())

    def save(self, t: Trained, info: dict[str, Any]) -> Path:
        """Write the checkpoint of the current step; `best` follows `progress.best_step`."""
        self._remove(self._superseded)
        self._superseded = []
        target = self.folder / f"step-{t.progress.step:08d}"
        if target.exists() and t.progress.step_in_epoch == 0:
            # Saved after the epoch's last step, before its evaluation: that one stays valid meanwhile.
            target = target.with_name(f"{target.name}{EVALUATED}")
        if not target.exists():  # else the very same state is there already
            self._write(t, info, target)
        point(self.folder / "last", target)
        if t.progress.best_step == t.progress.step and t.progress.step_in_epoch == 0:
            point(self.folder / "best", target)
        self._prune()
        return target

    def _write(self, t: Trained, info: dict[str, Any], target: Path) -> None:
        with new_folder(target) as folder:
            replace(t.bundle, info={**t.bundle.info, **info}).save(folder, t.evaluated().state_dict())
            if t.average is not None or t.adapted is not None:
                write_weights(t.module.state_dict(), folder / RAW)
            if t.average is not None and t.adapted is not None:
                learned = {name for name, p in t.adapted.named_parameters() if p.requires_grad}
                write_weights(
                    {k: v for k, v in t.average.module.state_dict().items() if k in learned}, folder / AVERAGE
                )
            torch.save(_state(t), folder / STATE)
            write_json(folder / SUMS, {f.name: sha256(f) for f in sorted(folder.iterdir())})

    def _prune(self) -> None:
        kept = {p.name for p in (*self.all()[-self.keep :], self.last, self.best) if p is not None}
        self._remove(p for p in self.all() if p.name not in kept)

    def go_back_to(self, snapshot: Snapshot) -> None:
        """Make the snapshot's checkpoint the last one. Later ones are superseded; they go when the next is saved."""
        point(self.folder / "last", snapshot.folder)
        if (best := self.best) is None or best.name > snapshot.folder.name:
            step = snapshot.state["progress"]["best_step"]
            names = () if step is None else (f"step-{step:08d}{EVALUATED}", f"step-{step:08d}")
            there = [p for name in names if (p := self.folder / name).is_dir() and name <= snapshot.folder.name]
            if there:
                point(self.folder / "best", there[0])
            else:
                (self.folder / "best").unlink(missing_ok=True)
        self._superseded = [p for p in self.all() if p.name > snapshot.folder.name]
        for leftover in self.folder.glob(".*"):  # of a process that was killed while writing or removing
            shutil.rmtree(leftover, ignore_errors=True) if leftover.is_dir() else leftover.unlink()

    def _remove(self, folders: Iterable[Path]) -> None:
        for folder in list(folders):  # renamed first: never half a checkpoint under a valid name
            doomed = folder.rename(folder.with_name(f".{folder.name}.removed"))
            shutil.rmtree(doomed, ignore_errors=True)

    def load(self, name: str | None = None) -> Snapshot:
        """Read `last`, or the checkpoint called `name`. Raises `RequestError`; for a damaged one with the last good."""
        named = {p.name: p for p in self.all()} | {"last": self.last, "best": self.best}
        folder = named.get(name or "last")
        if folder is None:
            raise RequestError(
                f"{self.folder}: no checkpoint '{name or 'last'}'. "
                f"There are: {', '.join(p.name for p in self.all()) or 'none'}."
            )
        if wrong := damaged(folder):
            good = next((p.name for p in reversed(self.all()) if p.name != folder.name and not damaged(p)), None)
            offer = (
                f"The last good checkpoint is {good}: go on from it with --from {good}."
                if good
                else "There is no other good checkpoint."
            )
            raise RequestError(f"{folder / wrong}: damaged: its sum differs from the one written beside it. {offer}")
        try:
            state = torch.load(folder / STATE, weights_only=True, map_location="cpu")
        except pickle.UnpicklingError:
            raise RequestError(
                f"{folder / STATE}: holds more than tensors and numbers, such as code, and is refused. Nothing of it "
                "was run. Where it comes from is not to be trusted."
            ) from None
        except Exception as error:  # torch raises whatever it stumbles over
            why = brief(" ".join(str(error).split())) or type(error).__name__
            raise RequestError(f"{folder / STATE}: not readable as the state of a training ({why}).") from None
        if isinstance(state, dict) and isinstance(state.get("format"), int) and state["format"] > FORMAT:
            raise RequestError(f"{folder}: written by a newer vitscope (format {state['format']}). Update vitscope.")
        if not _is_state(state):
            raise RequestError(f"{folder / STATE}: not the state of a training.")
        weights, average = load_weights(folder / WEIGHTS), None
        if (folder / RAW).exists():
            raw = load_weights(folder / RAW)
            if (folder / AVERAGE).exists():
                average = raw | load_weights(folder / AVERAGE)
            elif state["average_updates"]:
                average = weights
            weights = raw
        return Snapshot(folder, state["progress"]["step"], weights, average, state)


def copy(snapshot: Snapshot, target: Path, **progress: Any) -> None:
    """A checkpoint of another run that goes on from `snapshot`, with parts of its progress changed."""
    with new_folder(target) as folder:
        for file in snapshot.folder.iterdir():
            shutil.copy2(file, folder / file.name)
        state = {**snapshot.state, "progress": {**snapshot.state["progress"], **progress}}
        torch.save(state, folder / STATE)
        write_json(folder / SUMS, {f.name: sha256(f) for f in sorted(folder.iterdir()) if f.name != SUMS})


def damaged(folder: Path) -> str | None:
    """Name of the first file of a checkpoint that is missing or whose sum is wrong; None when all is well."""
    try:
        sums = json.loads((folder / SUMS).read_text())
    except (OSError, ValueError):
        return SUMS
    if not isinstance(sums, dict) or not {WEIGHTS, DESCRIPTION, STATE} <= sums.keys():
        return SUMS
    return next(
        (name for name, value in sums.items() if not (folder / name).is_file() or sha256(folder / name) != value), None
    )


def _is_state(state: Any) -> bool:
    """Whether what was loaded has the parts of `_state`, by name and type."""
    kinds = {"progress": dict, "optimizer": dict, "average_updates": int, "generators": dict}
    if not isinstance(state, dict) or not all(isinstance(state.get(name), kind) for name, kind in kinds.items()):
        return False
    progress, generators = state["progress"], state["generators"]
    return (
        state.get("format") == FORMAT
        and type(progress.get("step")) is int
        and progress.keys() <= {field.name for field in fields(Progress)}
        and isinstance(generators.get("cpu"), torch.Tensor)
        and isinstance(generators.get("cuda"), list)
    )


def _state(t: Trained) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "progress": t.progress.to_dict(),
        "optimizer": t.optimizer.state_dict(),
        "average_updates": t.average.updates if t.average is not None else 0,
        "generators": {
            "cpu": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        },
    }
