"""The embedded digits, as files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from vitscope.data.sources import digits, open_source
from vitscope.errors import RequestError
from vitscope.storage import artifacts
from vitscope.storage.workspace import Workspace


@pytest.fixture(scope="module", autouse=True)
def no_waiting_for_the_disk() -> Iterator[None]:
    """Flushing 1,797 files to a disk takes seconds, and no test here cuts the power."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(artifacts, "flush", lambda path: None)
        yield


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return Workspace(tmp_path_factory.mktemp("digits") / "workspace")


def test_all_digits_are_written_once_by_class(workspace: Workspace) -> None:
    scan = open_source("digits", workspace).scan()
    assert len(scan.records) == 1797 and scan.classes == tuple("0123456789") and scan.notices == []
    expected = np.bincount(load_digits().target)
    assert [sum(r.class_name == str(label) for r in scan.records) for label in range(10)] == expected.tolist()
    times = {r.locator: r.mtime_ns for r in scan.records}
    assert {r.locator: r.mtime_ns for r in open_source("digits", workspace).scan().records} == times
    assert [p.name for p in (workspace.datasets_folder / "digits").iterdir()] == ["images"]


def test_a_file_is_the_digit_enlarged_to_the_full_range(workspace: Workspace) -> None:
    open_source("digits", workspace).scan()
    original = load_digits()
    for number in (0, 5, 1796):
        path = workspace.datasets_folder / f"digits/images/{original.target[number]}/{number:04d}.png"
        pixels = np.asarray(Image.open(path).convert("RGB"), float)
        expected = original.images[number] * 255 / 16
        assert pixels.shape == (32, 32, 3) and pixels.min() == 0 and expected.max() - 5 <= pixels.max()
        shrunk = pixels[:, :, 0].reshape(8, 4, 8, 4).mean(axis=(1, 3))
        assert np.corrcoef(shrunk.ravel(), expected.ravel())[0, 1] > 0.98
        assert abs(shrunk.mean() - expected.mean()) < 3


def test_an_interruption_leaves_nothing_and_the_next_look_writes_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace(tmp_path)

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Image.Image, "save", stop)
        open_source("digits", workspace).scan()
    assert list((tmp_path / "datasets/digits").iterdir()) == []
    assert len(open_source("digits", workspace).scan().records) == 1797


def test_a_set_that_another_process_finished_first_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = Workspace(tmp_path)
    writes = digits._write
    monkeypatch.setattr(digits, "_write", lambda folder: (writes(folder), writes(folder)))
    assert len(open_source("digits", workspace).scan().records) == 1797


def test_a_workspace_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "datasets").write_text("a file where the folder would be")
    with pytest.raises(RequestError, match="could not be written"):
        open_source("digits", Workspace(tmp_path)).scan()
