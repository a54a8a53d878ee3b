"""`vitscope doctor`: what this machine has, what is missing and how to get it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import TYPE_CHECKING, Annotated

import typer

from vitscope.cli.console import console, open_workspace, print_json

if TYPE_CHECKING:
    from rich.text import Text

    from vitscope.workflows.doctor import Check

MARKS = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "broken": ("✗", "bold red")}
INDENT = 18
WIDEST = 100
HELD = "\N{NO-BREAK SPACE}"  # a name and its version stay on one line


def command(
    ctx: typer.Context,
    json: Annotated[
        bool,
        typer.Option(
            "--json", help='As JSON: {"sound", "checks": [{"group", "name", "status", "found", "meaning", "fix"}]}.'
        ),
    ] = False,
) -> None:
    """Check Python, packages, devices, compiler, workspace and extras. Exits 1 when something needed is broken."""
    from vitscope.workflows.doctor import examine, is_sound

    with console().status("Looking at this machine …"):
        checks = examine(open_workspace(ctx))
    sound = is_sound(checks)
    if json:
        print_json({"sound": sound, "checks": [check._asdict() for check in checks]})
    else:
        for line in report(checks):
            console().print(line, soft_wrap=True)
    if not sound:
        raise typer.Exit(1)


def report(checks: list[Check]) -> Iterator[Text]:
    """The checks as lines for people: packages that are as needed together in one, what is amiss with its way out."""
    from rich.text import Text

    for group, members in groupby(checks, key=lambda check: check.group):
        yield Text(group.capitalize(), style="bold")
        yield from _group(list(members))
        yield Text()
    counts = {status: sum(check.status == status for check in checks) for status in MARKS}
    if counts["broken"]:
        yield Text(f"{_things(counts['broken'])} must be put right before ViTScope works here.", style="bold red")
    elif counts["warning"]:
        yield Text(f"ViTScope works here; {_things(counts['warning'])} could be better.")
    else:
        yield Text("All is well.", style="green")


def _things(count: int) -> str:
    return "1 thing" if count == 1 else f"{count} things"


def _group(checks: list[Check]) -> Iterator[Text]:
    compact = [
        check for check in checks if check.group == "software" and check.status == "ok" and check.name != "python"
    ]
    for check in checks:
        if check not in compact:
            yield from _check(check)
    if compact:
        together = ", ".join(f"{check.name}{HELD}{check.found}" for check in compact)
        yield from _line("ok", "packages", together)


def _check(check: Check) -> Iterator[Text]:
    from rich.text import Text

    yield from _line(check.status, check.name, check.found)
    for line in _wrapped(check.meaning):
        yield Text(" " * INDENT + line, style="dim")
    if check.fix:
        yield Text(f"{' ' * INDENT}→ {check.fix}", style="cyan")


def _line(status: str, name: str, found: str) -> Iterable[Text]:
    from rich.text import Text

    mark, colour = MARKS[status]
    first, *rest = _wrapped(found) or [""]
    yield Text.assemble(("  " + mark, colour), " ", f"{name:<{INDENT - 4}}", first)
    for line in rest:
        yield Text(" " * INDENT + line)


def _wrapped(text: str) -> list[str]:
    import textwrap

    width = min(WIDEST, console().width) - INDENT
    lines = textwrap.wrap(text, max(30, width), break_long_words=False, break_on_hyphens=False)
    return [line.replace(HELD, " ") for line in lines]
