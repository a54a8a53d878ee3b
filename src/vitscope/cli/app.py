"""`vitscope`: the table of commands, the global options, and how errors become text and exit codes.

A command's module is imported only when the command is called, so that `--help` stays instant.
"""

from __future__ import annotations

import errno
import os
import sys
from importlib import import_module
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

from vitscope.cli.console import Globals
from vitscope.errors import Interrupted, ViTScopeError, unknown
from vitscope.text import shown


class Entry(NamedTuple):
    """A command: the module in `vitscope.cli` that holds `app` (a group) or `command` (a function), and its help."""

    module: str
    help: str


COMMANDS: dict[str, Entry] = {
    "demo": Entry("demo", "Train a small ViT on the embedded digits, export it and prove the export."),
    "data": Entry("data", "Import data sets, find what is wrong with them, see them."),
    "train": Entry("train", "Train a Vision Transformer on your own images."),
    "find": Entry("find", "Find a learning rate or a batch size for a run, by trying."),
    "resume": Entry("resume", "Go on exactly where a run stopped."),
    "config": Entry("config", "The run description: its schema, check a file, show what it resolves to."),
    "runs": Entry("runs", "The runs of this workspace."),
    "ui": Entry("ui", "The dashboard: watch runs live, look inside models, start runs."),
    "plot": Entry("plot", "Static charts of runs (PNG, SVG, PDF)."),
    "evaluate": Entry("evaluate", "Accuracy with its interval, per class, confusion."),
    "predict": Entry("predict", "Classify images, one line an image."),
    "inspect": Entry("inspect", "The inside of a model as one page: structure, layers, attention."),
    "export": Entry("export", "Export a model, each export with a proof of parity."),
    "models": Entry("models", "Architectures to choose from."),
    "doctor": Entry("doctor", "What this machine has, what is missing and how to get it."),
}


class LazyGroup(TyperGroup):
    """Lists the commands of the table without importing them; imports the one that is called."""

    def make_context(self, info_name: Any, args: list[str], parent: Any = None, **extra: Any) -> Any:
        return super().make_context(info_name, globals_first(args), parent, **extra)

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        if cmd_name not in self.commands:
            self.commands[cmd_name] = TyperCommand(name=cmd_name, help=COMMANDS[cmd_name].help)
        return self.commands[cmd_name]

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] in COMMANDS:
            self.commands[args[0]] = load(args[0])
        elif args and not ctx.resilient_parsing:  # else a shell asks how it might go on
            raise unknown("command", args[0], COMMANDS, "See 'vitscope --help'.")
        return super().resolve_command(ctx, args)


def load(name: str) -> Any:
    """The real command behind a name of the table."""
    module = import_module(f"vitscope.cli.{COMMANDS[name].module}")
    if hasattr(module, "app"):
        group = module.app
    else:
        group = typer.Typer(rich_markup_mode=None, add_completion=False)
        group.command(name, help=COMMANDS[name].help)(module.command)
    loaded = typer.main.get_command(group)
    loaded.name = name
    loaded.help = COMMANDS[name].help
    return loaded


app = typer.Typer(
    cls=LazyGroup,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from vitscope._version import __version__

        print(f"vitscope {__version__}")
        raise typer.Exit


@app.callback()
def globals_(
    ctx: typer.Context,
    workspace: Annotated[
        str | None,
        typer.Option(help="Folder of runs and data sets; else $VITSCOPE_WORKSPACE, else ./vitscope-workspace."),
    ] = None,
    database: Annotated[
        str | None,
        typer.Option(envvar="VITSCOPE_DATABASE", help="Database URL (PostgreSQL); else SQLite in the workspace."),
    ] = None,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Only results, warnings and errors.")] = False,
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", help="Say more; show tracebacks of unexpected errors.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Train Vision Transformer classifiers on your own images, see inside, prove their exports."""
    ctx.obj = Globals(workspace, database, 1 if verbose else -1 if quiet else 0)


def _tell(paragraph: str) -> None:
    """To standard error, line by line; names in it have no power over the terminal."""
    for line in paragraph.split("\n"):
        print(shown(line), file=sys.stderr)


def globals_first(arguments: list[str]) -> list[str]:
    """The same with --workspace and --database before the command, wherever they were typed."""
    found: list[str] = []
    rest = list(arguments)
    end = rest.index("--") if "--" in rest else len(rest)
    at = 0
    while at < end:
        name, equals, _ = rest[at].partition("=")
        taken = 1 if equals else 2
        if name in ("--workspace", "--database") and at + taken <= end:
            found += rest[at : at + taken]
            del rest[at : at + taken]
            end -= taken
        else:
            at += 1
    return found + rest


def main(args: list[str] | None = None) -> None:
    """The console script. Exits 0 done, 1 the work failed, 2 the request was wrong, 130 Ctrl-C, 143 SIGTERM."""
    try:
        app(args=sys.argv[1:] if args is None else args, prog_name="vitscope")
    except Interrupted as error:
        _tell(str(error))
        sys.exit(error.exit_code)
    except ViTScopeError as error:
        _tell(f"Error: {error}")
        sys.exit(error.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader left (| head): no traceback at exit
        sys.exit(1)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        _tell(f"Error: {error.filename or 'the output'}: no space left on the device. Make room and try again.")
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
