"""Tables: with rules and colours, fitted to its width, on a terminal; elsewhere plain aligned lines, never cut."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from vitscope.cli.console import console, say
from vitscope.text import shown

NARROWEST = 8  # characters to which free text may be cut on a narrow terminal


def print_table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    numbers: Collection[int],
    free: Collection[int] = (0,),
    styles: Mapping[str, str] | None = None,
) -> None:
    """Columns of text. `numbers` are set to the right, `free` ones may be cut where a terminal is narrow.

    `styles` colours the cells of the first column by their text.
    """
    from rich.cells import cell_len

    lines = [[shown(cell) for cell in row] for row in (header, *rows)]
    widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
    if console().is_terminal:
        _print_ruled(lines[0], lines[1:], widths, numbers, free, styles or {})
        return
    for line in lines:
        cells = [
            " " * (width - cell_len(cell)) + cell if i in numbers else cell + " " * (width - cell_len(cell))
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        say("  ".join(cells).rstrip())


def _print_ruled(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    widths: Sequence[int],
    numbers: Collection[int],
    free: Collection[int],
    styles: Mapping[str, str],
) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for i, (name, width) in enumerate(zip(header, _fit(widths, free, console().width - 2 * len(widths)), strict=True)):
        justify = "right" if i in numbers else "left"
        table.add_column(Text(name), justify=justify, width=width, no_wrap=True, overflow="ellipsis")
    for row in rows:
        table.add_row(*(Text(cell, styles.get(cell, "") if i == 0 else "") for i, cell in enumerate(row)))
    console().print(table)


def _fit(widths: Sequence[int], free: Collection[int], room: int) -> list[int]:
    """Widths whose sum fits in `room` where that can be: the widest free column gives way first."""
    fitted = list(widths)
    while sum(fitted) > room and free and max(fitted[i] for i in free) > NARROWEST:
        fitted[max(free, key=lambda i: fitted[i])] -= 1
    return fitted
