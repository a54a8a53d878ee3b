"""`vitscope predict`: classify images, one line an image."""

from __future__ import annotations

import os
import sys
import unicodedata
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from vitscope.cli import completion
from vitscope.cli.console import open_workspace, print_json, warn

if TYPE_CHECKING:
    from vitscope.workflows.predict import Prediction


def command(
    ctx: typer.Context,
    model: Annotated[
        str,
        typer.Argument(
            help="A run, or the path of a checkpoint or an export.", show_default=False, autocompletion=completion.runs
        ),
    ],
    images: Annotated[
        list[str],
        typer.Argument(help="Images and folders of images; '-' reads paths from standard input.", show_default=False),
    ],
    top: Annotated[
        int | None,
        typer.Option(min=1, help="Tell so many classes an image, best first (with --json: 5)."),
    ] = None,
    tta: Annotated[
        Literal["none", "flip"],
        typer.Option("--tta", help="none, or flip: average the answers for each image and its mirror image."),
    ] = "none",
    json: Annotated[
        bool, typer.Option("--json", help="A list of objects: path, label, probability, top, tta.")
    ] = False,
) -> None:
    """Print path, class and probability of each image, separated by tabs; further classes follow with --top."""
    from vitscope.data.sources.walk import LeftOut
    from vitscope.errors import WorkFailed
    from vitscope.text import shown
    from vitscope.workflows.load import open_predictor
    from vitscope.workflows.predict import collect, predictions

    left_out = LeftOut()
    found = collect([path for image in images for path in (_from_stdin() if image == "-" else [image])], left_out)
    for notice in left_out.notices():
        warn(notice)
    predictor = open_predictor(model, open_workspace(ctx), tta)
    good: list[Prediction] = []
    bad = 0
    for prediction in predictions(predictor, found, top or (5 if json else 1), tta):
        if prediction.problem is not None:
            bad += 1
            warn(f"{shown(prediction.path)}: {prediction.problem}.")
        elif json:
            good.append(prediction)
        else:
            typer.echo(_line(prediction))
    if json:
        print_json([prediction.to_dict() for prediction in good])
    if bad:
        raise WorkFailed(f"{bad:,} of {len(found):,} images could not be used: named above.")


def _from_stdin() -> list[str]:
    """Paths, one a line. Bytes, so that any file name of the system can be given."""
    return [os.fsdecode(line) for line in sys.stdin.buffer.read().splitlines() if line]


def _line(prediction: Prediction) -> bytes:
    """Bytes as well: a file's name goes out as it came in."""
    columns = [_one_line(prediction.path or "")]
    for candidate in prediction.top:
        columns += [_one_line(candidate.label), f"{candidate.probability:.3f}"]
    return "\t".join(columns).encode("utf-8", "surrogateescape")


def _one_line(text: str) -> str:
    """Tabs and line breaks in a name would break the table, other control codes steer a terminal: all escaped."""
    return "".join(c.encode("unicode_escape").decode() if unicodedata.category(c) == "Cc" else c for c in text)
