"""The folder source: layouts, names, what is left out and what is told. Nothing is decoded: files hold one letter."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from vitscope.data.manifest import Manifest
from vitscope.data.sources.folder import FolderSource
from vitscope.data.sources.scan import Scan
from vitscope.errors import RequestError


def lay(root: Path, *names: str) -> Path:
    """Files of one byte at these paths below `root`."""
    for name in names:
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("x")
    return root


def scan(root: Path) -> Scan:
    return FolderSource.at(root).scan()


def found(result: Scan) -> set[tuple[str, str, str]]:
    return {(r.split, r.class_name, r.locator) for r in result.records}


# ---------------------------------------------------------------------------------------------- layouts


def test_class_folders(tmp_path: Path) -> None:
    result = scan(lay(tmp_path, "b/1.jpg", "b/2.png", "a/1.jpg", "a/deep/er/3.webp"))
    assert result.classes == ("a", "b")
    assert found(result) == {
        ("", "a", "a/1.jpg"),
        ("", "a", "a/deep/er/3.webp"),
        ("", "b", "b/1.jpg"),
        ("", "b", "b/2.png"),
    }
    assert result.notices == []
    record = next(r for r in result.records if r.locator == "b/1.jpg")
    assert Path(record.path) == (tmp_path / "b/1.jpg").resolve()
    assert (record.size_bytes, record.mtime_ns, record.group) == (1, Path(record.path).stat().st_mtime_ns, None)


@pytest.mark.parametrize(("val", "test"), [("val", "test"), ("valid", "Test"), ("VALIDATION", "TEST")])
def test_split_folders_in_any_case(val: str, test: str, tmp_path: Path) -> None:
    result = scan(lay(tmp_path, "Train/a/1.jpg", "Train/b/1.jpg", f"{val}/a/1.jpg", f"{test}/b/1.jpg"))
    assert result.classes == ("a", "b")
    assert found(result) == {
        ("train", "a", "a/1.jpg"),
        ("train", "b", "b/1.jpg"),
        ("val", "a", "a/1.jpg"),
        ("test", "b", "b/1.jpg"),
    }


def test_a_train_folder_alone_is_a_split_layout(tmp_path: Path) -> None:
    result = scan(lay(tmp_path, "train/a/1.jpg", "train/b/1.jpg"))
    assert result.classes == ("a", "b") and {r.split for r in result.records} == {"train"}


def test_two_folders_for_one_split_are_refused(tmp_path: Path) -> None:
    lay(tmp_path, "train/a/1.jpg", "val/a/1.jpg", "validation/a/1.jpg")
    with pytest.raises(RequestError, match=r"'val', 'validation' all mean the val split"):
        scan(tmp_path)


def test_classes_may_be_called_train_and_test(tmp_path: Path) -> None:
    result = scan(lay(tmp_path, "train/1.jpg", "bus/1.jpg", "test/2.jpg"))
    assert result.classes == ("bus", "test", "train") and {r.split for r in result.records} == {""}


def test_splits_beside_another_folder_are_refused(tmp_path: Path) -> None:
    lay(tmp_path, "train/a/1.jpg", "test/a/1.jpg", "annotations/1.xml")
    with pytest.raises(RequestError, match=r"'test', 'train' are splits .* since 'annotations' lies beside them"):
        scan(tmp_path)


def test_splits_without_train_are_refused(tmp_path: Path) -> None:
    lay(tmp_path, "val/a/1.jpg", "test/a/1.jpg")
    with pytest.raises(RequestError, match="no train folder"):
        scan(tmp_path)


def test_splits_by_another_name_are_told(tmp_path: Path) -> None:
    result = scan(lay(tmp_path, *(f"{split}/{name}/1.jpg" for split in ("Training", "Testing") for name in "abc")))
    assert result.classes == ("Testing", "Training")
    assert any("rename them train, val and test" in notice for notice in result.notices)


def test_a_single_folder_around_the_classes_is_entered_and_told(tmp_path: Path) -> None:
    result = scan(lay(tmp_path / "signs", "README.md", "Dataset/0/1.JPG", "Dataset/1/1.JPG"))
    assert found(result) == {("", "0", "0/1.JPG"), ("", "1", "1/1.JPG")}
    assert "single folder 'Dataset'" in result.notices[0]


def test_folders_around_splits_are_entered(tmp_path: Path) -> None:
    result = scan(lay(tmp_path, "x/y/train/a/1.jpg", "x/y/test/a/1.jpg"))
    assert found(result) == {("train", "a", "a/1.jpg"), ("test", "a", "a/1.jpg")} and len(result.notices) == 2


def test_a_single_folder_with_images_and_folders_is_one_class_and_told(tmp_path: Path) -> None:
    result = scan(lay(tmp_path, "all/1.jpg", "all/a/1.jpg"))
    assert result.classes == ("all",) and "taken as one class" in result.notices[0]


def test_images_beside_class_folders_are_told(tmp_path: Path) -> None:
    result = scan(lay(tmp_path, "a/1.jpg", "b/1.jpg", "loose.jpg", "more.png"))
    assert len(result.records) == 2
    assert "2 images directly in" in result.notices[0] and "'loose.jpg'" in result.notices[0]


def test_images_without_class_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="2 images and no class folders"):
        scan(lay(tmp_path, "1.jpg", "2.jpg"))
    with pytest.raises(RequestError, match="train: 1 image and no class folders"):
        scan(lay(tmp_path / "split", "train/1.jpg", "test/a/1.jpg"))


def test_an_unlabelled_test_folder_is_told_and_not_used(tmp_path: Path) -> None:
    result = scan(lay(tmp_path, "train/a/1.jpg", "train/b/1.jpg", "test/1.jpg", "test/2.jpg"))
    assert {r.split for r in result.records} == {"train"}
    assert "without labels" in result.notices[0]


@pytest.mark.parametrize("names", [[], ["a/", "b/"], ["a/notes.txt"]])
def test_fault_13_a_folder_without_images_is_told(names: list[str], tmp_path: Path) -> None:
    for name in names:
        (tmp_path / name).mkdir() if name.endswith("/") else lay(tmp_path, name)
    with pytest.raises(RequestError, match="no images"):
        scan(tmp_path)


def test_a_class_folder_without_images_is_still_a_class(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert scan(lay(tmp_path, "a/1.jpg", "b/1.jpg")).classes == ("a", "b", "empty")


# ---------------------------------------------------------------------------------------------- names


NAMES = [
    "two words",
    "花",
    "😀👨‍👩‍👧",
    'it\'s "quoted"',
    "line\nbreak",
    "-rf",
    "ünï",
    "a;b|c&d",
    "$HOME",
    "%s{x}",
    "[red]x",
]


def test_fault_17_unusual_names_work(tmp_path: Path) -> None:
    result = scan(lay(tmp_path, *(f"{name}/{name}.jpg" for name in NAMES)))
    assert set(result.classes) == set(NAMES) and list(result.classes) == sorted(NAMES)
    manifest = Manifest.from_records(result.records, result.classes, "names")
    assert all(Path(path).read_text() == "x" for path in manifest.table["path"].to_pylist())
    manifest.save(tmp_path / "manifest.parquet")
    assert Manifest.load(tmp_path / "manifest.parquet").classes == result.classes


def test_fault_17_undecodable_names_are_told_and_left_out(tmp_path: Path) -> None:
    lay(tmp_path, "a/1.jpg", "b/1.jpg")
    Path(os.fsdecode(os.fsencode(tmp_path / "a") + b"/caf\xe9.jpg")).write_text("x")
    result = scan(tmp_path)
    assert len(result.records) == 2
    assert "1 name left out" in result.notices[0] and r"caf\xe9.jpg" in result.notices[0]


def test_fault_17_an_undecodable_path_to_the_folder_is_told(tmp_path: Path) -> None:
    root = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    with pytest.raises(RequestError, match=r"caf\\xe9: the bytes of this path are not valid text"):
        scan(lay(root, "a/1.jpg", "b/1.jpg"))


def test_one_class_though_two_systems_write_its_accent_differently(tmp_path: Path) -> None:
    result = scan(lay(tmp_path, "train/caf\u00e9/1.jpg", "train/b/1.jpg", "test/cafe\u0301/1.jpg"))
    assert result.classes == ("b", "caf\u00e9") and len(result.records) == 3


def test_notices_show_line_breaks_and_escape_codes_as_text(tmp_path: Path) -> None:
    notice = scan(lay(tmp_path, "a/1.jpg", "b/1.jpg", "red\x1b[31m\nline.jpg")).notices[0]
    assert "\n" not in notice and "\x1b" not in notice and r"red\x1b[31m\nline.jpg" in notice


def test_fault_18_upper_case_extensions(tmp_path: Path) -> None:
    endings = ("JPG", "Jpeg", "PNG", "bmp", "GIF", "WebP", "tif", "TIFF", "ppm", "pgm", "jfif")
    assert len(scan(lay(tmp_path, "b/1.jpg", *(f"a/{ending}.{ending}" for ending in endings))).records) == 12


def test_fault_19_what_systems_leave_behind_is_ignored(tmp_path: Path) -> None:
    ignored = [
        "a/.DS_Store",
        "a/._1.jpg",
        "a/Thumbs.db",
        "b/desktop.ini",
        ".hidden/1.jpg",
        "__MACOSX/a/1.jpg",
        ".top.jpg",
    ]
    result = scan(lay(tmp_path, "a/1.jpg", "b/1.jpg", *ignored, "vitscope-workspace/runs/x/charts/loss.png"))
    assert result.classes == ("a", "b") and len(result.records) == 2 and result.notices == []


def test_other_files_are_counted_in_one_notice(tmp_path: Path) -> None:
    result = scan(lay(tmp_path, "a/1.jpg", "b/1.jpg", "a/1.txt", "b/2.txt", "labels.csv", "LICENSE"))
    assert result.notices == ["4 files left out, no image by name (2 .txt, 1 .csv, 1 without extension)."]


def test_fault_10_heic_is_used_or_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    lay(tmp_path, "a/1.jpg", "b/1.jpg", "a/2.HEIC")
    monkeypatch.setattr(Image, "registered_extensions", lambda: {".jpg": "JPEG"})
    told = scan(tmp_path)
    assert len(told.records) == 2 and "1 .heic file left out" in told.notices[0] and "pillow-heif" in told.notices[0]
    monkeypatch.setattr(Image, "registered_extensions", lambda: {".heic": "HEIF"})
    assert len(scan(tmp_path).records) == 3


# ---------------------------------------------------------------------------------------------- links, rights


def test_fault_20_symlink_loops_end_and_are_told(tmp_path: Path) -> None:
    lay(tmp_path, "a/1.jpg", "a/deep/2.jpg", "b/1.jpg")
    (tmp_path / "a/deep/up").symlink_to("..")
    (tmp_path / "b/root").symlink_to(tmp_path)
    (tmp_path / "c").symlink_to(".")
    (tmp_path / "b/itself.jpg").symlink_to("itself.jpg")
    (tmp_path / "only").mkdir()
    (tmp_path / "only/itself").symlink_to("itself")
    result = scan(tmp_path)
    assert {r.locator for r in result.records} == {"a/1.jpg", "a/deep/2.jpg", "b/1.jpg"}
    assert any("3 links back to a folder above" in notice for notice in result.notices)
    assert any("'" + str(tmp_path / "b/itself.jpg") in notice for notice in result.notices)


def test_links_to_files_and_folders_elsewhere_are_followed(tmp_path: Path) -> None:
    lay(tmp_path / "store", "cats/1.jpg", "cats/2.jpg", "one.jpg")
    lay(tmp_path / "set", "dogs/1.jpg")
    (tmp_path / "set/cats").symlink_to(tmp_path / "store/cats")
    (tmp_path / "set/dogs/linked.jpg").symlink_to(tmp_path / "store/one.jpg")
    assert {r.locator for r in scan(tmp_path / "set").records} == {
        "cats/1.jpg",
        "cats/2.jpg",
        "dogs/1.jpg",
        "dogs/linked.jpg",
    }


def test_dangling_links_and_pipes_are_told_not_waited_for(tmp_path: Path) -> None:
    lay(tmp_path, "a/1.jpg", "b/1.jpg")
    (tmp_path / "a/gone.jpg").symlink_to("nowhere.jpg")
    (tmp_path / "gone").symlink_to("nowhere")
    os.mkfifo(tmp_path / "b/pipe.jpg")
    result = scan(tmp_path)
    assert len(result.records) == 2
    assert any("2 links left out" in notice for notice in result.notices) and any(
        "1 .jpg" in notice for notice in result.notices
    )


@pytest.mark.parametrize("mode", [0o000, 0o644])
@pytest.mark.parametrize("closed", ["a", "a/deep", "."])
def test_fault_21_an_unreadable_folder_is_told_by_name(
    closed: str, mode: int, open_folder: Path, as_nobody: Callable[[Callable[[], str]], str]
) -> None:
    lay(open_folder, "a/1.jpg", "a/deep/2.jpg", "b/1.jpg")
    folder = open_folder / closed
    folder.chmod(mode)  # 0o644: its names may be read, what they stand for not

    def question() -> str:
        try:
            return f"found {len(scan(open_folder).records)}"
        except RequestError as error:
            return str(error)

    told = as_nobody(question)
    assert f"{folder}" in told and "not readable (permission denied)" in told


# ---------------------------------------------------------------------------------------------- identity, speed


def test_the_name_is_the_folder_as_written_and_ids_do_not_depend_on_where_it_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (lay(tmp_path / place / "fruit", "a/1.jpg", "b/1.jpg") for place in ("here", "there"))
    (tmp_path / "link").symlink_to(first)
    monkeypatch.chdir(first / "a")
    sources = [FolderSource.at(path) for path in (first, second, f"{first}/", "..", tmp_path / "link")]
    assert [source.name for source in sources] == ["fruit", "fruit", "fruit", "fruit", "link"]
    ids = [
        Manifest.from_records(s.scan().records, s.scan().classes, s.name).table["sample_id"].to_pylist()
        for s in sources
    ]
    assert ids[0] == ids[1] == ids[2] == ids[3] and len(set(ids[0])) == 2


def test_twenty_thousand_files_a_second(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for i in range(4000):
            (tmp_path / name / f"{i}.jpg").touch()
    best = min(_seconds(lambda: scan(tmp_path)) for _ in range(3))
    assert 8000 / best > 20_000


def _seconds(work: Callable[[], object]) -> float:
    start = time.process_time()  # of this process: others run beside the test
    work()
    return time.process_time() - start
