"""Export: write a model in other formats, and let none of them pass without a proof on real pictures."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vitscope.errors import RequestError, WorkFailed, unknown
from vitscope.exporting import parity, proof
from vitscope.exporting.formats import FORMATS, Format
from vitscope.models.bundle import ModelBundle
from vitscope.storage.artifacts import flush, sha256
from vitscope.storage.workspace import as_workspace
from vitscope.workflows.data import read
from vitscope.workflows.load import ModelRef, WorkspaceRef, load, locate, own_manifest

EXPORTS = "exports"
FAILED = ".failed"
UNFINISHED = ".export-"  # how the folders of exports that are not done begin
ABANDONED_S = 86_400.0  # after which one is of a process that was killed


class ExportResult(NamedTuple):
    """An export and its proof; `report` is the content of the proof's file."""

    format: str
    path: Path
    proof_path: Path
    passed: bool
    report: dict[str, Any]


def export(
    model: ModelRef,
    to: str | Sequence[str] = ("onnx", "safetensors"),
    output: str | Path | None = None,
    data: str | Path | None = None,
    workspace: WorkspaceRef = None,
    *,
    tell: Callable[[str], None] = lambda text: None,
) -> list[ExportResult]:
    """Write a model in the formats `to`, each with a proof of parity beside it (`model.onnx.parity.json`).

    Args:
        model: a run, a path or a bundle, as `load` takes it.
        to: names of formats (onnx, safetensors).
        output: folder; by default the run's `exports/`.
        data: a source whose images the proof uses; by default the run's own (test, else validation, else training).
        tell: called with a line for a person before each piece of work.

    Raises:
        RequestError: the model cannot be opened, a format is unknown or not installed, images or a folder are missing.
        WorkFailed: an export differs from the model. It is kept under a name that ends in `.failed`, with the proof; an
            earlier good export stays as it was, and formats that pass are in place.
    """
    formats = _formats(to)
    bundle = _on_cpu(load(model, workspace))
    folder = _folder(model, output, workspace)
    samples = _samples(bundle, model, data, workspace)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RequestError(
            f"{folder}: cannot be made ({error.strerror}). Choose another folder with --output."
        ) from None
    if bundle.info.get("tta", "none") != "none":
        tell(
            f"The run measured its model with --tta {bundle.info['tta']}; an export looks at each picture once, as "
            "'vitscope evaluate' does without --tta."
        )
    _remove_abandoned(folder)
    results = [_export(bundle, name, form, folder, samples, tell) for name, form in formats.items()]
    if failed := [result for result in results if not result.passed]:
        raise WorkFailed(" ".join(_failure(result) for result in failed))
    return results


def _formats(to: str | Sequence[str]) -> dict[str, Format]:
    names = to.split(",") if isinstance(to, str) else to
    chosen: dict[str, Format] = {}
    for name in (name.strip() for name in names):
        if name not in FORMATS:
            raise unknown("export format", name, FORMATS)
        chosen[name] = FORMATS[name]
    if not chosen:
        raise RequestError(f"No export format given. Known: {', '.join(FORMATS)}.")
    for form in chosen.values():
        form.require()
    return chosen


def _on_cpu(bundle: ModelBundle) -> ModelBundle:
    """The bundle with its module on the CPU, where exports are made and proven; a copy where it lies elsewhere."""
    import copy

    if next(bundle.module.parameters()).device.type == "cpu":
        return bundle
    return replace(bundle, module=copy.deepcopy(bundle.module).cpu())


def _folder(model: ModelRef, output: str | Path | None, workspace: WorkspaceRef) -> Path:
    if output is not None:
        folder = Path(output).expanduser()
        if folder.exists() and not folder.is_dir():
            raise RequestError(f"{folder}: a file; --output names a folder.")
        return folder
    if isinstance(model, ModelBundle):
        raise RequestError("output: name the folder to export to.")
    found = locate(model, workspace)
    if found.run_folder is None:
        raise RequestError(f"{found.path}: of no run of this workspace, so name the folder to export to with --output.")
    return found.run_folder / EXPORTS


class _Samples(NamedTuple):
    """The images of a proof: of one split, in the order in which they are tried."""

    source: str
    split: str
    files: list[Path]


def _samples(bundle: ModelBundle, model: ModelRef, data: str | Path | None, workspace: WorkspaceRef) -> _Samples:
    """Images evenly spread over the split (which is sorted by class), then the others, in case some cannot be read."""
    manifest = read(str(data), as_workspace(workspace)).manifest if data is not None else own_manifest(model, workspace)
    for split in ("test", "val", "train", ""):
        files = [Path(path) for path in manifest.of_split(split).table["path"].to_pylist()]
        if files:
            spread = np.linspace(0, len(files) - 1, min(parity.PICTURES, len(files))).round().astype(int).tolist()
            order = dict.fromkeys([*spread, *range(len(files))])
            return _Samples(manifest.source, split, [files[i] for i in order])
    raise RequestError(f"{manifest.source}: holds no images for the proof. Name others with --data SOURCE.")


def _export(
    bundle: ModelBundle, name: str, form: Format, folder: Path, samples: _Samples, tell: Callable[[str], None]
) -> ExportResult:
    """One format: written and proven in a folder of its own, then put in place."""
    with tempfile.TemporaryDirectory(prefix=UNFINISHED, dir=folder) as temporary:
        written = Path(temporary)
        tell(f"Exporting {name} …")
        form.write(bundle, written)
        _refuse_strangers([file.name for file in written.iterdir()], folder / form.FILE)
        tell(f"Proving {name} on images of '{samples.source}' …")
        outcome = parity.prove(bundle, form.read(written), samples.files)
        if outcome.images == 0:
            raise RequestError(
                f"None of the {len(samples.files)} images of '{samples.source}' can be read, so nothing can be proven: "
                f"{outcome.left_out[0]}. Name others with --data SOURCE."
            )
        ending = "" if outcome.passed else FAILED
        sums = {file.name + ending: sha256(file) for file in sorted(written.iterdir())}
        data = {"source": samples.source, "split": samples.split}
        content = proof.describe(outcome, name, sums, data)
        final = folder / (form.FILE + ending)
        _put_in_place(written, folder, ending)
    proof_path = proof.write(final, content)
    if outcome.passed:
        _clear_failed(sums, final)
    return ExportResult(name, final, proof_path, outcome.passed, content)


def _remove_abandoned(folder: Path) -> None:
    """What exports that were killed have left here; not those that others may be at work on."""
    for left in folder.glob(f"{UNFINISHED}*"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > ABANDONED_S:
                shutil.rmtree(left)


def _refuse_strangers(names: Iterable[str], main: Path) -> None:
    """Raise `RequestError` where somebody else's file would be overwritten: one that the proof there does not name."""
    ours = proof.sums(main)
    for name in names:
        if name not in ours and main.with_name(name).exists():
            raise RequestError(
                f"{main.with_name(name)}: already there, and not from an export to this folder; it is left alone. "
                "Remove it, or choose another folder with --output."
            )


def _put_in_place(written: Path, folder: Path, ending: str) -> None:
    """Replace each file in one step. Until the new proof is there, the sums in the old one tell that they differ."""
    for file in sorted(written.iterdir()):
        flush(file)
        file.replace(folder / (file.name + ending))
    flush(folder)


def _clear_failed(names: Iterable[str], final: Path) -> None:
    """What an earlier attempt left under names that end in `.failed` is superseded."""
    for name in names:
        final.with_name(name + FAILED).unlink(missing_ok=True)
    proof.beside(final.with_name(final.name + FAILED)).unlink(missing_ok=True)


def _failure(result: ExportResult) -> str:
    worst = result.report["files"][0]["picture"]
    return (
        f"The {result.format} export is not the model: {'; '.join(result.report['failures'])}. Worst for {worst}. "
        f"Do not use it; it is kept as {result.path}, what was measured in {result.proof_path}."
    )
