"""The kept index of a large folder: when it is taken, when the folder is looked at again."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from vitscope.data.sources import kept
from vitscope.data.sources.folder import FolderSource
from vitscope.data.sources.kept import Indexed, index

Make = Callable[..., Path]
Change = Callable[[Path], object]
LONG_AGO_NS = 10**18


@pytest.fixture(autouse=True)
def small_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "LARGE", 40)


@pytest.fixture
def pictures(pictures: Path) -> Path:
    """Forty pictures whose folders were last changed long ago; one name is told of."""
    (pictures / "pear" / "notes.txt").write_text("no image")
    settle(pictures)
    return pictures


def settle(root: Path) -> None:
    for folder in (root, *(p for p in root.rglob("*") if p.is_dir())):
        os.utime(folder, ns=(LONG_AGO_NS, LONG_AGO_NS))


def looked_at(root: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Indexed, int]:
    """What `index` gives, and how many folders it looked through for that."""
    seen: list[object] = []
    monkeypatch.setattr(os, "scandir", lambda path, scandir=os.scandir: (seen.append(path), scandir(path))[1])
    found = index(FolderSource.at(root), place)
    monkeypatch.undo()
    return found, len(seen)


def test_the_second_look_reads_no_folder_and_says_the_same(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = index(FolderSource.at(pictures), tmp_path / "place")
    second, looks = looked_at(pictures, tmp_path / "place", monkeypatch)
    assert looks == 0 and len(second.manifest) == 40
    assert second.manifest.table.equals(first.manifest.table) and second.manifest.classes == first.manifest.classes
    assert second.manifest.source == "pictures" and second.manifest.fingerprint == first.manifest.fingerprint
    assert second.notices == first.notices and "1 file left out" in first.notices[0]
    assert first.manifest.kept == () and second.manifest.kept == tuple((tmp_path / "place").iterdir())


@pytest.mark.parametrize(
    "change",
    [
        lambda root: shutil.copy(root / "pear/000.png", root / "pear/new.png"),
        lambda root: (root / "plum/001.png").unlink(),
        lambda root: (root / "plum/001.png").rename(root / "plum/renamed.png"),
        lambda root: shutil.copytree(root / "pear", root / "quince"),
        lambda root: shutil.rmtree(root / "plum"),
        lambda root: (root / "pear/deeper").mkdir(),
    ],
    ids=["added", "removed", "renamed", "new class", "removed class", "deeper folder"],
)
def test_what_is_added_removed_or_renamed_is_seen(change: Change, pictures: Path, tmp_path: Path) -> None:
    index(FolderSource.at(pictures), tmp_path / "place")
    change(pictures)
    found = index(FolderSource.at(pictures), tmp_path / "place")
    fresh = index(FolderSource.at(pictures), None)
    assert found.manifest.table.equals(fresh.manifest.table) and found.manifest.kept == ()
    assert found.manifest.classes == fresh.manifest.classes


def test_another_folder_in_the_same_place_is_seen(pictures: Path, make_pictures: Make, tmp_path: Path) -> None:
    index(FolderSource.at(pictures), tmp_path / "place")
    other = make_pictures({"apple": 20, "pear": 20, "plum": 10}, name="other")
    settle(other)
    shutil.rmtree(pictures)
    other.rename(pictures)
    settle(pictures)
    assert len(index(FolderSource.at(pictures), tmp_path / "place").manifest) == 50


def test_no_index_is_kept_where_the_folders_may_not_tell(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def keeps() -> bool:
        shutil.rmtree(tmp_path / "place", ignore_errors=True)
        index(FolderSource.at(pictures), tmp_path / "place")
        return (tmp_path / "place").exists()

    assert keeps()
    os.utime(pictures / "pear", ns=(time.time_ns(), time.time_ns()))  # it could change again within its clock's tick
    assert not keeps()
    settle(pictures)
    (pictures / "pear/link.png").symlink_to(tmp_path / "missing.png")  # may come to life, and no folder changes
    settle(pictures)
    assert not keeps()
    (pictures / "pear/link.png").unlink()
    settle(pictures)
    assert keeps()
    monkeypatch.setattr(kept, "LARGE", 41)
    assert not keeps()


def test_a_damaged_index_is_made_anew(pictures: Path, tmp_path: Path) -> None:
    index(FolderSource.at(pictures), tmp_path / "place")
    (file,) = (tmp_path / "place").iterdir()
    content = file.read_bytes()
    for bad in (b"", content[: len(content) // 2], b"text"):
        file.write_bytes(bad)
        assert len(index(FolderSource.at(pictures), tmp_path / "place").manifest) == 40
        assert file.read_bytes()[:4] == b"PAR1"


def test_a_place_that_cannot_be_written_is_no_fault(pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert len(index(FolderSource.at(pictures), tmp_path / "file" / "place").manifest) == 40
