"""What would break training is refused with a reason; what is wrong with files is found by decoding them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vitscope.config import options
from vitscope.data.checks import animated, check_trainable, copies, inspect_images, odd_sizes
from vitscope.data.manifest import Manifest, Record
from vitscope.data.sources.folder import FolderSource
from vitscope.errors import RequestError

Row = tuple[str, str, int]  # class, split, bytes


def manifest_of(rows: list[Row], classes: list[str] | None = None) -> Manifest:
    records = [Record(f"/{i}.png", f"{i:05d}.png", name, split, size, 0) for i, (name, split, size) in enumerate(rows)]
    return Manifest.from_records(records, classes or sorted({name for name, _, _ in rows}), "made")


def of_folder(folder: Path) -> Manifest:
    source = FolderSource.at(folder)
    records, classes, _ = source.scan()
    return Manifest.from_records(records, classes, source.name)


# ---------------------------------------------------------------------------------------------- before training


def test_fault_01_empty_files_are_left_out_counted_and_named() -> None:
    manifest, notices = check_trainable(manifest_of([("a", "", 5), ("a", "", 0), ("b", "", 5), ("b", "", 0)] * 10))
    assert len(manifest) == 20 and 0 not in manifest.table["size_bytes"].to_pylist()
    assert notices[0] == "20 image files of 40 left out, empty (0 bytes): '/1.png', '/3.png', '/5.png' and 17 more."


def test_fault_02_what_a_check_found_bad_is_left_out_and_told() -> None:
    manifest = manifest_of([("a", "", 5), ("b", "", 5)] * 10)
    manifest, notices = check_trainable(manifest.with_column("problem", ["a damaged image"] + [None] * 19))
    assert len(manifest) == 19
    assert notices[0] == "1 image file of 20 left out, found bad by 'vitscope data check': '/0.png'."


def test_fault_13_nothing_usable_is_refused() -> None:
    with pytest.raises(RequestError, match=r"no usable images\. 2 image files of 2 left out, empty"):
        check_trainable(manifest_of([("a", "", 0), ("b", "", 0)]))
    with pytest.raises(RequestError, match="no usable images"):
        check_trainable(manifest_of([], ["a", "b"]))


def test_fault_14_one_class_is_refused() -> None:
    with pytest.raises(RequestError, match="one class only, 'a': a classifier needs at least two"):
        check_trainable(manifest_of([("a", "", 5)] * 9))
    with pytest.raises(RequestError, match="one class only, 'a'"):
        check_trainable(manifest_of([("a", "", 5), ("b", "", 0)]))


@pytest.mark.parametrize("split", ["val", "test"])
def test_fault_15_a_class_empty_in_training_is_refused_by_name(split: str) -> None:
    rows = [("a", "train", 5), ("b", "train", 5), ("c", split, 5), ("c", split, 5)]
    with pytest.raises(RequestError, match=r"1 class of 'made' would be evaluated but never trained.* 'c' \(2\)"):
        check_trainable(manifest_of(rows))


def test_fault_15_a_class_whose_training_files_are_all_empty_is_refused() -> None:
    with pytest.raises(RequestError, match=r"never trained.* 'c' \(1\)"):
        check_trainable(manifest_of([("a", "train", 5), ("b", "train", 5), ("c", "train", 0), ("c", "test", 5)]))


def test_fault_16_more_classes_in_test_than_train_are_refused_by_name() -> None:
    rows = [("a", "train", 5), ("b", "train", 5), *((f"x{i:02d}", "test", 5) for i in range(12))]
    with pytest.raises(RequestError, match=r"12 classes .*'x00' \(1\), 'x01' \(1\).* …"):
        check_trainable(manifest_of(rows))


def test_no_training_images_are_refused() -> None:
    with pytest.raises(RequestError, match="no training images: all 2 are for validation or test"):
        check_trainable(manifest_of([("a", "val", 5), ("b", "test", 5)]))


def test_classes_without_images_are_left_out_and_labels_follow_their_names() -> None:
    manifest, notices = check_trainable(manifest_of([("b", "", 5), ("d", "", 5)] * 10, ["a", "b", "c", "d"]))
    assert manifest.classes == ("b", "d") and manifest.counts() == {"b": 10, "d": 10}
    assert notices == ["2 classes without any image left out: 'a', 'c'."]


def test_fault_29_uneven_and_tiny_classes_are_told_with_the_options_that_help() -> None:
    _, notices = check_trainable(manifest_of([("big", "", 5)] * 1000 + [("mid", "", 5)] * 100 + [("tiny", "", 5)]))
    assert "'big' has 1,000 training images, 'tiny' 1." in notices[0]
    assert {"--sampling", "--class-weights"} <= {option.flag for option in options()}
    assert "--sampling balanced or --class-weights balanced gives them more weight" in notices[0]
    assert notices[1] == "1 class has fewer than 10 training images: 'tiny'."
    assert check_trainable(manifest_of([("a", "", 5)] * 100 + [("b", "", 5)] * 30))[1] == []


def test_a_class_that_is_never_tested_is_told() -> None:
    rows = [("a", "train", 5), ("b", "train", 5)] * 10 + [("a", "test", 5)]
    assert check_trainable(manifest_of(rows))[1] == ["1 class has no test image: 'b'."]


def test_names_that_differ_in_case_only_are_told() -> None:
    _, notices = check_trainable(manifest_of([("Cat", "", 5), ("cat", "", 5), ("dog", "", 5)] * 10))
    assert notices[0].startswith("'Cat', 'cat' are 2 classes whose names differ in case or blanks only")


# ---------------------------------------------------------------------------------------------- decoding all


@pytest.fixture
def mixed(make_pictures: Callable[..., Path]) -> Path:
    """Three good pictures in each of two classes, and in `a` one of each that is none."""
    folder = make_pictures({"a": 3, "b": 3})
    whole = (folder / "a/000.png").read_bytes()
    (folder / "a/empty.jpg").touch()
    (folder / "a/text.jpg").write_text("these are notes\n")
    (folder / "a/truncated.png").write_bytes(whole[: len(whole) // 2])
    return folder


def problems(manifest: Manifest) -> dict[str, str]:
    rows = zip(manifest.table["path"].to_pylist(), manifest.table["problem"].to_pylist(), strict=True)
    return {Path(path).name: problem for path, problem in rows if problem is not None}


def test_faults_01_02_03_every_bad_file_is_found_with_its_reason(mixed: Path) -> None:
    found = problems(inspect_images(of_folder(mixed)))
    assert set(found) == {"empty.jpg", "text.jpg", "truncated.png"}
    assert (
        "0 bytes" in found["empty.jpg"]
        and "not an image" in found["text.jpg"]
        and "truncated" in found["truncated.png"]
    )


def test_sizes_and_hashes_are_those_of_the_files(mixed: Path) -> None:
    (mixed / "b/tall.png").unlink(missing_ok=True)
    Image.new("RGB", (5, 50)).save(mixed / "b/tall.png")
    manifest = inspect_images(of_folder(mixed))
    for row in manifest.table.to_pylist():
        if row["problem"] is None:
            with Image.open(row["path"]) as picture:
                assert (row["width"], row["height"]) == picture.size
        else:
            assert row["width"] is None and row["height"] is None
    hashes = manifest.table["content_hash"].to_pylist()
    assert None not in hashes and len(set(hashes)) == len(
        {Path(p).read_bytes() for p in manifest.table["path"].to_pylist()}
    )


def test_turned_pictures_have_the_size_that_they_are_seen_with(make_pictures: Callable[..., Path]) -> None:
    folder = make_pictures({"a": 1, "b": 1})
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (30, 20)).save(folder / "a/000.png", exif=exif)
    table = inspect_images(of_folder(folder)).table
    assert (table["width"][0].as_py(), table["height"][0].as_py()) == (20, 30)


def test_a_file_that_vanished_is_a_problem(mixed: Path) -> None:
    manifest = of_folder(mixed)
    (mixed / "b/001.png").unlink()
    assert problems(inspect_images(manifest))["001.png"] == "not readable (no such file or directory)"


def test_progress_counts_every_image_in_order(mixed: Path) -> None:
    seen: list[tuple[int, int]] = []
    inspect_images(of_folder(mixed), lambda done, total: seen.append((done, total)))
    assert seen == [(i + 1, 9) for i in range(9)]


def test_an_empty_manifest_is_inspected_too() -> None:
    assert len(inspect_images(manifest_of([], ["a"]))) == 0


def test_stopping_does_not_wait_for_the_rest_and_leaves_warnings_alone(mixed: Path) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    before = list(warnings.filters)
    with pytest.raises(KeyboardInterrupt):
        inspect_images(of_folder(mixed), stop)
    inspect_images(of_folder(mixed))
    assert list(warnings.filters) == before


# ---------------------------------------------------------------------------------------------- what was found


def test_fault_12_the_same_picture_twice_is_found_within_and_across_splits_and_classes(
    make_pictures: Callable[..., Path],
) -> None:
    folder = make_pictures({"a": 4, "b": 4}, split="train")
    make_pictures({"a": 2, "b": 2}, split="test", size=20)
    for copied, to in (("train/a/000.png", "train/a/copy.png"), ("train/b/000.png", "test/b/copy.png")):
        (folder / to).write_bytes((folder / copied).read_bytes())
    (folder / "train/b/other.png").write_bytes((folder / "train/a/001.png").read_bytes())
    for name in ("train/a/e1.png", "train/b/e2.png"):
        (folder / name).touch()  # two empty files are no picture at all
    found = copies(inspect_images(of_folder(folder)))
    named = {
        (*sorted(f"{file.split} {file.class_name} {Path(file.path).name}" for file in group.files),): group
        for group in found
    }
    within = named.pop(("train a 000.png", "train a copy.png"))
    across = named.pop(("test b copy.png", "train b 000.png"))
    between = named.pop(("train a 001.png", "train b other.png"))
    assert named == {}
    assert (within.is_leak, within.is_contradiction) == (False, False)
    assert (across.is_leak, across.is_contradiction) == (True, False)
    assert (between.is_leak, between.is_contradiction) == (False, True)


def test_fault_08_pictures_of_several_frames_are_named(make_pictures: Callable[..., Path]) -> None:
    folder = make_pictures({"a": 2, "b": 2})
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "green")]
    for name in ("a/moving.gif", "b/moving.webp"):
        frames[0].save(folder / name, save_all=True, append_images=frames[1:])
    frames[0].save(folder / "a/still.gif")
    found = animated(inspect_images(of_folder(folder)))
    assert [Path(path).name for path in found] == ["moving.gif", "moving.webp"]


def test_fault_09_odd_sizes_are_named(make_pictures: Callable[..., Path]) -> None:
    folder = make_pictures({"a": 2, "b": 2})
    for name, size in (("dot", (1, 1)), ("line", (9, 200)), ("wide", (100, 10))):
        Image.fromarray(np.zeros((size[1], size[0], 3), np.uint8)).save(folder / f"a/{name}.png")
    found = odd_sizes(inspect_images(of_folder(folder)))
    assert [(Path(odd.path).stem, odd.width, odd.height) for odd in found] == [("dot", 1, 1), ("line", 9, 200)]


def test_an_unreadable_file_is_a_problem(open_folder: Path, as_nobody: Callable[[Callable[[], str]], str]) -> None:
    for name in ("a", "b"):
        (open_folder / name).mkdir()
        Image.new("RGB", (4, 4)).save(open_folder / name / "1.png")
    (open_folder / "b/1.png").chmod(0)
    told = as_nobody(lambda: str(inspect_images(of_folder(open_folder)).table["problem"].to_pylist()))
    assert told == "[None, 'not readable (permission denied)']"
