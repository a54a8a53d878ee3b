"""Resume: go on exactly where a run stopped, or train a finished one further as a child run."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from vitscope import config
from vitscope.errors import RequestError
from vitscope.events import Observer
from vitscope.storage import runs
from vitscope.storage.artifacts import point, write_atomically
from vitscope.storage.workspace import Workspace, as_workspace
from vitscope.workflows.run import Run
from vitscope.workflows.train import begin, carry_out


def resume(
    ref: str = "latest",
    *,
    epochs: int | None = None,
    checkpoint: str | None = None,
    workspace: Workspace | str | Path | None = None,
    observers: Sequence[Observer] = (),
    started: Callable[[Run], None] = lambda run: None,
    since: float | None = None,
) -> Run:
    """Go on from the last checkpoint, or from the one named (`step-00000012`); from the start where there is none.

    With `epochs` the schedule would change, so a child run trains on from there to that many epochs in all.

    Raises:
        RequestError: no such run or checkpoint, the run is finished, or another process is training it.
        WorkFailed, Interrupted: as `train`.
    """
    place = as_workspace(workspace)
    row = place.find_run(ref)
    if epochs is not None:
        with place.lock_run(row.id):  # nobody trains the parent, or removes its checkpoints, meanwhile
            child = _child(row, epochs, checkpoint, place)
        return carry_out(child.id, place, observers=observers, started=started, since=since)
    if row.parent is not None and not (place.run_folder(row.id) / "config.yaml").exists():
        raise RequestError(
            f"Run {row.name} ({row.id}) was stopped while it was made from its parent. Make it anew: "
            f"{place.command('resume', row.parent, '--epochs', 'N')}"
        )
    if row.status == "finished" and checkpoint is None:
        raise RequestError(
            f"Run {row.name} ({row.id}) is finished. To train it further as a new run: "
            f"{place.command('resume', row.id, '--epochs', 'N')}"
        )
    return carry_out(
        row.id, place, observers=observers, started=started, checkpoint=checkpoint, is_kept=True, since=since
    )


# What of a parent's progress does not go on: patience begins anew, and the end is given in epochs.
AS_IF_NEW = {
    "epochs_since_best": 0,
    "total_steps": None,
    "replanned_at": 0,
    "replanned_share": 0.0,
    "evaluate_every": None,
    "used_s": 0.0,
}


def _child(parent: runs.RunRow, epochs: int, checkpoint: str | None, place: Workspace) -> runs.RunRow:
    from vitscope.training.checkpoint import Checkpoints, copy
    from vitscope.workflows.resolve import pictures_of, with_choices_as_asked

    folder = place.run_folder(parent.id)
    if not (folder / "config.yaml").exists():
        raise RequestError(f"Run {parent.name} ({parent.id}) has not begun to train: resume it without --epochs.")
    pictures_of(folder / "manifest.parquet", place)
    checkpoints = Checkpoints(folder / "checkpoints")
    snapshot = checkpoints.load(checkpoint)
    done = snapshot.state["progress"]["epoch"]
    if epochs <= done:
        raise RequestError(
            f"--epochs {epochs}: run {parent.name} ({parent.id}) has trained {done} epochs already; give more."
        )
    resolved = config.read_file(folder / "config.yaml")
    config.put(resolved, "train.epochs", epochs)
    config.put(resolved, "train.time_budget", None)
    asked = with_choices_as_asked(resolved, config.read_file(folder / "requested.yaml"))
    child = begin(asked, place, parent=parent.id)
    own = place.run_folder(child.id)
    for name in ("environment.json", "manifest.parquet"):
        shutil.copy2(folder / name, own / name)
    (own / "checkpoints").mkdir()
    copy(snapshot, own / "checkpoints" / snapshot.folder.name, **AS_IF_NEW)
    if (folder / "snapshots").is_dir():  # the time line goes on
        shutil.copytree(folder / "snapshots", own / "snapshots")
    best = checkpoints.best  # it stays the one to beat
    if best is not None and best.name <= snapshot.folder.name:
        runs.update_run(place.database, child.id, best=parent.best, test=parent.test)
        if best.name != snapshot.folder.name:
            shutil.copytree(best, own / "checkpoints" / best.name)
    point(own / "checkpoints" / "last", own / "checkpoints" / snapshot.folder.name)
    write_atomically(own / "config.yaml", config.build(resolved).to_yaml())
    return child
