"""`vitscope runs`: the runs of a workspace: seen, compared, moved to the trash and back, handed to other machines."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Annotated, Any

import typer

from vitscope.cli import completion
from vitscope.cli.console import console, error_console, open_workspace, print_json, say, settings, warn
from vitscope.cli.table import print_table
from vitscope.text import count, shown, size, some

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True, add_completion=False)

AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]
Ref = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="An id, the beginning of one, a name, or 'latest'.",
        show_default=False,
        autocompletion=completion.runs,
    ),
]
Refs = Annotated[
    list[str],
    typer.Argument(
        metavar="RUN…", help="Ids, beginnings of ids, names.", show_default=False, autocompletion=completion.runs
    ),
]
DeletedRefs = Annotated[
    list[str],
    typer.Argument(
        metavar="RUN…",
        help="Ids, beginnings of ids, names.",
        show_default=False,
        autocompletion=completion.deleted_runs,
    ),
]

STATUS_STYLES = {"running": "bold cyan", "finished": "green", "interrupted": "yellow", "failed": "bold red"}
COLUMNS = ("status", "name", "id", "data", "model", "progress", "best val", "test", "age")
NUMBERS = ("progress", "best val", "test", "age", "value", "step", "size")  # columns set to the right
FREE_TEXT = ("name", "data", "model", "path")
NARROW = 100  # columns of a terminal below which the list leaves the model out
SHOWN_NOTICES = 5


@app.command("list")
def list_(
    ctx: typer.Context,
    as_json: AsJson = False,
    deleted: Annotated[bool, typer.Option("--deleted", help="Those in the trash instead.")] = False,
) -> None:
    """The runs, newest first: status, progress, best validation top-1 and the test top-1 of that model."""
    from vitscope.workflows.runs import list_runs

    workspace = open_workspace(ctx)
    runs = list_runs(workspace, deleted=deleted)
    if as_json:
        print_json(runs)
    elif runs:
        is_narrow = console().is_terminal and console().width < NARROW
        kept = [i for i, name in enumerate(COLUMNS) if not (is_narrow and name == "model")]
        lines = [_line(run) for run in runs]
        _print([COLUMNS[i] for i in kept], [[line[i] for i in kept] for line in lines])
    elif deleted:
        say(f"Nothing in the trash of {workspace.root}.")
    else:
        is_there = workspace.existing_database is not None
        say(
            f"No runs in {workspace.root} yet. Start one:"
            if is_there
            else f"There is no workspace {workspace.root}. The first run in it makes it:"
        )
        say(
            f"  {workspace.command('train', 'SOURCE')}   with a folder of class folders as SOURCE, 'digits' or 'shapes'"
        )


@app.command("show")
def show(
    ctx: typer.Context,
    run: Ref,
    as_json: AsJson = False,
) -> None:
    """One run: facts, newest metrics, checkpoints, files, and how to go on with it."""
    from vitscope.workflows.runs import show_run

    workspace = open_workspace(ctx)
    facts = show_run(workspace, run)
    if as_json:
        print_json(facts)
        return
    _facts(facts)
    if facts["metrics"]:
        rows = [(f"{m['split']} {m['name']}".strip(), _number(m["value"]), f"{m['step']:,}") for m in facts["metrics"]]
        _section("Newest metrics", ("metric", "value", "step"), rows)
    if facts["checkpoints"]:
        _section("Checkpoints", ("name", "size", ""), [_checkpoint(c) for c in facts["checkpoints"]])
    if facts["files"]:
        _section("Files", ("path", "size", ""), _files(facts["files"]))
    notes = [notice for notice in facts["notices"] if notice["level"] == "info"]
    warnings = [notice for notice in facts["notices"] if notice["level"] != "info"]
    for title, notices in (("Notes", notes), ("Warnings", warnings)):
        if not notices:
            continue
        left_out = f", the last {SHOWN_NOTICES} of {len(notices)}" if len(notices) > SHOWN_NOTICES else ""
        say(f"\n{title}{left_out}")
        for notice in notices[-SHOWN_NOTICES:]:
            at = f"step {notice['step']:,}: " if notice["step"] is not None else ""
            say(f"  {at}{shown(notice['text'])}")
    if facts["resume"]:
        say(f"\nGo on with it:  {facts['resume']}")
    elif facts["status"] == "finished":
        say(f"\nTrain it further, as a new run:  {workspace.command('resume', facts['id'], '--epochs', 'N')}")


@app.command("delete")
def delete(
    ctx: typer.Context,
    runs: Refs,
    forever: Annotated[
        bool, typer.Option("--forever", help="Erase them and their files instead, from the trash too.")
    ] = False,
) -> None:
    """Move runs to the trash, from which 'restore' brings them back. A run that is being trained is refused."""
    from vitscope.workflows.trash import delete_runs

    workspace = open_workspace(ctx)
    for done in delete_runs(workspace, runs, forever=forever):
        what = f"{shown(done.name)} ({done.id}), {size(done.size_bytes)}"
        if forever:
            say(f"Erased {what}.")
        else:
            say(f"Moved to the trash: {what}. Bring it back: {workspace.command('runs', 'restore', done.id)}")


@app.command("restore")
def restore(ctx: typer.Context, runs: DeletedRefs) -> None:
    """Bring runs back from the trash."""
    from vitscope.workflows.trash import restore_runs

    workspace = open_workspace(ctx)
    for done in restore_runs(workspace, runs):
        say(f"Restored {shown(done.name)} ({done.id}), {size(done.size_bytes)}.")


@app.command("compare")
def compare(
    ctx: typer.Context,
    runs: Refs,
    figure: Annotated[
        str | None, typer.Option("--figure", help="Draw their curves over each other there (PNG, SVG, PDF).")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Results, options, data, time and environment side by side, and whether the numbers can be compared."""
    from vitscope.workflows.compare import compare_runs

    workspace = open_workspace(ctx)
    if figure is not None:
        from vitscope.visualization.style import check_format

        check_format(figure)
    facts = compare_runs(workspace, runs)
    if as_json:
        print_json(facts)
    else:
        from vitscope.cli.comparison import print_comparison

        print_comparison(facts)
    if figure is not None:
        from vitscope.workflows.plot import plot

        plotted = plot([run["id"] for run in facts["runs"]], workspace, output=figure)
        for notice in plotted.notices:
            warn(notice)
        if not as_json:
            say(f"\nDrawn: {plotted.file}")


@app.command("export")
def export(
    ctx: typer.Context,
    run: Ref,
    output: Annotated[
        str | None,
        typer.Option("-o", "--output", help="File or folder; none: NAME-ID.vitscope.tar in this folder."),
    ] = None,
) -> None:
    """One archive of a run, with all files and numbers, that 'import' takes on another machine; pictures stay here."""
    from vitscope.workflows.run_export import export_run

    workspace = open_workspace(ctx)
    with _bytes("exporting", settings(ctx).verbosity >= 0) as progress:
        done = export_run(workspace, run, output, progress)
    what = f"{count(done.files, 'file')}, {size(done.size_bytes)}"
    say(f"Exported {shown(done.name)} ({done.id}) to {shown(done.file)}: {what}.")
    if done.pictures is not None:
        say(f"Not in it: the pictures ({done.pictures:,}). Its manifest names them.")
    if done.left_out:
        warn(f"Not in it either: {count(len(done.left_out), 'link')} in the run's folder ({some(done.left_out)}).")
    say(f"On the other machine: vitscope runs import {shlex.quote(shown(done.file.name))}")


@app.command("import")
def import_(
    ctx: typer.Context,
    file: Annotated[str, typer.Argument(help="An archive that 'export' wrote.", show_default=False)],
) -> None:
    """Take in a run that 'export' wrote, here or elsewhere: every sum is checked first, then all of it or nothing."""
    from vitscope.workflows.run_import import import_run

    workspace = open_workspace(ctx)
    with _bytes("importing", settings(ctx).verbosity >= 0) as progress:
        done = import_run(workspace, file, progress)
    what = f"{shown(done.name)} ({done.id})"
    say(
        f"Imported {what}, {size(done.size_bytes)}."
        if done.is_new
        else f"{what} is here already, just as it is in the archive."
    )
    for notice in done.notices:
        warn(notice)
    if done.is_new:
        say(f"See it: {workspace.command('runs', 'show', done.id)}")


# ---------------------------------------------------------------------------------------------- the parts


@contextmanager
def _bytes(what: str, is_wanted: bool) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error where that is a terminal."""
    if not (is_wanted and error_console().is_terminal):
        yield lambda done, total: None
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(what), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=error_console(), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _line(run: dict[str, Any]) -> tuple[str, ...]:
    progress = "" if run["progress"] is None else f"{run['progress']:.0%}"
    accuracies = (_percent(run["best_val_top1"]), _percent(run["test_top1"]))
    data = PurePosixPath(run["source"]).name or run["source"]
    return run["status"], run["name"], run["id"], data, run["model"], progress, *accuracies, _age(run["created_at"])


def _facts(run: dict[str, Any]) -> None:
    step = f"step {run['step']:,}"
    if run["total_steps"]:
        step += f" of {run['total_steps']:,} ({run['progress']:.0%}), {run['epochs']:,} epochs planned"
    begun = f"{datetime.fromisoformat(run['created_at']).astimezone():%Y-%m-%d %H:%M}"
    facts = {
        "run": f"{run['name']}  ({run['id']})",
        "status": run["status"] + (f": {run['message']}" if run["message"] else ""),
        "data": run["source"],
        "model": run["model"],
        "progress": step,
        "best": f"validation top-1 {_percent(run['best_val_top1'])}" if run["best_val_top1"] is not None else "",
        "test": f"top-1 {_percent(run['test_top1'])} (of the best model)" if run["test_top1"] is not None else "",
        "begun": f"{begun}, {_age(run['created_at'])} ago",
        "attempts": ", ".join(f"{a['attempt']} from step {a['from_step']:,}" for a in run["attempts"][-5:]),
        "parent": run["parent"] or "",
        "folder": run["folder"],
    }
    for name, value in facts.items():
        if value:
            say(f"{name:9} {shown(value)}")


def _checkpoint(checkpoint: dict[str, Any]) -> tuple[str, str, str]:
    marks = [mark for mark in ("best", "last") if checkpoint[f"is_{mark}"]]
    return checkpoint["name"], size(checkpoint["size_bytes"]), ", ".join(marks)


def _files(files: Sequence[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """A line a file at the top; a folder as one line, whatever it holds."""
    folders: dict[str, list[int]] = {}
    for file in files:
        first, slash, _ = file["path"].partition("/")
        folders.setdefault(first + slash, []).append(file["size_bytes"])
    return [
        (name, size(sum(sizes)), f"{len(sizes):,} file{'s' if len(sizes) > 1 else ''}" if name.endswith("/") else "")
        for name, sizes in folders.items()
    ]


def _section(title: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    say(f"\n{title}")
    _print(header, list(rows))


def _print(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    print_table(
        header,
        rows,
        numbers=[i for i, name in enumerate(header) if name in NUMBERS],
        free=[i for i, name in enumerate(header) if name in FREE_TEXT],
        styles=STATUS_STYLES,
    )


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.2%}"


def _number(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.6g}"


def _age(iso: str) -> str:
    """How long ago, in one unit; a clock that has gone back makes it zero."""
    seconds = max(0.0, (datetime.now(UTC) - datetime.fromisoformat(iso)).total_seconds())
    for span, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= span:
            return f"{seconds / span:.0f} {unit}"
    return f"{seconds:.0f} s"
