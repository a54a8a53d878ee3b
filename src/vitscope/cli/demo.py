"""`vitscope demo`: everything once, on the embedded digits."""

from __future__ import annotations

import os
import shutil
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vitscope.cli.browser import has_browser, open_page
from vitscope.cli.console import open_workspace, say, settings, warn

if TYPE_CHECKING:
    from vitscope.storage.workspace import Workspace
    from vitscope.workflows.demo import Demo
    from vitscope.workflows.run import Run


def command(
    ctx: typer.Context,
    exit_: Annotated[bool, typer.Option("--exit", help="End when the export is proven (for scripts).")] = False,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Open no browser; print the dashboard's address only.")
    ] = False,
) -> None:
    """Watch a small ViT learn the embedded digits, look inside, export it, prove the export, classify a picture."""
    from vitscope.cli import beside
    from vitscope.cli.progress import TrainingProgress, clock
    from vitscope.workflows.demo import demo

    workspace, chosen = open_workspace(ctx), settings(ctx)
    say("Training a small Vision Transformer from scratch on 1,797 handwritten digits (32×32 pixels).")
    began = time.monotonic()
    with beside.dashboard(chosen.workspace, chosen.database) as board:
        if isinstance(board, str):
            warn(f"No dashboard: {board}")

        def started(run: Run) -> None:
            say(f"Run {run.name} ({run.id}) in {_near(run.folder)}")
            if isinstance(board, beside.Board):
                watch = f"runs/{run.id}/curves?after=inside"  # when it has finished, the page goes on to Inside
                say(f"Watch it learn: {board.page(watch)}")
                if not no_browser and not exit_ and has_browser():
                    open_page(board.page(watch, once=True))

        with TrainingProgress(chosen.verbosity < 0) as progress:
            made = demo(workspace, observers=[progress], started=started)
        _report(made, clock(progress.seconds))
        say(f"All of it    in {clock(time.monotonic() - began)}")
        if exit_:
            return
        _suggest(made, workspace)
        if isinstance(board, beside.Board):
            say(f"\nLook inside it: {board.page(f'runs/{made.run.id}/inside')}\nCtrl-C ends the dashboard.")
            with suppress(KeyboardInterrupt):
                while True:
                    time.sleep(3600)


def _report(made: Demo, trained_in: str) -> None:
    low, high = made.evaluation.top1_interval
    interval = f"95 % interval {low:.1%} to {high:.1%}"
    say(f"\nTrained      in {trained_in}; test accuracy {made.evaluation.top1:.2%} ({interval})")
    for chart in made.charts:
        say(f"Chart        {_near(chart)}")
    for export in made.exports:
        found = export.report
        worst = max(found["measured"]["probability"], found["measured"]["probability_reference"])
        say(f"Export       {_near(export.path)}")
        say(f"  proven     on {found['images']} pictures: probabilities differ by {worst:.0e} at most")
        say(f"  proof      {_near(export.proof_path)}")
    p = made.prediction
    right = "right" if p.label == made.truth else f"wrong, it is a {made.truth}"
    say(f"Prediction   {_near(made.picture)} is a {p.label} with probability {p.probability:.3f} ({right})")


def _suggest(made: Demo, workspace: Workspace) -> None:
    run = made.run.id
    suggestions = {
        workspace.command("runs", "show", run): "what was recorded",
        workspace.command("evaluate", run): "accuracy, per class, confusion",
        workspace.command("plot", run, "-o", "curves.png"): "the curves for a paper",
        workspace.command("train", "FOLDER"): "your own pictures: a folder of class folders",
        workspace.command("ui"): "this dashboard again, with all runs",
        workspace.command("doctor"): "what this machine has and lacks",
    }
    width = max(map(len, suggestions))
    say("\nWhat to try next:")
    if shutil.which("vitscope") is None and (activate := Path(sys.prefix) / "bin" / "activate").is_file():
        say(f"  {'source ' + str(_near(activate)):{width}}  puts the command on your path")
    for line, meaning in suggestions.items():
        say(f"  {line:{width}}  {meaning}")


def _near(path: Path) -> Path:
    """Relative to where the person is, when it lies below."""
    here = Path.cwd()
    return Path(os.path.relpath(path, here)) if path.is_relative_to(here) else path
