"""`vitscope plot`: static charts of runs."""

from __future__ import annotations

from typing import Annotated

import typer

from vitscope.cli.console import open_workspace, say, warn


def command(
    ctx: typer.Context,
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Ids, beginnings of ids, names, or 'latest'.")],
    figure: Annotated[str, typer.Option(help="What to draw: curves.")] = "curves",
    output: Annotated[
        str | None,
        typer.Option("-o", "--output", help="File ending in .png, .svg or .pdf; none: a PNG in this folder."),
    ] = None,
    x: Annotated[str, typer.Option("--x", help="Horizontal axis: step, epoch or time.")] = "step",
    log: Annotated[bool, typer.Option("--log", help="Logarithmic loss, learning rate and gradient norm.")] = False,
) -> None:
    """Loss, accuracy, learning rate, gradient norm and throughput of one or several runs in one figure."""
    from vitscope.workflows.plot import plot

    plotted = plot(runs, open_workspace(ctx), figure=figure, output=output, x=x, log=log)
    for notice in plotted.notices:
        warn(notice)
    say(f"Drawn: {plotted.file}")
