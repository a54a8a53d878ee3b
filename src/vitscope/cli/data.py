"""`vitscope data`: import data sets, find what is wrong with them, see them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitscope.cli import completion
from vitscope.cli.console import console, open_workspace, print_json, say, warn
from vitscope.cli.table import print_table

if TYPE_CHECKING:
    from vitscope.storage.workspace import Workspace
    from vitscope.workflows.data import CheckReport, Description, Written

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True, add_completion=False)

AnySource = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="A folder with one folder a class, a table (CSV, TSV, Parquet), an archive (zip, tar), torchvision:NAME, "
        "hf:OWNER/NAME, 'digits', 'shapes' or an imported name.",
        autocompletion=completion.sources,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON, with stable keys.")]


@app.command("import")
def import_(
    ctx: typer.Context,
    source: AnySource,
    name: Annotated[str, typer.Option("--name", help="Name to use in place of the source from now on.")],
    replace: Annotated[bool, typer.Option("--replace", help="Take the place of an imported set of that name.")] = False,
) -> None:
    """Keep what a source holds under a name. The images stay where they are."""
    from vitscope.workflows import data

    workspace = open_workspace(ctx)
    row, notices = data.import_dataset(source, name, workspace, replace_existing=replace)
    _tell(notices)
    say(f"Imported '{row.name}': {row.count:,} images in {len(row.classes):,} classes.")
    say(f"Look for bad files: {workspace.command('data', 'check', row.name)}")
    say(f"Train on it: {workspace.command('train', row.name)}")


@app.command("check")
def check(
    ctx: typer.Context,
    source: AnySource,
    write: Annotated[
        Path | None,
        typer.Option(
            "--write",
            metavar="FILE",
            help="A new table (.csv, .tsv, .parquet) of the images without the bad ones, copies, and pictures in "
            "several classes. Train on it as on any source.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Decode every image and name the bad ones, one a line. Exit code 1 when something is wrong.

    What is found in an imported set is kept, and training leaves bad files out.
    """
    from vitscope.workflows import data

    workspace = open_workspace(ctx)
    with _progress(shown=console().is_terminal and not as_json) as progress:
        report = data.check(source, workspace, progress, write)
    if as_json:
        print_json(_check_json(report))
    else:
        _print_report(report)
        if report.written is not None:
            _print_written(report.written, workspace)
    if not report.is_clean:
        raise typer.Exit(1)


@app.command("list")
def list_(ctx: typer.Context, as_json: AsJson = False) -> None:
    """The imported data sets."""
    from vitscope.workflows import data

    workspace = open_workspace(ctx)
    rows = data.list_(workspace)
    if as_json:
        keys = ("name", "source", "count", "classes", "fingerprint", "created_at")
        print_json([{key: getattr(row, key) for key in keys} for row in rows])
    elif not rows:
        say(f"No data set is imported yet. {workspace.command('data', 'import', 'FOLDER', '--name', 'NAME')}")
    else:
        table = [(r.name, f"{r.count:,}", f"{len(r.classes):,}", _date(r.created_at), r.source) for r in rows]
        print_table(("name", "images", "classes", "imported", "source"), table, numbers=(1, 2), free=(0, 4))


@app.command("show")
def show(ctx: typer.Context, source: AnySource, as_json: AsJson = False) -> None:
    """How many images a data set holds, by class and split."""
    from vitscope.workflows import data

    description = data.show(source, open_workspace(ctx))
    if as_json:
        print_json(asdict(description))
    else:
        _print_description(description)


@app.command("cache")
def cache_(
    ctx: typer.Context,
    clear: Annotated[
        bool, typer.Option("--clear", help="Remove them all; they are made anew, or fetched again, when needed.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """The decoded training pictures, unpacked archives and fetched sets that the workspace keeps, and their sizes."""
    from vitscope.text import count, size, some
    from vitscope.workflows import picture_cache, unpacked

    workspace = open_workspace(ctx)
    if clear:
        decoded, (made, in_use) = picture_cache.clear(workspace), unpacked.clear(workspace)
        if in_use:
            warn(f"Runs that are being trained read {some(each.source for each in in_use)}: kept.")
    else:
        decoded, made = picture_cache.list_(workspace), unpacked.list_(workspace)
    found = [{"kind": "decoded", **each._asdict()} for each in decoded]
    for kind, folder, source, files, size_bytes, used_at in made:
        about = {"folder": folder, "source": source, "side": None, "slots": files}
        found.append({"kind": kind, **about, "bytes": size_bytes, "used_at": used_at})
    if as_json:
        print_json([{**each, "folder": str(each["folder"])} for each in found])
    elif not found:
        say("No decoded pictures, unpacked archives or fetched sets are kept.")
    elif clear:
        say(f"Removed {count(len(found), 'cache')}, {size(sum(each['bytes'] for each in found))}.")
    else:
        rows = [
            (
                each["source"],
                each["kind"],
                "" if each["side"] is None else f"{each['side']}",
                f"{each['slots']:,}",
                size(each["bytes"]),
                _date(each["used_at"]),
            )
            for each in found
        ]
        columns = ("source", "kind", "shorter side", "images", "on disk", "last used")
        print_table(columns, rows, numbers=(2, 3, 4), free=(0,))


def _tell(notices: Sequence[str]) -> None:
    for notice in notices:
        warn(notice)


@contextmanager
def _progress(shown: bool) -> Iterator[Callable[[int, int], None] | None]:
    """A bar on a terminal, nothing elsewhere."""
    if not shown:
        yield None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    with Progress(
        "Decoding", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console(), transient=True
    ) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


# ---------------------------------------------------------------------------------------------- what is printed

LISTED = 20  # groups of identical files named before the rest is left to --json


def _print_report(report: CheckReport) -> None:
    from vitscope.text import count, shown, some

    for bad in report.bad:
        say(f"{shown(bad.path)}: {shown(bad.reason)}")
    faults = {"in more than one split": report.leaks, "in more than one class": report.contradictions}
    for what, groups in faults.items():
        for group in groups[:LISTED]:
            files = ", ".join(
                f"{shown(f.path)} ({f.split + ' ' if f.split else ''}{shown(f.class_name)})" for f in group.files
            )
            say(f"The same picture {what}: {files}")
        if len(groups) > LISTED:
            say(f"… and {len(groups) - LISTED:,} more such pictures; --json names all.")
    if report.refusal:
        say(f"Training would refuse this: {report.refusal}")
    for notice in report.notices:
        say(notice)
    if copied := sum(len(group.files) - 1 for group in report.copies):
        text = f"{count(copied, 'copy', 'copies')} of {count(len(report.copies), 'picture')} in the data"
        say(f"{text} ({some(f.path for f in report.copies[0].files)}).")
    if report.animated:
        pictures = count(len(report.animated), "picture")
        say(f"{pictures} of several frames, of which the first is used ({some(report.animated)}).")
    if odd := [f"{o.path} {o.width} × {o.height}" for o in report.odd_sizes]:
        pictures = count(len(odd), "picture")
        say(f"{pictures} very small or very long ({some(odd)}).")
    say(f"{shown(report.name)}: {count(report.count, 'image')}{_splits(report.splits)}, {len(report.bad):,} bad.")


def _print_written(written: Written, workspace: Workspace) -> None:
    from vitscope.text import count, shown

    for path, reason in written.left_out[:LISTED]:
        say(f"Left out: {shown(path)}: {shown(reason)}")
    if len(written.left_out) > LISTED:
        say(f"… and {len(written.left_out) - LISTED:,} more files; --json names all.")
    say(
        f"{shown(written.file)}: {count(written.count, 'image')}, {len(written.left_out):,} left out. "
        f"Train on it: {workspace.command('train', str(written.file))}"
    )


def _check_json(report: CheckReport) -> dict[str, Any]:
    return {
        "name": report.name,
        "ok": report.is_clean,
        "count": report.count,
        "splits": report.splits,
        "bad": [asdict(bad) for bad in report.bad],
        "copies": [
            {
                "leak": group.is_leak,
                "contradiction": group.is_contradiction,
                "files": [{"path": f.path, "split": f.split, "class": f.class_name} for f in group.files],
            }
            for group in report.copies
        ],
        "animated": report.animated,
        "odd_sizes": [asdict(odd) for odd in report.odd_sizes],
        "refusal": report.refusal,
        "notices": report.notices,
        "written": None
        if report.written is None
        else {
            "file": str(report.written.file),
            "count": report.written.count,
            "left_out": [each._asdict() for each in report.written.left_out],
        },
    }


def _print_description(description: Description) -> None:
    from vitscope.text import count, shown

    _tell(description.notices)
    imported = f", imported {_date(description.imported_at)}" if description.imported_at is not None else ""
    say(f"{shown(description.name)}: {shown(description.source)}{imported}")
    classes = count(len(description.classes), "class", "classes")
    say(f"{count(description.count, 'image')} in {classes}{_splits(description.splits)}")
    if description.checked:
        say(f"{description.checked:,} checked, {description.bad:,} bad")
    splits = [name for name in description.splits if name]
    rows = [(c.name, f"{c.count:,}", *(f"{c.splits.get(s, 0):,}" for s in splits)) for c in description.classes]
    print_table(("class", "images", *splits), rows, numbers=range(1, len(splits) + 2))


def _splits(splits: dict[str, int]) -> str:
    named = ", ".join(f"{name} {number:,}" for name, number in splits.items() if name)
    return f" ({named})" if named else ""


def _date(unix_s: float) -> str:
    return f"{datetime.fromtimestamp(unix_s):%Y-%m-%d %H:%M}"
