"""`vitscope export`: a model in other formats, each with a proof of parity."""

from __future__ import annotations

from typing import Annotated

import typer

from vitscope.cli import completion
from vitscope.cli.console import open_workspace, say, settings


def command(
    ctx: typer.Context,
    model: Annotated[
        str,
        typer.Argument(help="A run, or the path of a checkpoint.", show_default=False, autocompletion=completion.runs),
    ],
    to: Annotated[
        str, typer.Option("--to", help="Formats, separated by commas: onnx, safetensors.")
    ] = "onnx,safetensors",
    output: Annotated[
        str | None,
        typer.Option("-o", "--output", help="Folder to write to; else the run's exports/."),
    ] = None,
    data: Annotated[str | None, typer.Option("--data", help="Images for the proof; else the run's own.")] = None,
) -> None:
    """Write the model in each format, and prove on real images that the export answers as the model does."""
    from vitscope.workflows.export import export

    quiet = settings(ctx).verbosity < 0
    results = export(model, to, output, data, open_workspace(ctx), tell=lambda text: None if quiet else say(text))
    for result in results:
        report = result.report
        say(str(result.path))
        say(
            f"  the same as the model on {report['images']} images and {report['probes']} probes: probabilities to "
            f"{report['measured']['probability']:.1g}, pixels to {report['measured']['pixels']:.1g} of their range "
            f"(proof: {result.proof_path.name})"
        )
