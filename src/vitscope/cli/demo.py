"""`vitscope demo`: everything once, on the embedded digits."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from vitscope.cli.console import open_workspace, say, settings


def command(
    ctx: typer.Context,
    exit_: Annotated[bool, typer.Option("--exit", help="End when the export is proven (for scripts).")] = False,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Open no browser.")] = False,
) -> None:
    """Train a small ViT on the embedded digits, draw its charts, export it, prove the export, classify a picture."""
    from vitscope.cli.progress import TrainingProgress, clock
    from vitscope.workflows.demo import demo

    say("Training a small Vision Transformer from scratch on 1,797 handwritten digits (32×32 pixels).")
    began = time.monotonic()
    with TrainingProgress(settings(ctx).verbosity < 0) as progress:
        made = demo(
            open_workspace(ctx),
            observers=[progress],
            started=lambda run: say(f"Run {run.name} ({run.id}) in {run.folder}"),
        )
    low, high = made.evaluation.top1_interval
    say("")
    interval = f"95 % interval {low:.1%} to {high:.1%}"
    say(f"Trained      in {clock(progress.seconds)}; test accuracy {made.evaluation.top1:.2%} ({interval})")
    for chart in made.charts:
        say(f"Chart        {chart}")
    for export in made.exports:
        say(f"Export       {export.path}")
        found = export.report
        worst = max(found["measured"]["probability"], found["measured"]["probability_reference"])
        compared = f"{found['images']} pictures, largest difference of probability {worst:.1e}"
        say(f"  proof      {export.proof_path}: {'passed' if export.passed else 'FAILED'}, {compared}")
    p = made.prediction
    say(f"Prediction   {p.path}: '{p.label}' with probability {p.probability:.3f}; it is a '{made.truth}'")
    say(f"All of it    in {clock(time.monotonic() - began)}")
    say("")
    run = made.run.id
    say("What to try next:")
    for line in (
        f"vitscope runs show {run}                      what was recorded",
        f"vitscope evaluate {run}                       accuracy, per class, confusion",
        f"vitscope plot {run} -o curves.png             the curves for a paper",
        "vitscope train FOLDER                           your own pictures: a folder of class folders",
        "vitscope doctor                                 what this machine has and lacks",
    ):
        say(f"  {line}")
