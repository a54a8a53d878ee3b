"""`vitscope models`: architectures to choose from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from vitscope.cli.console import print_json, say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vitscope.workflows.models import Abilities

app = typer.Typer(rich_markup_mode=None, add_completion=False, no_args_is_help=True)


@app.callback()
def models() -> None:
    """Architectures to choose from."""


@app.command()
def families(
    json: Annotated[bool, typer.Option("--json", help='As JSON: [{"name", "models", "about"}].')] = False,
) -> None:
    """The families of models, and what is their own."""
    from vitscope.cli.table import print_table
    from vitscope.workflows.models import families

    rows = families()
    if json:
        print_json([row._asdict() for row in rows])
        return
    print_table(
        ("family", "models", "about"), [(r.name, str(r.models), r.about) for r in rows], numbers=(1,), free=(2,)
    )


@app.command()
def available(
    family: Annotated[str | None, typer.Option(help="One that 'vitscope models families' lists.")] = None,
    pretrained: Annotated[
        bool, typer.Option("--pretrained", help="Only those with published weights, each with its tag.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help='As JSON: [{"name", "family", "pretrained"}].')] = False,
) -> None:
    """Names for --model."""
    from vitscope.models.families import listing

    rows = [row for row in listing(family) if row.pretrained or not pretrained]
    if json:
        print_json([row._asdict() for row in rows])
        return
    for row in rows:
        say("\n".join(row.pretrained) if pretrained else row.name)


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A name for --model.", show_default=False)],
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """What a model can do, and what it cannot: image sizes, options, whether its attention can be seen."""
    from vitscope.workflows.models import show

    found = show(name)
    if json:
        print_json(found._asdict())
        return
    for title, text in _lines(found):
        say(f"{title:<13}{text}")


def _lines(a: Abilities) -> Iterator[tuple[str, str]]:
    yield "Model", f"{a.name}: {a.parameters:,} parameters"
    yield "Family", f"{a.family}: {a.about}"
    sizes = ", ".join(str(s) for s in a.image_sizes)
    yield "Image size", f"{a.image_size} by itself; of the usual ones it works on {sizes}"
    yield "Drop path", "yes" if a.takes_drop_path else "no: --drop-path is refused"
    if not a.takes_dropout:
        yield "Dropout", "no: model.dropout is refused"
    yield "Layers", f"{a.layers} for --layer-decay and --frozen, the embedding and the head among them"
    if a.has_batch_norm:
        yield "Batch norm", "yes: no batch of 1, and --accumulation is not quite the whole batch"
    if a.reads is not None:
        yield "Reads", f"its classifier reads the {a.reads}"
    yield "Attention", a.attention if a.attention != "none" else f"cannot be shown. {a.attention_reason}"
    yield "Weights", ", ".join(a.pretrained) or "none published"
