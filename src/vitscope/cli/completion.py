"""What a shell offers when Tab is pressed where a run, a data set or a recipe is expected.

Commands and options complete themselves. Values are looked up without torch, and nothing is said where that fails: a
person is in the middle of typing. Architectures (`--model`) are not offered: asking timm for them takes seconds.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

import typer

from vitscope.errors import ViTScopeError

if TYPE_CHECKING:
    from vitscope.storage.runs import RunRow
    from vitscope.storage.workspace import Workspace

Offered = list[tuple[str, str]]  # a word, and a few words about it that some shells show

BUILTIN = ("digits", "shapes")
_PLAIN = re.compile(r"[\w.+@%=-]+")  # words that no shell reads as anything else


def runs(ctx: typer.Context, incomplete: str) -> Offered:
    """Names, and ids where a name cannot stand for its run or an id has been begun."""
    return _of_runs(ctx, incomplete, deleted=False)


def deleted_runs(ctx: typer.Context, incomplete: str) -> Offered:
    return _of_runs(ctx, incomplete, deleted=True)


def sources(ctx: typer.Context, incomplete: str) -> Offered:
    """Data sets with a name; for folders the shell completes paths where none of these fits."""
    offered = [(name, "comes with the program") for name in BUILTIN]
    with suppress(ViTScopeError, OSError):
        if (database := _workspace(ctx).existing_database) is not None:
            from vitscope.storage import datasets

            offered += [(row.name, f"{row.count:,} images") for row in datasets.list(database)]
    return _begun(offered, incomplete)


def recipes(incomplete: str) -> Offered:
    from vitscope.training.recipes import RECIPES

    return _begun(((name, "") for name in RECIPES), incomplete)


def _of_runs(ctx: typer.Context, incomplete: str, *, deleted: bool) -> Offered:
    rows: list[RunRow] = []
    with suppress(ViTScopeError, OSError):
        if (database := _workspace(ctx).existing_database) is not None:
            from vitscope.storage.runs import list_runs

            rows = list_runs(database, deleted=deleted)
    times = Counter(row.name for row in rows)
    offered = [("latest", "the newest run")] if rows and not deleted else []
    offered += [(row.name, _about(row)) for row in rows if times[row.name] == 1]
    offered += [(row.id, _about(row)) for row in rows if incomplete or not _is_name_enough(row, times)]
    return _begun(offered, incomplete)


def _is_name_enough(row: RunRow, times: Counter[str]) -> bool:
    return times[row.name] == 1 and _PLAIN.fullmatch(row.name) is not None


def _about(row: RunRow) -> str:
    """Without the name: it may hold what a shell or a table takes for its own."""
    return row.status if row.best is None else f"{row.status}, {row.best:.2%}"


def _begun(offered: Iterable[tuple[str, str]], incomplete: str) -> Offered:
    return [(word, about) for word, about in offered if word.startswith(incomplete) and _PLAIN.fullmatch(word)]


def _workspace(ctx: typer.Context) -> Workspace:
    """The one that the options typed so far name."""
    from vitscope.storage.workspace import Workspace

    typed = ctx.find_root().params
    return Workspace(typed.get("workspace"), typed.get("database"))
