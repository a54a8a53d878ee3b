"""`vitscope evaluate`: how good a model is, as text, JSON and a figure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from vitscope.cli import completion
from vitscope.cli.console import error_console, open_workspace, print_json, say, settings, warn
from vitscope.cli.table import print_table

if TYPE_CHECKING:
    from vitscope.analysis.evaluation import Evaluation

MOST_CLASSES = 10  # up to which the confusion matrix fits a terminal; beyond, the commonest mistakes are told


def command(
    ctx: typer.Context,
    model: Annotated[
        str,
        typer.Argument(
            help="A run, or the path of a checkpoint or an export.", show_default=False, autocompletion=completion.runs
        ),
    ],
    data: Annotated[
        str | None,
        typer.Option(
            "--data", help="A source of labelled images; else the run's own.", autocompletion=completion.sources
        ),
    ] = None,
    split: Annotated[str, typer.Option("--split", help="train, val or test.")] = "test",
    output: Annotated[
        str | None,
        typer.Option("-o", "--output", help="Draw the confusion matrix there (PNG, SVG, PDF)."),
    ] = None,
    tta: Annotated[
        Literal["none", "flip"],
        typer.Option("--tta", help="none, or flip: average the answers for each image and its mirror image."),
    ] = "none",
    json: Annotated[bool, typer.Option("--json", help="The whole report as an object.")] = False,
) -> None:
    """Report accuracy with its interval, per class and confusion."""
    from vitscope.text import shown
    from vitscope.workflows.evaluate import evaluate

    with _progress(settings(ctx).verbosity >= 0) as progress:
        result = evaluate(model, data, split, open_workspace(ctx), figure=output, progress=progress, tta=tta)
    for problem in result.problems:
        warn(f"{shown(problem.path)}: {problem.reason}. Left out.")
    for notice in result.notices:
        warn(notice)
    if json:
        print_json(result.to_dict())
    else:
        _report(result)


@contextmanager
def _progress(is_wanted: bool) -> Iterator[Callable[[int, int], None] | None]:
    """A bar on standard error where that is a terminal, shown once the work takes longer than a moment."""
    if not (is_wanted and error_console().is_terminal):
        yield None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("evaluating"), BarColumn(), MofNCompleteColumn(), TextColumn("images"), TimeRemainingColumn())
    with Progress(*columns, console=error_console(), transient=True) as bar:
        task = bar.add_task("")
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _report(result: Evaluation) -> None:
    low, high = result.top1_interval
    left_out = f", {result.skipped:,} left out" if result.skipped else ""
    mirrored = ", each averaged with its mirror image" if result.tta == "flip" else ""
    say(f"{result.split}: {result.count:,} images{left_out}{mirrored}")
    say(f"top-1 accuracy  {result.top1:.2%}  (95 % interval {low:.2%} to {high:.2%})")
    if result.top5 is not None:
        say(f"top-5 accuracy  {result.top5:.2%}")
    say(f"loss            {result.loss:.4f}\n")
    rows = [
        (one.label, f"{one.count:,}", f"{one.correct:,}", f"{one.precision:.3f}", f"{one.recall:.3f}", f"{one.f1:.3f}")
        for one in result.per_class
    ]
    print_table(("class", "images", "correct", "precision", "recall", "F1"), rows, numbers=range(1, 6))
    say("")
    if len(result.classes) <= MOST_CLASSES:
        matrix = zip(result.classes, result.confusion, strict=True)
        rows = [(name, *(f"{n:,}" if n else "·" for n in counts)) for name, counts in matrix]
        print_table(("true \\ predicted", *result.classes), rows, numbers=range(1, len(result.classes) + 1))
    else:
        from vitscope.analysis.evaluation import most_confused

        rows = [(a, b, f"{n:,}") for a, b, n in most_confused(result)]
        print_table(("true class", "taken for", "images"), rows, numbers=(2,), free=(0, 1))
