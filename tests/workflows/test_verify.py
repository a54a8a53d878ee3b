"""Large data sets are compared with their index beside the training; what differs is told, and seen the next time."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

import vitscope
from vitscope.config import DataConfig, merge
from vitscope.data.manifest import Manifest
from vitscope.data.sources import kept
from vitscope.data.sources.folder import FolderSource
from vitscope.events import Event, RunStarted
from vitscope.storage.workspace import Workspace
from vitscope.workflows import verify
from vitscope.workflows.data import import_dataset, prepare
from vitscope.workflows.verify import Verification

EVENT = RunStarted(0, 1, 1, 1)


@pytest.fixture
def workspace(tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """Forty pictures count as many, and lie there since long ago."""
    monkeypatch.setattr(kept, "LARGE", 40)
    for folder in (pictures, *(p for p in pictures.iterdir() if p.is_dir())):
        os.utime(folder, ns=(10**18, 10**18))
    place = Workspace(tmp_path / "workspace")
    place.root.mkdir()
    return place


def told(manifest: Manifest) -> list[str]:
    """What a verification tells until it is done."""
    texts: list[str] = []
    verification = Verification(manifest, texts.append)
    limit = time.monotonic() + 20
    while not verification._is_done.is_set():
        assert time.monotonic() < limit
        time.sleep(0.01)
    assert texts == []  # only an event, in its own thread, makes it speak
    for _ in range(3):
        verification(EVENT)
    verification.close()
    return texts


@pytest.mark.parametrize("is_imported", [False, True])
def test_what_was_written_over_is_told_and_looked_at_the_next_time(
    is_imported: bool, pictures: Path, workspace: Workspace
) -> None:
    source = "fruit" if is_imported else str(pictures)
    if is_imported:
        import_dataset(str(pictures), "fruit", workspace)
    data = DataConfig(source=source)
    first = prepare(data, workspace).manifest
    assert first.kept == () and told(first) == []
    changed = pictures / "plum/001.png"
    changed.write_bytes(changed.read_bytes() + b"longer")
    assert (pictures / "plum").stat().st_mtime_ns == 10**18
    second = prepare(data, workspace).manifest  # as it was kept
    assert second.fingerprint == first.fingerprint and all(file.is_file() for file in second.kept)
    (text,) = told(second)
    assert text.startswith("1 picture of 40 changed") and "plum/001.png" in text
    third, warnings, _ = prepare(data, workspace)
    assert third.kept == () and third.fingerprint != first.fingerprint and told(third) == []
    assert any("1 file has changed since the import" in text for text in warnings) == is_imported


def test_an_imported_set_sees_what_is_added_or_gone_at_once(pictures: Path, workspace: Workspace) -> None:
    import_dataset(str(pictures), "fruit", workspace)
    for _ in range(2):
        assert not any("fruit" in notice for notice in prepare(DataConfig(source="fruit"), workspace).warnings)
    shutil.copy(pictures / "pear/000.png", pictures / "pear/new.png")
    assert "1 file has been added" in prepare(DataConfig(source="fruit"), workspace).warnings[0]


def test_a_run_tells_it_while_it_trains(
    pictures: Path, tiny: dict[str, Any], workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(DataConfig(source=str(pictures)), workspace)
    changed = pictures / "plum/001.png"
    os.utime(changed, ns=(1, 1))

    def wait_at_the_start(event: Event) -> None:
        if isinstance(event, RunStarted):
            time.sleep(1)

    run = vitscope.train(pictures, workspace=workspace, observers=[wait_at_the_start], **merge(tiny, {"epochs": 1}))
    assert "1 picture of 40 changed or vanished since the data were indexed" in (run.folder / "train.log").read_text()
    assert list((workspace.cache_folder / "indexes").iterdir()) == []


def test_an_end_before_all_is_asked_for_keeps_the_index(
    pictures: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "SLICE", 1)
    monkeypatch.setattr(verify, "SHARE", 1e-6)
    prepare(DataConfig(source=str(pictures)), workspace)
    manifest = prepare(DataConfig(source=str(pictures)), workspace).manifest
    for sample in FolderSource.at(pictures).scan().records:
        Path(sample.path).write_bytes(b"other")
    texts: list[str] = []
    began = time.monotonic()
    verification = Verification(manifest, texts.append)
    verification.close()
    verification(EVENT)
    assert time.monotonic() - began < 10 and texts == [] and all(file.is_file() for file in manifest.kept)
