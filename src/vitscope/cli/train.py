"""`vitscope train`: train a Vision Transformer on a source of pictures."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from vitscope.cli import completion
from vitscope.cli.console import open_workspace, process_start, say, settings
from vitscope.cli.options import with_run_options
from vitscope.config import merge, put


@with_run_options
def command(
    ctx: typer.Context,
    source: Annotated[
        str | None,
        typer.Argument(
            help="A folder of class folders, a table (CSV, TSV, Parquet), an archive (zip, tar), torchvision:NAME, "
            "hf:OWNER/NAME, 'digits', 'shapes' or the name of an imported data set.",
            show_default=False,
            autocompletion=completion.sources,
        ),
    ] = None,
    config: Annotated[str | None, typer.Option("--config", help="A YAML run description; options win over it.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="group.option=value, for every option; may be repeated.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done and what it costs; train nothing.")
    ] = False,
    **flags: Any,
) -> None:
    """Train; every option of the run description is reachable by --set, the common ones have their own flag."""
    named: dict[str, Any] = {}
    for path, value in flags.items():
        put(named, path, value)
    workspace = open_workspace(ctx)
    if dry_run:
        from vitscope.cli.dry_run import lines
        from vitscope.workflows.estimate import estimate
        from vitscope.workflows.train import request

        for text in lines(estimate(request(source, config, set_ or (), named), workspace), workspace):
            say(text)
        return

    from vitscope.cli.progress import TrainingProgress
    from vitscope.workflows.run import Run
    from vitscope.workflows.train import train

    quiet = settings(ctx).verbosity < 0

    def started(run: Run) -> None:
        if not quiet:
            say(f"Run {run.name} ({run.id}) in {run.folder}")

    with TrainingProgress(quiet) as progress:
        run = train(
            source,
            config_file=config,
            workspace=workspace,
            assignments=set_ or (),
            observers=[progress],
            started=started,
            since=process_start(),
            **merge(named),
        )
    summarize(run)


def summarize(run: Any) -> None:
    """What a finished run is worth, and what to do with it."""
    from vitscope.storage import runs

    row = runs.get_run(run.workspace.database, run.id)
    scores = [
        f"{name} {value:.2%}" for name, value in (("validation", row.best), ("test", row.test)) if value is not None
    ]
    say(f"Finished {row.name} ({row.id}), best model: {', '.join(scores) or 'the last one'}.")
    command = run.workspace.command
    say(f"Next: {command('evaluate', row.id)} · {command('predict', row.id, 'IMAGE')} · {command('export', row.id)}")
