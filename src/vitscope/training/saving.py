"""Saving a checkpoint from the loop, and what happens where it cannot be written."""

from __future__ import annotations

import math
import shutil
import time
from typing import TYPE_CHECKING

from safetensors import SafetensorError

from vitscope.data.workers import is_death
from vitscope.errors import WorkFailed
from vitscope.events import CheckpointSaved, CheckpointStarting, Notice
from vitscope.text import size
from vitscope.training.cadence import Cadence

if TYPE_CHECKING:
    from vitscope.training.loop import Training


def save(t: Training, cadence: Cadence, *, is_last: bool = False) -> None:
    """Write a checkpoint; observers are told before, so that what they know is on disk first.

    Raises `WorkFailed` where it cannot be written, and `is_last` or the option says to stop then.
    """
    p = t.trained.progress
    started = time.monotonic()
    t.emit(CheckpointStarting(p.step))
    if t.budget is not None:
        p.used_s = t.budget.used_s()
    info = {
        "name": t.config.name,
        "step": p.step,
        "epoch": p.epoch,
        "best_top1": p.best_top1 if math.isfinite(p.best_top1) else None,
        "tta": t.config.train.tta,
    }
    path, reason = None, ""
    try:
        path = t.checkpoints.save(t.trained, info)
    except (OSError, RuntimeError, SafetensorError) as error:  # torch says RuntimeError where the disk is full
        if is_death(error):
            raise
        reason = str(error).splitlines()[0]
    seconds = time.monotonic() - started
    cadence.saved(seconds)
    if t.budget is not None:
        t.budget.saved_in(seconds)
    if path is None:
        unsaved(t, reason, is_last or t.config.checkpoint.if_unwritable == "stop")
    else:
        t.emit(CheckpointSaved(p.step, path, p.best_step == p.step, seconds))


def unsaved(t: Training, reason: str, stops: bool) -> None:
    """Tell that the state of now could not be saved; raises `WorkFailed` where the run `stops`."""
    p, last, folder = t.trained.progress, t.checkpoints.last, t.checkpoints.folder
    free = size(shutil.disk_usage(folder if folder.exists() else folder.parent).free)  # torch's own reason is dark
    told = (
        f"The checkpoint of step {p.step} could not be written to {folder} ({reason}; {free} are free there). "
        "Is the disk full?"
    )
    kept = f"the last good checkpoint is {last.name if last else 'none'}."
    if stops:
        raise WorkFailed(f"{told} Make room and resume: {kept}")
    if p.best_step == p.step:
        p.take_back_best()
    t.emit(Notice(f"{told} Training goes on and tries again at the next one: make room; {kept}", "warning", p.step))
