"""`vitscope find`: a learning rate or a batch size for a run, by trying."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitscope.cli import completion
from vitscope.cli.console import open_workspace, print_json, say, settings, warn
from vitscope.cli.options import with_run_options
from vitscope.cli.table import print_table
from vitscope.config import put

if TYPE_CHECKING:
    from vitscope.training.lr_range import Point

app = typer.Typer(rich_markup_mode=None, add_completion=False, no_args_is_help=True)

SourceArgument = Annotated[
    str | None,
    typer.Argument(
        help="What the run would be trained on, as in 'vitscope train'.",
        show_default=False,
        autocompletion=completion.sources,
    ),
]
ConfigOption = Annotated[str | None, typer.Option("--config", help="A YAML run description; options win over it.")]
SetOption = Annotated[list[str] | None, typer.Option("--set", help="group.option=value; may be repeated.")]
JsonOption = Annotated[bool, typer.Option("--json", help="What was found, as an object.")]
ROWS = 20  # of the sweep that are told


@app.command("lr")
@with_run_options
def lr(
    ctx: typer.Context,
    source: SourceArgument = None,
    config: ConfigOption = None,
    set_: SetOption = None,
    low: Annotated[float, typer.Option("--from", help="The first learning rate.")] = 1e-6,
    high: Annotated[float, typer.Option("--to", help="The last learning rate.")] = 1.0,
    steps: Annotated[int, typer.Option("--steps", help="Most steps between them.")] = 100,
    output: Annotated[str | None, typer.Option("-o", "--output", help="Draw the chart there (PNG, SVG, PDF).")] = None,
    json: JsonOption = False,
    **flags: Any,
) -> None:
    """Learning rate range test: the rate grows until the loss diverges; a good one lies well before."""
    from vitscope.workflows.find import find_lr

    found = find_lr(
        _request(source, config, set_, flags), open_workspace(ctx), low=low, high=high, steps=steps, figure=output
    )
    for notice in found.notices:
        warn(notice)
    if json:
        print_json(found.to_dict())
        return
    if settings(ctx).verbosity >= 0:
        print_table(("learning rate", "loss"), _rows(found.points), numbers=range(2), free=())
    if found.diverged_at is not None:
        say(f"The loss diverged at {found.diverged_at:.2g}.")
    if found.suggestion is None:
        say(
            "The loss neither fell nor rose clearly: no rate can be suggested. Try other ends with --from and --to, "
            "or more --steps."
        )
    else:
        say(f"Suggested: --lr {found.suggestion.lr:.2g} ({found.suggestion.rule}).")


@app.command("batch-size")
@with_run_options
def batch_size(
    ctx: typer.Context,
    source: SourceArgument = None,
    config: ConfigOption = None,
    set_: SetOption = None,
    seconds: Annotated[float, typer.Option("--seconds", help="After so long no larger batch is tried.")] = 120.0,
    json: JsonOption = False,
    **flags: Any,
) -> None:
    """The most images at a time that fit in --memory or the device's, and how fast each number of them is."""
    from vitscope.text import size
    from vitscope.workflows.find import find_batch_size

    found = find_batch_size(_request(source, config, set_, flags), open_workspace(ctx), seconds=seconds)
    for notice in found.notices:
        warn(notice)
    if json:
        print_json(found.to_dict())
        return
    rows = [
        (f"{t.images:,}", f"{t.images_per_s:,.1f}" if t.images_per_s else "does not fit", size(t.memory_bytes))
        for t in found.trials
    ]
    print_table(("images at a time", "images/s", "memory"), rows, numbers=range(3), free=())
    say(f"Largest: {found.largest:,} images at a time (limited by: {found.limit}).")
    say(f"From {found.fastest:,} on, more at a time is hardly faster.")


def _request(source: str | None, file: str | None, set_: list[str] | None, flags: dict[str, Any]) -> dict[str, Any]:
    from vitscope.workflows.train import request

    named: dict[str, Any] = {}
    for path, value in flags.items():
        put(named, path, value)
    return request(source, file, set_ or (), named)


def _rows(points: list[Point]) -> list[tuple[str, str]]:
    every = max(1, -(-len(points) // ROWS))
    groups = [points[i : i + every] for i in range(0, len(points), every)]
    return [(f"{group[0].lr:.2e}", f"{sum(p.loss for p in group) / len(group):.4f}") for group in groups]
