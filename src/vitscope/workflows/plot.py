"""Static charts of recorded runs, and of the inside of their models, as a file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from vitscope.errors import RequestError, unknown

if TYPE_CHECKING:
    from vitscope.storage.runs import RunRow
    from vitscope.storage.workspace import Workspace
    from vitscope.visualization.curves import Curve

FIGURES = ("curves", "attention", "filters", "weights", "distances")


class Plotted(NamedTuple):
    """The file that was written, and what a person should be told, such as characters that no font has."""

    file: Path
    notices: list[str]


def plot(
    references: Sequence[str],
    workspace: Workspace,
    *,
    figure: str = "curves",
    output: str | Path | None = None,
    x: str = "step",
    log: bool = False,
    image: str | Path | None = None,
    layer: int | None = None,
    head: int | None = None,
) -> Plotted:
    """Draw the runs that `references` name (ids, beginnings of ids, names, `latest`) into one file.

    `output` ends in .png, .svg or .pdf; none: a PNG here, named after figure and runs. Of `curves`, `x` is step, epoch
    or time; `log` makes loss, learning rate and gradient norm logarithmic. The other figures show the best model of one
    run (or a model by its path); of `attention`, `image`, `layer` and `head` say on what and which maps. Raises
    `RequestError` before anything is drawn.
    """
    from vitscope.visualization import curves, style

    if figure not in FIGURES:
        raise unknown("figure", figure, FIGURES)
    if x not in curves.X_AXES:
        raise unknown("x axis", x, curves.X_AXES)
    if not references:
        raise RequestError("No run given. Name one or several, or 'latest'.")
    file = None if output is None else style.check_format(output)
    if figure != "curves":
        return _inside(figure, references, workspace, file, image=image, layer=layer, head=head)
    if given := [name for name, value in (("image", image), ("layer", layer), ("head", head)) if value is not None]:
        raise RequestError(f"--{given[0]} is for --figure attention; '{figure}' shows the metrics of runs.")
    rows = list({row.id: row for row in map(workspace.find_run, references)}.values())
    drawn = curves.draw(_curves(rows, workspace), x=x, log=log)
    target = file or Path(default_name(figure, [row.id for row in rows]))
    return Plotted(target, style.save(drawn, target))


def default_name(figure: str, run_ids: Sequence[str]) -> str:
    """The file's name where none is given."""
    ids = run_ids if len(run_ids) <= 3 else [run_ids[0], f"and-{len(run_ids) - 1}-more"]
    return f"{'-'.join([figure, *ids])}.png"


def _inside(figure: str, references: Sequence[str], workspace: Workspace, file: Path | None, **of: Any) -> Plotted:
    from vitscope.visualization import style
    from vitscope.workflows.inside_figures import draw

    if len(set(references)) > 1:
        raise RequestError(f"--figure {figure} shows one model: give one run, not {len(references)}.")
    reference = references[0]
    drawn = draw(figure, reference, workspace, **of)
    if file is None:
        is_path = Path(reference).expanduser().exists()
        name = Path(reference).resolve().name if is_path else workspace.find_run(reference).id
        file = Path(default_name(figure, [name]))
    return Plotted(file, style.save(drawn, file))


def _curves(rows: Sequence[RunRow], workspace: Workspace) -> list[Curve]:
    from vitscope.metrics import query
    from vitscope.visualization.curves import PANELS, Curve

    metrics = [panel.metric for panel in PANELS.values()]
    same_name = Counter(row.name for row in rows)
    return [
        Curve(
            row.name if same_name[row.name] == 1 else f"{row.name} ({row.id})",
            query.frame(workspace.database, row.id, names=metrics),
            query.best(workspace.database, row.id),
        )
        for row in rows
    ]
