"""`vitscope models`: architectures to choose from."""

from __future__ import annotations

from typing import Annotated

import typer

from vitscope.cli.console import print_json, say

app = typer.Typer(rich_markup_mode=None, add_completion=False, no_args_is_help=True)


@app.callback()
def models() -> None:
    """Architectures to choose from."""


@app.command()
def available(
    family: Annotated[str | None, typer.Option(help="vit, deit, deit3, beit, eva or dinov2.")] = None,
    pretrained: Annotated[
        bool, typer.Option("--pretrained", help="Only those with published weights, each with its tag.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help='As JSON: [{"name", "family", "pretrained"}].')] = False,
) -> None:
    """Names for --model."""
    from vitscope.models.create import listing

    rows = [row for row in listing(family) if row.pretrained or not pretrained]
    if json:
        print_json([row._asdict() for row in rows])
        return
    for row in rows:
        say("\n".join(row.pretrained) if pretrained else row.name)
