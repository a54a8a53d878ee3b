"""`vitscope config`: the run description."""

from __future__ import annotations

from typing import Annotated

import typer

from vitscope.cli.console import print_json, say
from vitscope.cli.options import with_run_options

app = typer.Typer(rich_markup_mode=None, add_completion=False, no_args_is_help=True)

SetOption = Annotated[list[str] | None, typer.Option("--set", help="group.option=value; may be repeated.")]


@app.command()
def schema() -> None:
    """The JSON Schema of the run description."""
    from vitscope import config

    print_json(config.schema())


@app.command()
def validate(file: Annotated[str, typer.Argument(help="A YAML run description.")]) -> None:
    """Check a file: types, bounds, unknown options, and the names of recipe, model, optimizer and schedule."""
    from vitscope import config
    from vitscope.workflows.recipe import with_recipe

    with_recipe(config.read_file(file))
    say(f"{file}: valid.")


@app.command()
@with_run_options
def show(
    file: Annotated[
        str | None, typer.Argument(help="A YAML run description; none: the defaults.", show_default=False)
    ] = None,
    set_: SetOption = None,
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    **flags: object,
) -> None:
    """What a description resolves to: defaults < recipe < file < flags < --set."""
    from vitscope.config import merge, put
    from vitscope.workflows.recipe import with_recipe
    from vitscope.workflows.train import request

    named: dict[str, object] = {}
    for path, value in flags.items():
        put(named, path, value)
    resolved = with_recipe(request(None, file, set_ or (), merge(named)))
    if json:
        print_json(resolved.model_dump(mode="json"))
    else:
        say(resolved.to_yaml().rstrip())
