from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.data.test_checks import of_folder
from vitscope.data.checks import copies, inspect_images
from vitscope.data.cleaning import cleaned


def test_fault_12_what_is_left_holds_no_bad_file_no_contradiction_and_each_picture_once(
    make_pictures: Callable[..., Path],
) -> None:
    folder = make_pictures({"a": 4, "b": 4}, split="train")
    make_pictures({"a": 2, "b": 2}, split="test", size=20)
    for copied, to in (
        ("train/a/000.png", "train/a/copy.png"),
        ("train/b/000.png", "test/b/copy.png"),
        ("train/a/001.png", "train/b/other.png"),
    ):
        (folder / to).write_bytes((folder / copied).read_bytes())
    (folder / "train/a/notes.png").write_text("notes")
    found = inspect_images(of_folder(folder))
    left, left_out = cleaned(found)
    reasons = {str(Path(path).relative_to(folder.resolve())): reason for path, reason in left_out}
    assert set(reasons) == {
        "train/a/notes.png",
        "train/a/copy.png",
        "train/b/000.png",  # the copy that is measured with stays
        "train/a/001.png",
        "train/b/other.png",
    }
    assert reasons["train/a/notes.png"] == "not an image (5 bytes)"
    assert reasons["train/a/copy.png"].endswith("train/a/000.png in train")
    assert reasons["train/b/000.png"].endswith("test/b/copy.png in test")
    assert reasons["train/a/001.png"] == "the same picture in 2 classes: 'a', 'b'"
    assert len(left) == len(found) - 5
    assert copies(left) == []
    assert not set(left.table["path"].to_pylist()) & {path for path, _ in left_out}


def test_a_clean_set_stays_whole(make_pictures: Callable[..., Path]) -> None:
    found = inspect_images(of_folder(make_pictures({"a": 3, "b": 3})))
    left, left_out = cleaned(found)
    assert left.table.equals(found.table) and left_out == []
