"""The demonstration: everything once, on the embedded digits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from vitscope.events import Observer
from vitscope.storage.workspace import Workspace
from vitscope.workflows.evaluate import Evaluation, evaluate
from vitscope.workflows.export import ExportResult, export
from vitscope.workflows.load import load
from vitscope.workflows.predict import Prediction, predict
from vitscope.workflows.run import Run
from vitscope.workflows.train import train


class Demo(NamedTuple):
    """What the demonstration made."""

    run: Run
    evaluation: Evaluation
    charts: list[Path]
    exports: list[ExportResult]
    picture: Path
    truth: str
    prediction: Prediction


def demo(
    workspace: Workspace, observers: Sequence[Observer] = (), started: Callable[[Run], None] = lambda run: None
) -> Demo:
    """Train on `digits`, evaluate on its test split, export with proof, and classify one test picture."""
    run = train("digits", workspace=workspace, recipe="digits", name="demo", observers=observers, started=started)
    model = load(run.id, workspace)
    evaluation = evaluate(run.id, workspace=workspace)
    exports = export(run.id, to=("onnx", "safetensors"), workspace=workspace)
    picture, truth = _a_test_picture(run)
    (prediction,) = predict(model, [picture])
    return Demo(run, evaluation, sorted((run.folder / "charts").glob("*.png")), exports, picture, truth, prediction)


def _a_test_picture(run: Run) -> tuple[Path, str]:
    from vitscope.data.manifest import Manifest

    manifest = Manifest.load(run.folder / "manifest.parquet")
    sample = manifest.of_split("test").sample(0)
    return sample.path, manifest.classes[sample.label]
