"""`vitscope resume`: go on exactly where a run stopped."""

from __future__ import annotations

from typing import Annotated

import typer

from vitscope.cli import completion
from vitscope.cli.console import open_workspace, process_start, say, settings


def command(
    ctx: typer.Context,
    run: Annotated[
        str, typer.Argument(help="Id, unique id prefix, name, or 'latest'.", autocompletion=completion.runs)
    ] = "latest",
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Train a finished run further, to so many epochs in all, as a child run.")
    ] = None,
    from_: Annotated[
        str | None,
        typer.Option("--from", help="A checkpoint to go back to, such as step-00000120; by default the last."),
    ] = None,
) -> None:
    """Go on from the last checkpoint; on a CPU of the same kind the end is an uninterrupted run's, bit for bit."""
    from vitscope.cli.progress import TrainingProgress
    from vitscope.cli.train import summarize
    from vitscope.workflows.resume import resume

    quiet = settings(ctx).verbosity < 0
    with TrainingProgress(quiet) as progress:
        done = resume(
            run,
            epochs=epochs,
            checkpoint=from_,
            workspace=open_workspace(ctx),
            observers=[progress],
            since=process_start(),
            started=lambda r: None if quiet else say(f"Run {r.name} ({r.id}) in {r.folder}"),
        )
    summarize(done)
