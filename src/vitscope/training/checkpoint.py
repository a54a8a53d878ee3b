"""Checkpoints: complete or absent, summed, bounded in number.

A checkpoint is a model bundle (`model.safetensors` is what evaluation uses: the moving average where there is one)
plus `raw.safetensors` (the weights being trained, where they differ), `state.pt` (optimizer, generators, progress;
loaded with `weights_only`) and `sums.json`. It is written under a temporary name, flushed and renamed to
`step-00001234`; `last` and `best` point to such folders and are replaced atomically.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch

from vitscope.config import CheckpointConfig
from vitscope.errors import RequestError
from vitscope.models.bundle import DESCRIPTION, WEIGHTS, ModelBundle, load_weights, write_weights
from vitscope.storage.artifacts import new_folder, point, pointed, sha256, write_json
from vitscope.training.ema import MovingAverage
from vitscope.training.progress import Progress

RAW, STATE, SUMS = "raw.safetensors", "state.pt", "sums.json"
FORMAT = 1


class Snapshot(NamedTuple):
    """What a checkpoint gives back: raw weights, averaged weights (None without EMA) and the rest."""

    folder: Path
    step: int
    weights: dict[str, torch.Tensor]
    average: dict[str, torch.Tensor] | None
    state: dict[str, Any]


@dataclass(frozen=True)
class Trained:
    """The live objects whose state a checkpoint saves and restores."""

    bundle: ModelBundle
    optimizer: torch.optim.Optimizer
    average: MovingAverage | None
    progress: Progress

    def restore(self, snapshot: Snapshot) -> None:
        """Put everything back as it was at the snapshot's step, random generators included."""
        self.bundle.module.load_state_dict(snapshot.weights)
        if self.average is not None and snapshot.average is not None:
            self.average.module.load_state_dict(snapshot.average)
            self.average.updates = snapshot.state["average_updates"]
        self.optimizer.load_state_dict(snapshot.state["optimizer"])
        for name, value in snapshot.state["progress"].items():
            setattr(self.progress, name, value)
        torch.set_rng_state(snapshot.state["generators"]["cpu"])
        if torch.cuda.is_available() and snapshot.state["generators"]["cuda"]:
            torch.cuda.set_rng_state_all(snapshot.state["generators"]["cuda"])


class Checkpoints:
    """The folder `checkpoints/` of a run."""

    def __init__(self, folder: Path, keep: int = 2):
        self.folder, self.keep = folder, keep

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
        target = self.folder / f"step-{t.progress.step:08d}"
        if target.exists():  # saved after the epoch's last step, before its evaluation: that one stays valid meanwhile
            target = target.with_name(f"{target.name}-evaluated")
        with new_folder(target) as folder:
            weights = t.average.module.state_dict() if t.average is not None else None
            replace(t.bundle, info={**t.bundle.info, **info}).save(folder, weights)
            if t.average is not None:
                write_weights(t.bundle.module.state_dict(), folder / RAW)
            torch.save(_state(t), folder / STATE)
            write_json(folder / SUMS, {f.name: sha256(f) for f in sorted(folder.iterdir())})
        point(self.folder / "last", target)
        if t.progress.best_step == t.progress.step:
            point(self.folder / "best", target)
        self._prune()
        return target

    def _prune(self) -> None:
        kept = {p.name for p in (*self.all()[-self.keep :], self.last, self.best) if p is not None}
        self._remove(p for p in self.all() if p.name not in kept)

    def go_back_to(self, folder: Path, best_step: int | None) -> None:
        """Make `folder` the last checkpoint: later ones are superseded by what is trained from here on."""
        point(self.folder / "last", folder)
        best = [
            p
            for p in self.all()
            if best_step is not None and p.name.startswith(f"step-{best_step:08d}") and p.name <= folder.name
        ]
        if best:
            point(self.folder / "best", best[-1])
        else:
            (self.folder / "best").unlink(missing_ok=True)
        self._remove(p for p in self.all() if p.name > folder.name)
        for leftover in self.folder.glob(".*"):  # of a process that was killed while writing or removing
            shutil.rmtree(leftover, ignore_errors=True) if leftover.is_dir() else leftover.unlink()

    def _remove(self, folders: Iterable[Path]) -> None:
        for folder in list(folders):  # renamed first: never half a checkpoint under a valid name
            doomed = folder.rename(folder.with_name(f".{folder.name}.removed"))
            shutil.rmtree(doomed, ignore_errors=True)

    def load(self, name: str | None = None) -> Snapshot:
        """Read `last`, or the checkpoint called `name`. Raises `RequestError`; for a damaged one with the last good."""
        folder = self.last if name is None else self.folder / name
        if folder is None or not folder.is_dir():
            raise RequestError(
                f"{self.folder / (name or 'last')}: no such checkpoint. "
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
        state = torch.load(folder / STATE, weights_only=True, map_location="cpu")
        if state["format"] > FORMAT:
            raise RequestError(f"{folder}: written by a newer vitscope (format {state['format']}). Update vitscope.")
        saved = load_weights(folder / WEIGHTS)
        if (folder / RAW).exists():
            return Snapshot(folder, state["progress"]["step"], load_weights(folder / RAW), saved, state)
        return Snapshot(folder, state["progress"]["step"], saved, None, state)


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


class Cadence:
    """When to save: by steps, or after `every_s` or 2 % of the run (the sooner), never costing more than its share."""

    SHARE_OF_RUN = 0.02

    def __init__(self, config: CheckpointConfig, total_steps: int):
        self.config, self.total_steps = config, total_steps
        self.started = self.saved_at = time.monotonic()
        self.steps = 0
        self.cost_s = 0.0

    def interval_s(self) -> float:
        """Seconds between two saves, by what a step and a save have taken so far."""
        per_step = (time.monotonic() - self.started) / max(1, self.steps)
        wanted = min(self.config.every_s, self.SHARE_OF_RUN * per_step * self.total_steps)
        return max(wanted, self.cost_s / self.config.max_overhead)

    def due(self, step: int) -> bool:
        """To be asked after every step."""
        self.steps += 1
        if self.config.every_steps is not None and step % self.config.every_steps == 0:
            return True
        return time.monotonic() - self.saved_at >= self.interval_s()

    def due_after_epoch(self, epoch: int) -> bool:
        """To be asked after every epoch (counted from 1)."""
        affordable = time.monotonic() - self.saved_at >= self.cost_s / self.config.max_overhead
        return epoch % self.config.every_epochs == 0 and affordable

    def saved(self, seconds: float) -> None:
        """Tell that a save has just taken `seconds`."""
        self.cost_s, self.saved_at = seconds, time.monotonic()
