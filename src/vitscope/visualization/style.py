"""One look for every figure: colours, lines, type, grid, and how a figure becomes a file.

Figures are made through matplotlib's objects, never through pyplot, and everything is set on the artists: nothing
global is changed, so that a figure can be drawn in a thread while a person's own plots stay theirs.
"""

from __future__ import annotations

import io
import unicodedata
import warnings
from pathlib import Path
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from vitscope.errors import RequestError, WorkFailed
from vitscope.storage.artifacts import write_atomically
from vitscope.visualization import fonts

# Okabe and Ito's colours, told apart with any colour vision (jfly.uni-koeln.de/color); their yellow is left out, which
# is too pale for a line on white.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")

INK, MUTED, GRID, SURFACE = "#1F2328", "#656D76", "#E6E8EB", "#FFFFFF"
TITLE_PT, LABEL_PT, SMALL_PT = 12.5, 9.5, 8.5
DPI = 160
FORMATS = (".png", ".svg", ".pdf")


class Line(NamedTuple):
    """How a line is drawn, beside its colour; told apart without colour too."""

    dashes: str | tuple[float, tuple[float, ...]]
    marker: str
    width: float


SPLITS = {
    "train": Line("solid", "", 1.6),
    "val": Line("solid", "o", 1.6),
    "test": Line((0, (4.0, 1.6)), "s", 1.4),
    "": Line("solid", "", 1.4),
}
# Where a colour is a run, training too must differ by more than its missing markers.
SPLITS_OF_SEVERAL = {"train": Line((0, (1.0, 0.8)), "", 1.2)}


def colour(index: int) -> str:
    """The colour of the `index`-th thing; they repeat after seven, with another `marker`."""
    return PALETTE[index % len(PALETTE)]


def marker(index: int) -> str:
    return MARKERS[index // len(PALETTE) % len(MARKERS)]


def figure(width_in: float, height_in: float) -> Figure:
    """An empty figure whose parts make room for each other."""
    made = Figure(figsize=(width_in, height_in), dpi=DPI, facecolor=SURFACE, layout="constrained")
    engine = made.get_layout_engine()
    assert engine is not None
    engine.set(w_pad=0.08, h_pad=0.1)  # pyright: ignore[reportCallIssue]  inches
    FigureCanvasAgg(made)
    return made


def dress(axes: Axes, *, title: str = "", x: str = "", y: str = "") -> None:
    """Title on the left, axis labels, a light grid behind the data, no box."""
    axes.set_facecolor(SURFACE)
    axes.set_title(title, loc="left", fontsize=LABEL_PT + 1, fontweight="bold", color=INK, pad=8)
    axes.set_xlabel(x, fontsize=LABEL_PT, color=MUTED)
    axes.set_ylabel(y, fontsize=LABEL_PT, color=MUTED)
    axes.tick_params(which="both", labelsize=SMALL_PT, labelcolor=INK, color=GRID, length=3, width=0.8)
    axes.tick_params(which="both", labelfontfamily=fonts.BASE)  # of ticks that are made later too
    axes.grid(True, which="major", color=GRID, linewidth=0.8, linestyle="solid")
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(GRID)


def heading(axes: Axes, title: str, told: str, height_in: float) -> None:
    """Make a strip of `height_in` the figure's head: its title, and below it what is to be known first."""
    axes.axis("off")
    look = {"va": "top", "transform": axes.transAxes}
    axes.text(0, 1, title, fontsize=TITLE_PT, fontweight="bold", color=INK, **look)
    axes.text(0, 1 - 0.3 / height_in, told, fontsize=LABEL_PT, color=MUTED, **look)


def one_line(text: str, limit: int = 48) -> str:
    """A name fit for a label: control characters made visible, a long one shortened in the middle."""
    visible = "".join("↵" if c == "\n" else "�" if unicodedata.category(c) in ("Cc", "Cs") else c for c in text)
    if len(visible) <= limit:
        return visible
    head = (limit - 1) * 2 // 3
    return f"{visible[:head]}…{visible[-(limit - 1 - head) :]}"


def plain_text(made: Figure) -> list[str]:
    """Let all text be just text, in fonts that have its characters. Returns what to tell when no font has them.

    Call it when the figure is complete; `save` does.
    """
    missing, _ = _fit(made)
    made.draw_without_rendering()  # makes the ticks of the final layout
    more, has_changed = _fit(made)
    if not has_changed:
        made.set_layout_engine("none")  # every part is in its place; finding it takes as long as drawing
    return [fonts.notice("".join(missing | more))] if missing | more else []


def _fit(made: Figure) -> tuple[dict[str, None], bool]:
    """Make every text plain (a class named a_b$c$ is a name, not a formula) and choose its fonts.

    Returns the characters that no font has, and whether a text got fonts of another size.
    """
    missing: dict[str, None] = {}  # an ordered set
    has_changed = False
    for text in made.findobj(Text):
        assert isinstance(text, Text)
        covered = fonts.cover([text.get_text()])
        missing |= dict.fromkeys(covered.missing)
        has_changed |= text.get_usetex() or text.get_fontfamily() != list(covered.families)
        text.set_parse_math(False)
        text.set_usetex(False)
        text.set_fontfamily(list(covered.families))
        if len(covered.families) > 1:
            text.set_fontweight("normal")  # other families may have no bold face
    if missing:
        # We tell it in our own words. Not `catch_warnings`: that is not safe while other threads run.
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .*missing from", category=UserWarning)
    return missing, has_changed


def check_format(file: str | Path) -> Path:
    """The path, when its ending is one that figures are written in. Raises `RequestError` with those that are."""
    path = Path(file)
    if path.suffix.lower() not in FORMATS:
        ending = f"'{path.suffix}' is not a format" if path.suffix else "a figure's file needs an ending"
        raise RequestError(f"{path}: {ending}. Known: {', '.join(FORMATS)}.")
    if path.is_dir():
        raise RequestError(f"{path}: this is a folder; name a file in it, such as {path / 'figure.png'}.")
    return path


def save(made: Figure, file: str | Path) -> list[str]:
    """Write the figure as PNG, SVG or PDF by the file's ending, whole or not at all, its folder made where missing.

    Returns what to tell (characters that no font has). Raises `RequestError` for another ending, `WorkFailed` when the
    file cannot be written.
    """
    path = check_format(file)
    notices = plain_text(made)
    kind = path.suffix.lower().removeprefix(".")
    content = io.BytesIO()
    made.savefig(content, format=kind, dpi=DPI, facecolor=SURFACE)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content.getvalue())
    except OSError as error:
        raise WorkFailed(
            f"{path}: cannot be written ({error.strerror or error}). Choose another file with -o."
        ) from None
    return notices
