"""What every command shares: the global options, the workspace they lead to, and where text is printed."""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import typer

from vitscope.text import shown

if TYPE_CHECKING:
    from rich.console import Console

    from vitscope.storage.workspace import Workspace


@dataclass(frozen=True)
class Globals:
    """The options before the command. `verbosity`: -1 quiet, 0, 1 verbose."""

    workspace: str | None = None
    database: str | None = None
    verbosity: int = 0


def settings(ctx: typer.Context) -> Globals:
    return ctx.obj if isinstance(ctx.obj, Globals) else Globals()


def open_workspace(ctx: typer.Context) -> Workspace:
    """The workspace that the global options name."""
    from vitscope.storage.workspace import Workspace

    chosen = settings(ctx)
    return Workspace(chosen.workspace, chosen.database)


def process_start() -> float:
    """When this process began, as `time.monotonic()` counts: imports are part of a time budget too."""
    import psutil

    return time.monotonic() - (time.time() - psutil.Process().create_time())


@cache
def console() -> Console:
    """Standard output; plain when it is not a terminal, `NO_COLOR` honoured."""
    return _console(stderr=False)


@cache
def error_console() -> Console:
    """Standard error."""
    return _console(stderr=True)


def _console(stderr: bool) -> Console:
    from rich.console import Console

    class Patient(Console):
        """Goes on in silence when its reader leaves (`train | head`), where rich would end the process."""

        def on_broken_pipe(self) -> None:
            self.quiet = True
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2 if stderr else 1)

    return Patient(stderr=stderr, highlight=False, emoji=False)


def say(text: str) -> None:
    """A line for a person on standard output; never wrapped, no markup or :emoji: in it means anything."""
    from rich.text import Text

    console().print(Text(_harmless(text)), soft_wrap=True)


def warn(text: str) -> None:
    """A line for a person on standard error."""
    from rich.text import Text

    error_console().print(Text(_harmless(text), style="yellow"), soft_wrap=True)


def _harmless(text: str) -> str:
    return "\n".join(shown(line) for line in text.split("\n"))


def print_json(value: Any) -> None:
    """`value` as JSON on standard output, and nothing else there."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
