"""What `train --dry-run` says: the resolved description, and what the run would cost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from vitscope.storage.workspace import DATA_COPIES
from vitscope.text import count, size

if TYPE_CHECKING:
    from vitscope.storage.workspace import Workspace
    from vitscope.workflows.estimate import Estimate


def lines(e: Estimate, workspace: Workspace) -> Iterator[str]:
    """The estimate for people: the resolved description first, then what it costs."""
    plan, c = e.plan, e.plan.config
    yield c.to_yaml().rstrip()
    yield ""
    counts = " + ".join(f"{len(plan.manifest.of_split(split)):,} {split}" for split in ("train", "val", "test"))
    yield f"Data         {counts} images, {len(plan.classes)} classes"
    forward = f"{e.forward_flops / 1e9:.2f} GFLOP an image forward"
    yield f"Model        {plan.architecture.name}: {e.parameters:,} parameters, {forward}"
    steps = "as many steps of the head as fit"
    if e.epochs is not None:
        about = f"about {e.epochs:.1f} epochs, " if c.train.time_budget is not None else ""
        steps = f"{about}{round(e.epochs * plan.steps_per_epoch):,} steps of {c.train.batch_size} images"
    yield f"Training     {steps}, {e.training_flops / 1e15:.3g} PFLOP"
    made_of = f"{size(e.memory.weights)} for weights and optimizer, {size(e.memory.program)} for the program"
    held = f"{size(e.memory.activations + e.memory.batch)} for {count(e.memory.images, 'image')} at a time"
    made_of += f", {size(e.memory.kept)} for evaluation inputs" if e.memory.kept else ""
    yield f"Memory       about {size(e.memory.total)} ({held}, {made_of})"
    free = workspace.free_bytes
    enough = "" if free > e.disk_bytes else " — NOT ENOUGH"
    made_of = f"{c.checkpoint.keep + 2} checkpoints of {size(e.checkpoint_bytes)}, {DATA_COPIES}× the data"
    yield f"Disk         about {size(e.disk_bytes)} ({made_of}); {size(free)} free{enough}"
    by = "the budget, " if c.train.time_budget is not None else ""
    yield f"Time         about {_time(e.total_s)} here ({by}{e.step_s:.2f} s a step, loading of pictures not counted)"
    for reason in plan.choices.reasons:
        yield f"Machine      {reason}"
    for warning in plan.warnings:
        yield f"Warning      {warning}"
    for notice in plan.notices:
        yield f"Note         {notice}"


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
