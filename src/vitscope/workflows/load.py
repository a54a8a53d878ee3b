"""Find and open a trained model: by run, or by the path of a bundle, a checkpoint or an export."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import torch

from vitscope.data.manifest import Manifest
from vitscope.data.sources import restore
from vitscope.errors import RequestError, unknown
from vitscope.exporting import proof
from vitscope.exporting.formats import safetensors
from vitscope.inference.onnx_runtime import OnnxPredictor
from vitscope.inference.predictor import Predictor
from vitscope.inference.torch_runtime import TorchPredictor
from vitscope.models.bundle import DESCRIPTION, PICKLES, WEIGHTS, ModelBundle, load_weights, read_description
from vitscope.models.tta import TTA
from vitscope.storage.artifacts import pointed, sha256
from vitscope.storage.workspace import Workspace, as_workspace
from vitscope.training.checkpoint import Checkpoints
from vitscope.workflows.run import Run

ModelRef = str | Path | Run | ModelBundle
WorkspaceRef = Workspace | str | Path | None

CHECKPOINTS, MANIFEST = "checkpoints", "manifest.parquet"
ONNX = ".onnx"


def load(model: ModelRef, workspace: WorkspaceRef = None) -> ModelBundle:
    """The model that `model` names, on the CPU and in evaluation mode.

    `model` is a run (its id, a unique prefix, its name or `latest`: its best checkpoint, or the last where there is no
    best yet), or the path of a bundle, a checkpoint or a safetensors export. Raises `RequestError` when there is none,
    when it is damaged, or when it is in a format that can carry code.
    """
    return model if isinstance(model, ModelBundle) else locate(model, workspace).load()


@dataclass(frozen=True)
class Found:
    """Where a model lies: the folder of a bundle or of a safetensors export, or an ONNX file; and the run it is of."""

    path: Path
    run_folder: Path | None
    is_run: bool = False  # it was asked for as a run, not by a path

    def load(self) -> ModelBundle:
        """The module with all that belongs to it. Raises `RequestError` as `vitscope.load` does."""
        try:
            return self._load()
        except (RequestError, OSError):
            if not self.is_run or self.path.is_dir() or self.run_folder is None:
                raise
            return _of_run(self.run_folder, f"Run {self.run_folder.name}").load()  # it was replaced while it was read

    def _load(self) -> ModelBundle:
        if self.path.suffix == ONNX:
            raise RequestError(
                f"{self.path}: an ONNX file is a finished graph, without a module to load. 'vitscope predict' and "
                "'vitscope evaluate' take it; for anything else give the run or checkpoint that it was exported from."
            )
        if (self.path / DESCRIPTION).is_file():
            try:
                bundle = ModelBundle.load(self.path)
            except RequestError as error:
                raise RequestError(f"{error} {_others(self.path)}".rstrip()) from None
        else:
            bundle = safetensors.load(self.path)
        run = {"run": self.run_folder.name} if self.run_folder is not None else {}
        return replace(bundle, info={**bundle.info, **run})

    def open(self, tta: TTA = "none") -> Predictor:
        """What predicts with it, in fp32; on a GPU where there is one. Raises as `load`, but takes ONNX files too."""
        if self.path.suffix == ONNX:
            if tta != "none":
                raise RequestError(
                    f"{self.path}: an ONNX export looks at each picture once; --tta {tta} needs the run or checkpoint."
                )
            proof.check(self.path)
            return OnnxPredictor(self.path)
        bundle = self.load()
        if torch.accelerator.is_available():
            bundle.module.to(torch.accelerator.current_accelerator())
        return TorchPredictor(bundle, tta)


def open_predictor(model: ModelRef, workspace: WorkspaceRef = None, tta: TTA = "none") -> Predictor:
    """What predicts with the model, whatever form it has. Raises `RequestError` as `load` does."""
    if tta not in get_args(TTA):
        raise unknown("tta", tta, get_args(TTA))
    return TorchPredictor(model, tta) if isinstance(model, ModelBundle) else locate(model, workspace).open(tta)


def own_manifest(model: ModelRef, workspace: WorkspaceRef = None) -> Manifest:
    """The samples of the run that a model comes from. Raises `RequestError` where they are not known."""
    if isinstance(model, ModelBundle):
        run = model.info.get("run")
        folder = as_workspace(workspace).run_folder(str(run)) if run else None
    else:
        folder = locate(model, workspace).run_folder
    file = folder / MANIFEST if folder is not None else None
    if folder is None or file is None or not file.is_file():
        raise RequestError(
            f"{_title(model)}: the images that it was trained and tested on are not known here. Name some with --data."
        )
    manifest = Manifest.load(file)
    restore(manifest, Workspace(folder.parents[1]))
    return manifest


def _title(model: ModelRef) -> str:
    if isinstance(model, ModelBundle):
        return f"This {model.name}"
    return f"Run {model.id}" if isinstance(model, Run) else str(model)


# ---------------------------------------------------------------------------------------------- finding


def locate(model: str | Path | Run, workspace: WorkspaceRef = None) -> Found:
    """Find a model without loading it; a path that holds one wins over a run of that name. Raises `RequestError`."""
    if isinstance(model, Run):
        return _of_run(model.folder, f"Run {model.id}")
    path = Path(model).expanduser()
    if (inside := _model_in(path)) is not None:
        return Found(inside, _run_folder_above(inside))
    if isinstance(model, str):
        place = as_workspace(workspace)
        try:
            row = place.find_run(model)
        except RequestError as error:
            if not path.exists() and len(path.parts) == 1 and not path.suffix:
                raise RequestError(f"{error} (Nor is there a file or folder of that name.)") from None
        else:
            return _of_run(place.run_folder(row.id), f"Run {row.id} ({row.name})")
    if not path.exists():
        raise RequestError(f"{path}: no such file or folder.")
    raise RequestError(
        f"{path}: no model here. A model is a run, a folder with {DESCRIPTION} (a checkpoint), a folder with "
        f"{safetensors.CONFIG} (a safetensors export), or a {ONNX} file that 'vitscope export' wrote."
    )


def _of_run(folder: Path, title: str) -> Found:
    checkpoint = _best_or_last(folder)
    if checkpoint is None:
        raise RequestError(f"{title} has no checkpoint yet: wait for its first, or resume it.")
    return Found(checkpoint, folder, is_run=True)


def _best_or_last(run_folder: Path) -> Path | None:
    """The last only where there is no best yet. Raises `RequestError` where the best is not there any more."""
    checkpoints = Checkpoints(run_folder / CHECKPOINTS)
    best = checkpoints.best
    if best is None and os.path.lexists(link := run_folder / CHECKPOINTS / "best"):
        best = checkpoints.best  # it was just made
        if best is None:
            raise RequestError(
                f"{link}: the checkpoint that it points to is not there. Give another one by its path: "
                f"{', '.join(map(str, reversed(checkpoints.all()))) or 'there is none.'}"
            )
    return best or checkpoints.last


def _model_in(path: Path) -> Path | None:
    """The model at a path, or None. Raises `RequestError` for formats that can carry code and for weights alone."""
    if path.is_file():
        if path.suffix.lower() in PICKLES:
            load_weights(path)  # refuses, and says what to do
        if path.suffix == ONNX:
            return path
        if path.name in (DESCRIPTION, safetensors.CONFIG):
            return path.parent
        if path.suffix == ".safetensors":
            return _folder_of_weights(path)
        return pointed(path) if path.name in ("best", "last") else None
    if not path.is_dir():
        return None
    if (path / DESCRIPTION).is_file() or (path / safetensors.CONFIG).is_file():
        return path
    if (checkpoint := _best_or_last(path)) is not None:
        return checkpoint
    graphs = sorted(path.glob(f"*{ONNX}"))
    if len(graphs) > 1:
        raise RequestError(f"{path}: holds several ONNX files: give one of them ({', '.join(g.name for g in graphs)}).")
    if not graphs:
        for file in sorted(path.iterdir()):
            if file.suffix.lower() in PICKLES:
                load_weights(file)
    return graphs[0] if graphs else None


def _folder_of_weights(file: Path) -> Path:
    described = [name for name in (DESCRIPTION, safetensors.CONFIG) if (file.parent / name).is_file()]
    if file.name != WEIGHTS or not described:
        raise RequestError(
            f"{file}: weights alone, without class names and preprocessing. Give a folder that holds {DESCRIPTION} or "
            f"{safetensors.CONFIG} beside its {WEIGHTS}; 'vitscope train --init' takes weights alone."
        )
    return file.parent


def _run_folder_above(path: Path) -> Path | None:
    """The run that a checkpoint or an export belongs to by where it lies."""
    return next((folder for folder in path.resolve().parents[:2] if (folder / MANIFEST).is_file()), None)


def _others(damaged: Path) -> str:
    """Which checkpoints beside a damaged one are sound; "" where it is none of several."""
    others = [folder for folder in Checkpoints(damaged.resolve().parent).all() if folder != damaged.resolve()]
    sound = [str(folder) for folder in reversed(others) if _is_sound(folder)]
    if not others:
        return ""
    return f"Sound ones beside it, newest first: {', '.join(sound)}." if sound else "None of those beside it is sound."


def _is_sound(folder: Path) -> bool:
    try:
        return sha256(folder / WEIGHTS) == read_description(folder)["sha256"].get(WEIGHTS)
    except (RequestError, OSError):
        return False
