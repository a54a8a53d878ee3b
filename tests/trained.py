"""A model as training leaves it, without training: a tiny ViT whose weights are large enough to tell pictures apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from vitscope.config import DataConfig
from vitscope.models.bundle import ModelBundle
from vitscope.models.create import create_model
from vitscope.preprocess import Preprocess
from vitscope.storage.artifacts import point
from vitscope.storage.runs import create_run
from vitscope.storage.workspace import Workspace
from vitscope.workflows.data import prepare
from vitscope.workflows.run import Run

FRUITS = ("apple", "pear", "plum")
SIZES: dict[str, Any] = {"img_size": 32, "patch_size": 8, "embed_dim": 48, "depth": 2, "num_heads": 3}
UNEVEN = Preprocess(32, (0.48, 0.46, 0.41), (0.23, 0.22, 0.27), "bicubic", crop_pct=0.9)


def tiny_bundle(
    name: str = "vit_tiny_patch16_224",
    classes: tuple[str, ...] = FRUITS,
    preprocess: Preprocess = UNEVEN,
    seed: int = 3,
    **kwargs: Any,
) -> ModelBundle:
    """A bundle whose three channels are normalised differently, so that swapped ones show."""
    arguments = {**SIZES, **kwargs}
    module = create_model(name, num_classes=len(classes), **arguments).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in module.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator) * 0.5)
    return ModelBundle(module, name, arguments, classes, preprocess)


def save_run(workspace: Workspace, bundle: ModelBundle, pictures: Path, name: str = "fruits", steps: int = 1) -> Run:
    """A run with `steps` checkpoints and the manifest of `pictures`; the last one is its best."""
    row = create_run(workspace.database, name=name, source=str(pictures), model=bundle.name)
    folder = workspace.run_folder(row.id)
    for step in range(1, steps + 1):
        checkpoint = folder / "checkpoints" / f"step-{step:08d}"
        checkpoint.mkdir(parents=True)
        bundle.save(checkpoint)
        point(checkpoint.with_name("best"), checkpoint)
        point(checkpoint.with_name("last"), checkpoint)
    manifest = prepare(DataConfig(source=str(pictures)), workspace).manifest
    manifest.save(folder / "manifest.parquet", within=workspace.root)
    return Run(row.id, workspace)


def answer(bundle: ModelBundle, image: Path) -> torch.Tensor:
    """(C,) probabilities of one picture, the shortest way."""
    return bundle.probabilities(bundle.preprocess(image)[None])[0]
