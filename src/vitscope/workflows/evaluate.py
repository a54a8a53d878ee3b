"""Evaluate: a model on a labelled split, of its own run or of another source."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from vitscope.analysis.evaluation import Evaluation, Skipped, Tally
from vitscope.data.manifest import SPLITS, Manifest
from vitscope.errors import BadImage, RequestError, WorkFailed, unknown
from vitscope.inference.predictor import Predictor, answers
from vitscope.inference.torch_runtime import TorchPredictor
from vitscope.models.bundle import ModelBundle
from vitscope.models.tta import TTA
from vitscope.storage.workspace import as_workspace
from vitscope.text import count, some
from vitscope.visualization.style import check_format
from vitscope.workflows.data import read_split, split_counts
from vitscope.workflows.load import ModelRef, WorkspaceRef, locate, open_predictor, own_manifest

BATCH_SIZE = 64

Progress = Callable[[int, int], None]  # images done, of how many


def evaluate(
    model: ModelRef,
    data: str | Path | None = None,
    split: str = "test",
    workspace: WorkspaceRef = None,
    *,
    figure: str | Path | None = None,
    progress: Progress | None = None,
    tta: TTA = "none",
) -> Evaluation:
    """Measure a model on labelled images: in fp32, from the decoded file, with the preprocessing it was trained for.

    Args:
        model: a run, a path or a bundle, as `load` takes it; an ONNX export too.
        data: a source; by default the run's own samples. Classes are matched by name. A source without splits is used
            whole.
        split: train, val or test.
        figure: write the confusion matrix there (PNG, SVG or PDF). For a run's own samples it is also written to the
            run's `charts/confusion-SPLIT.png`.
        progress: called with (images done, images in all).
        tta: "flip" averages the probabilities of each image and its mirror image.

    Raises:
        RequestError: the model, the data or the split cannot be had, or the data hold classes that the model does not.
        WorkFailed: not one image can be read, or the model's answers are no numbers.
    """
    if split not in SPLITS:
        raise unknown("split", split, SPLITS)
    if figure is not None:
        check_format(figure)
    predictor = open_predictor(model, workspace, tta)
    if data is not None:
        samples, notices = read_split(str(data), split, predictor.classes, as_workspace(workspace))
        notices = [*notices, *_tell_of_training_images(samples, model, workspace)]
    else:
        samples, notices = of_classes(own_manifest(model, workspace), predictor.classes), []
    if len(chosen := samples.of_split(split)) == 0:
        there = ", ".join(f"{name} ({n:,})" for name, n in split_counts(samples).items() if name)
        raise RequestError(f"'{samples.source}' has no {split} split. There are: {there or 'none'}.")
    result = replace(measure(predictor, chosen, split, notices, progress), tta=tta)
    result.notices.extend(_tell_of_another_tta(predictor, tta))
    if figure is not None:
        result.notices.extend(_draw(result, Path(figure)))
    if data is None and not isinstance(model, ModelBundle) and (found := locate(model, workspace)).is_run:
        assert found.run_folder is not None
        try:
            told = _draw(result, found.run_folder / "charts" / f"confusion-{split}.png")
            result.notices.extend(text for text in told if text not in result.notices)
        except WorkFailed as error:  # a workspace that may only be read: the numbers are worth telling all the same
            result.notices.append(str(error))
    return result


def _tell_of_another_tta(predictor: Predictor, tta: TTA) -> list[str]:
    """The numbers that training reported may have been made in another way."""
    trained = predictor.bundle.info.get("tta", tta) if isinstance(predictor, TorchPredictor) else tta
    if trained == tta:
        return []
    return [f"The run reported its validation and test with --tta {trained}; this was measured with --tta {tta}."]


def _tell_of_training_images(samples: Manifest, model: ModelRef, workspace: WorkspaceRef) -> list[str]:
    """Images on which the model was trained say nothing of how good it is; known where its run is."""
    try:
        trained_on = set(own_manifest(model, workspace).of_split("train").table["path"].to_pylist())
    except RequestError:
        return []
    shared = sum(path in trained_on for path in samples.table["path"].to_pylist())
    if not shared:
        return []
    return [f"{count(shared, 'image')} of these {len(samples):,} were trained on: the model knows them already."]


def measure(
    predictor: Predictor, samples: Manifest, split: str, notices: Sequence[str] = (), progress: Progress | None = None
) -> Evaluation:
    """The report over every row of `samples`, whose labels are those of `predictor.classes`."""
    paths = [Path(path) for path in samples.table["path"].to_pylist()]
    labels = samples.table["label"].to_numpy()
    tally, problems = Tally(predictor.classes), []
    for i, answer in enumerate(answers(predictor, paths, BATCH_SIZE)):
        if isinstance(answer, BadImage):
            problems.append(Skipped(str(paths[i]), str(answer)))
        else:
            tally.add(labels[i : i + 1], answer[None])
        if progress is not None:
            progress(i + 1, len(paths))
    if len(problems) == len(paths):
        first = f" The first: {problems[0].path}: {problems[0].reason}." if problems else ""
        raise WorkFailed(f"None of the {len(paths)} images of the {split} split can be read.{first}")
    told = list(notices)
    if problems:
        told.append(f"{count(len(problems), 'image')} of {len(paths):,} could not be read and left out.")
    if unseen := [name for name, total in zip(tally.classes, tally.confusion.sum(axis=1), strict=True) if total == 0]:
        told.append(f"{count(len(unseen), 'class', 'classes')} of the model without an image here: {some(unseen, 10)}.")
    return tally.evaluation(split, problems, told)


def of_classes(manifest: Manifest, classes: Sequence[str]) -> Manifest:
    """The same samples labelled in the order of `classes`, by name. Raises `RequestError` for one not among them."""
    label_of = {name: label for label, name in enumerate(classes)}
    if strangers := [name for name in manifest.classes if name not in label_of]:
        raise RequestError(f"'{manifest.source}': the model knows {some(classes)}, not {some(strangers)}.")
    labels = [label_of[manifest.classes[label]] for label in manifest.table["label"].to_pylist()]
    return replace(manifest, classes=tuple(classes)).with_column("label", labels)


def _draw(result: Evaluation, file: Path) -> list[str]:
    from vitscope.visualization import confusion, style

    mirrored = " (each averaged with its mirror image)" if result.tta == "flip" else ""
    title = f"{result.split}: {result.top1:.1%} of {count(result.count, 'image')} right{mirrored}"
    return style.save(confusion.figure(result.confusion, result.classes, title), file)
