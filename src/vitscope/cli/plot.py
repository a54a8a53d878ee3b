"""`vitscope plot`: static charts of runs, and of the inside of their models."""

from __future__ import annotations

from typing import Annotated

import typer

from vitscope.cli import completion
from vitscope.cli.console import open_workspace, say, warn


def command(
    ctx: typer.Context,
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN...", help="Ids, beginnings of ids, names, or 'latest'.", autocompletion=completion.runs
        ),
    ],
    figure: Annotated[
        str, typer.Option(help="What to draw: curves, attention, filters, weights or distances.")
    ] = "curves",
    output: Annotated[
        str | None,
        typer.Option("-o", "--output", help="File ending in .png, .svg or .pdf; none: a PNG in this folder."),
    ] = None,
    x: Annotated[str, typer.Option("--x", help="Horizontal axis: step, epoch or time.")] = "step",
    log: Annotated[bool, typer.Option("--log", help="Logarithmic loss, learning rate and gradient norm.")] = False,
    image: Annotated[str | None, typer.Option("--image", help="Attention on this picture; none: a run's own.")] = None,
    layer: Annotated[int | None, typer.Option("--layer", help="Attention of this layer alone, from 0.")] = None,
    head: Annotated[int | None, typer.Option("--head", help="Attention of this head alone, from 0.")] = None,
) -> None:
    """Loss, accuracy, learning rate, gradient norm and throughput of one or several runs in one figure.

    Other figures look inside the best model of one run: attention on a picture, the filters of the patch embedding,
    the weights of the fully connected layers, and how far each head looks (distances).
    """
    from vitscope.workflows.plot import plot

    plotted = plot(
        runs, open_workspace(ctx), figure=figure, output=output, x=x, log=log, image=image, layer=layer, head=head
    )
    for notice in plotted.notices:
        warn(notice)
    say(f"Drawn: {plotted.file}")
