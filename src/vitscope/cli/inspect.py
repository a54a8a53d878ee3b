"""`vitscope inspect`: the inside of a model as one page that opens from disk."""

from __future__ import annotations

from typing import Annotated

import typer

from vitscope.cli import completion
from vitscope.cli.console import open_workspace, say, settings, warn


def command(
    ctx: typer.Context,
    model: Annotated[
        str,
        typer.Argument(
            help="A run, or the path of a checkpoint or an export.", show_default=False, autocompletion=completion.runs
        ),
    ],
    output: Annotated[str, typer.Option("-o", "--output", help="The HTML file to write.", show_default=False)],
    image: Annotated[
        str | None, typer.Option("--image", help="Image for the attention maps; else one of the run's own.")
    ] = None,
    layers: Annotated[
        bool, typer.Option("--layers", help="Every single weight, not pictures of the matrices: a large file.")
    ] = False,
) -> None:
    """Write structure, fully connected layers and attention into one HTML file that needs no network."""
    from vitscope.dashboard.pages import OFFLINE, STATIC
    from vitscope.text import size
    from vitscope.workflows.inside_page import write_page

    if settings(ctx).verbosity >= 0:
        warn(f"Looking into {model} …")  # opening a model takes seconds; the file's name alone is the result
    place = open_workspace(ctx)
    written = write_page(model, image, output, template=STATIC / OFFLINE, layers=layers, workspace=place)
    if settings(ctx).verbosity >= 0:
        for notice in written.notices:
            for line in notice.split("\n"):
                warn(line)
    say(f"{written.path} ({size(written.path.stat().st_size)})")
