"""Evaluation inputs that stay in memory are those that were loaded, and do not fill shared memory."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from vitscope.config import DataConfig
from vitscope.data.evaluation_memory import KeptBatches, kept_where_small
from vitscope.data.loader import evaluation_loader
from vitscope.data.manifest import Manifest
from vitscope.preprocess import Preprocess
from vitscope.storage.workspace import Workspace
from vitscope.workflows.data import prepare


@pytest.fixture
def manifest(pictures: Path, tmp_path: Path) -> Manifest:
    return prepare(DataConfig(source=str(pictures)), Workspace(tmp_path / "ws")).manifest


@pytest.mark.parametrize("workers", [0, 1])
def test_what_is_kept_is_what_was_loaded_and_nothing_is_read_again(manifest: Manifest, pictures: Path, workers: int):
    loader = evaluation_loader(manifest, Preprocess(16), 5, workers)
    loaded, kept = list(loader), KeptBatches(loader)
    half = iter(kept)
    next(half)
    assert not kept._kept  # an evaluation that is interrupted leaves nothing half
    first, second = list(kept), list(kept)
    for files in pictures.rglob("*.png"):
        files.unlink()
    for batches in (first, second, list(kept)):
        assert len(batches) == len(loaded) > 1
        for ours, theirs in zip(batches, loaded, strict=True):
            assert torch.equal(ours.images, theirs.images)
            assert torch.equal(ours.labels, theirs.labels)
            assert ours.samples == theirs.samples
    assert not any(batch.images.is_shared() for batch in second)


def test_only_what_takes_little_of_the_memory_is_kept():
    loader: list = []
    needed = 4 * 3 * 224 * 224 * 1000
    assert kept_where_small(loader, 1000, 224, 20 * needed - 1) is loader
    assert isinstance(kept_where_small(loader, 1000, 224, 20 * needed), KeptBatches)
    assert kept_where_small(loader, 1000, 224, 0) is loader
