"""Train: from a request to a finished run. Here the parts are chosen by the plan and wired together.

request → row in the database → plan (names, data, model, machine) → parts → loop → best and last checkpoint
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitscope import config
from vitscope.errors import Interrupted, RequestError, ViTScopeError
from vitscope.events import Bus, Notice, Observer, RunEnded
from vitscope.storage import runs
from vitscope.storage.artifacts import write_atomically, write_json
from vitscope.storage.workspace import Workspace, as_workspace
from vitscope.workflows.run import Run
from vitscope.workflows.stop import StopSignals

if TYPE_CHECKING:
    from vitscope.workflows.resolve import Plan


def train(
    source: str | Path | None = None,
    *,
    config_file: str | Path | None = None,
    workspace: Workspace | str | Path | None = None,
    observers: Sequence[Observer] = (),
    assignments: Sequence[str] = (),
    started: Callable[[Run], None] = lambda run: None,
    since: float | None = None,
    **options: Any,
) -> Run:
    """Train a classifier and return its run.

    Args:
        source: a folder of class folders, a table (CSV, TSV, Parquet) with columns path and label, an archive (zip,
            tar) of either, `torchvision:NAME`, `hf:OWNER/NAME`, `digits`, `shapes`, or the name of an imported data
            set.
        config_file: a YAML run description; `options` win over it, `assignments` over both.
        workspace: where runs and data sets are kept; by default $VITSCOPE_WORKSPACE or ./vitscope-workspace.
        observers: callables that are given each `vitscope.events` value while it trains.
        assignments: texts such as `optim.lr=3e-4`.
        started: called with the run once it has begun to train.
        since: when a time budget began, as `time.monotonic()` counts; now by default.
        options: `epochs=5`, `batch_size=32`, … by their flag's name, or a group: `optim={"lr": 1e-3}`. `model` may be a
            module of your own (pictures (B, 3, S, S) → logits), and `data`, with `val` and `test`, map-style data sets
            of (picture, label): see workflows/own.py.

    Raises:
        RequestError: the request, the data or the model do not fit; nothing was done.
        WorkFailed: training could not go on (a loss that is no number, …); what was done is kept.
        Interrupted: Ctrl-C or SIGTERM; a checkpoint is saved and the run can be resumed.
    """
    place = as_workspace(workspace)
    if any(not isinstance(options.get(name), (str, Mapping, type(None))) for name in ("model", "data", "val", "test")):
        from vitscope.workflows.own import adopted

        options = adopted(options, place)
        source = options.pop("source", source)
    requested = request(source, config_file, assignments, options)
    row = begin(requested, place)
    return carry_out(row.id, place, observers=observers, started=started, since=since)


def request(
    source: str | Path | None, config_file: str | Path | None, assignments: Sequence[str], options: Mapping[str, Any]
) -> dict[str, Any]:
    """What was asked, as one nested mapping: file < options < assignments. Types and bounds are checked.

    A run's own `config.yaml` is such a file. Of a run with a time budget it says epochs too, which mean nothing then.
    """
    from_file = config.read_file(config_file) if config_file is not None else {}
    if isinstance(train := from_file.get("train"), dict) and train.get("time_budget") is not None:
        train.pop("epochs", None)
    flags = {o.flag.lstrip("-").replace("-", "_"): o.path for o in config.options() if o.flag}
    named: dict[str, Any] = {}
    for name, value in options.items():
        if isinstance(value, Mapping) or name not in flags:
            named = config.merge(named, {name: value})
        else:
            config.put(named, flags[name], value)
    if source is not None:
        config.put(named, "data.source", str(source))
    merged = config.merge(from_file, named, config.parse_assignments(assignments))
    config.build(merged)
    return merged


def begin(requested: Mapping[str, Any], workspace: Workspace, parent: str | None = None) -> runs.RunRow:
    """Write `requested.yaml` and commit the run's row, before anything heavy is imported."""
    asked = config.build(requested)
    source = asked.data.source or ""

    def prepare(run_id: str) -> None:
        folder = workspace.run_folder(run_id)
        folder.mkdir(parents=True)
        write_atomically(folder / "requested.yaml", config.dump_yaml(requested))

    return runs.create_run(
        workspace.database,
        name=asked.name or Path(source).absolute().name or source,
        source=source,
        model=asked.model.name,
        parent=parent,
        prepare=prepare,
    )


def carry_out(
    run_id: str,
    workspace: Workspace,
    *,
    observers: Sequence[Observer] = (),
    started: Callable[[Run], None] = lambda run: None,
    checkpoint: str | None = None,
    is_kept: bool = False,
    since: float | None = None,
) -> Run:
    """Train the run from its last checkpoint (or the named one), or from the start where there is none.

    Where the request turns out to be wrong before anything was trained, the run is removed, or (`is_kept`) marked
    failed.
    """
    folder = workspace.run_folder(run_id)
    since = time.monotonic() if since is None else since
    with workspace.lock_run(run_id), StopSignals() as stop:
        is_new, has_begun = not (folder / "config.yaml").exists(), False

        def begun(run: Run) -> None:
            nonlocal has_begun
            has_begun = True
            started(run)

        try:
            plan = plan_of(folder, workspace)
            if is_new:  # the recipe may have named another model than the request did
                runs.update_run(workspace.database, run_id, model=plan.config.model.name)
            return _train(run_id, plan, workspace, stop, observers, begun, checkpoint, since)
        except RequestError as error:
            if is_new and not has_begun and is_kept:
                runs.update_run(workspace.database, run_id, status="failed", message=str(error))
            elif is_new and not has_begun:  # nothing was trained: leave nothing behind
                runs.remove_run(workspace.database, run_id)
                shutil.rmtree(folder, ignore_errors=True)
            raise
        except KeyboardInterrupt:
            raise _interrupted(run_id, workspace, stop.exit_code) from None


def plan_of(folder: Path, workspace: Workspace) -> Plan:
    """The run's plan, from `config.yaml` where it was resolved before, else from `requested.yaml`; written down."""
    from vitscope.machine import environment
    from vitscope.workflows.resolve import resolve, resolve_resumed

    resolved = folder / "config.yaml"
    if resolved.exists():
        before = json.loads((folder / "environment.json").read_text(encoding="utf-8"))
        return resolve_resumed(
            config.read_file(resolved),
            config.read_file(folder / "requested.yaml"),
            workspace,
            folder / "manifest.parquet",
            before["machine"]["kind"],
            may_measure=True,
        )
    plan = resolve(config.read_file(folder / "requested.yaml"), workspace, may_measure=True)
    write_json(folder / "environment.json", environment(plan.machine))
    plan.manifest.save(folder / "manifest.parquet", within=workspace.root)
    write_atomically(resolved, plan.config.to_yaml())  # last: its presence says that the others are there
    return plan


def _train(
    run_id: str,
    plan: Plan,
    workspace: Workspace,
    stop: StopSignals,
    observers: Sequence[Observer],
    started: Callable[[Run], None],
    checkpoint: str | None,
    since: float,
) -> Run:
    from vitscope.data.sources.kept import LARGE
    from vitscope.data.workers import deaths_told
    from vitscope.training.checkpoint import Checkpoints
    from vitscope.training.loop import fit
    from vitscope.workflows.assemble import assemble, snapshots_of
    from vitscope.workflows.observe import Guests, alerts_of, watchers
    from vitscope.workflows.verify import Verification

    run, folder = Run(run_id, workspace), workspace.run_folder(run_id)
    checkpoints = Checkpoints(folder / "checkpoints", plan.config.checkpoint.keep)
    snapshot = checkpoints.load(checkpoint) if checkpoint is not None or checkpoints.last is not None else None
    if snapshot is not None:
        checkpoints.go_back_to(snapshot)  # before the attempt is recorded, which supersedes what came after
    database = workspace.database
    saved = snapshot.step if snapshot is not None else 0
    repeated = _repeated(runs.get_run(database, run_id).step, saved) if checkpoint is None else []
    with ExitStack() as closing:
        bus = Bus()
        attempt = runs.begin_attempt(database, run_id, snapshot.step if snapshot else 0)
        bus.add(closing.enter_context(watchers(plan, run, attempt, snapshot.step if snapshot else 0, bus.warn)))
        bus.add([Guests(observers, bus)] if observers else [])
        status, reason, step = "failed", "", 0
        told = partial(deaths_told, workspace.command("resume", run_id))
        try:
            with told():
                training = assemble(plan, workspace, checkpoints, snapshot, bus, stop.requested, since)
            closing.callback(training.close)
            progress = training.trained.progress
            bus.add([*snapshots_of(training, plan, folder), alerts_of(training, plan, run)])
            if len(plan.manifest) >= LARGE:
                verification = Verification(plan.manifest, bus.warn)
                closing.callback(verification.close)
                bus.add([verification])
            started(run)
            for text in (*plan.warnings, *repeated):
                bus(Notice(text, "warning", progress.step))
            for text in plan.notices:
                bus(Notice(text, "info", progress.step))
            if plan.measured:
                bus(Notice(f"Chosen for this machine: {'; '.join(plan.measured)}.", "info", progress.step))
            stop.is_graceful = True
            try:
                with told():
                    outcome = fit(training)
            finally:
                step = progress.step
            status = outcome
        except KeyboardInterrupt:
            status, reason = "interrupted", "stopped at once; it goes on from the last checkpoint"
        except BaseException as error:
            reason = str(error) or type(error).__name__
            raise
        finally:
            bus(RunEnded(step, status, reason))
            try:
                runs.end_attempt(database, run_id, attempt, status, reason)
            except ViTScopeError as error:  # the weights are safe; the row will say "interrupted"
                bus.warn(f"The run's end could not be recorded. {error}")
    if status == "interrupted":
        raise _interrupted(run_id, workspace, stop.exit_code)
    return run


def _repeated(recorded: int, saved: int) -> list[str]:
    """What to tell of steps that were recorded after the checkpoint from which the run goes on."""
    if recorded <= saved:
        return []
    return [
        f"It goes on from step {saved:,}, {'its last checkpoint' if saved else 'the start: there is no checkpoint'}. "
        f"Steps {saved + 1:,} to {recorded:,} had been trained, but not saved: they are trained again. "
        "(Checkpoints are saved as often as checkpoint.max_overhead of the time allows.)"
    ]


def _interrupted(run_id: str, workspace: Workspace, exit_code: int) -> Interrupted:
    return Interrupted(f"Stopped. Go on with: {workspace.command('resume', run_id)}", exit_code=exit_code)
