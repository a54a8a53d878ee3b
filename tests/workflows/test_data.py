"""Preparing, importing and checking data sets, on drawn pictures and a real workspace."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from vitscope.config import DataConfig
from vitscope.data.manifest import Manifest
from vitscope.errors import RequestError
from vitscope.storage.workspace import Workspace
from vitscope.workflows.data import check, import_dataset, list_, prepare, read_split, show

Make = Callable[..., Path]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


def config(source: Path | str, **options: object) -> DataConfig:
    return DataConfig(source=str(source), **{k: str(v) if isinstance(v, Path) else v for k, v in options.items()})  # type: ignore[arg-type]


def sizes(manifest: Manifest) -> dict[str, int]:
    return {split: sum(manifest.counts(split).values()) for split in ("train", "val", "test")}


def labels_of(manifest: Manifest, split: str) -> dict[str, str]:
    """Class name by path below the source, as the labels say it."""
    table = manifest.of_split(split).table
    rows = zip(table["path"].to_pylist(), table["label"].to_pylist(), strict=True)
    return {"/".join(Path(path).parts[-2:]): manifest.classes[label] for path, label in rows}


# ---------------------------------------------------------------------------------------------- prepare


def test_a_folder_is_checked_and_split(pictures: Path, workspace: Workspace) -> None:
    manifest, warnings, notices = prepare(config(pictures), workspace)
    assert warnings == []
    assert manifest.classes == ("apple", "pear", "plum") and manifest.source == "pictures"
    assert sizes(manifest) == {"train": 29, "val": 3, "test": 8}  # of 40: 20 %, then 10 % of 32
    assert notices[-1].startswith("No validation and no test split were given: of 40 images, 8 (20 %)")
    assert not workspace.root.exists()
    again, *_ = prepare(config(pictures), workspace)
    assert again.table.equals(manifest.table)


def test_the_options_reach_the_split(pictures: Path, workspace: Workspace) -> None:
    manifest, *_ = prepare(config(pictures, test_fraction=0.5, val_fraction=0.0), workspace)
    assert sizes(manifest) == {"train": 20, "val": 0, "test": 20}
    other, *_ = prepare(config(pictures, test_fraction=0.5, val_fraction=0.0, split_seed=1), workspace)
    assert labels_of(other, "test").keys() != labels_of(manifest, "test").keys()


def test_no_data_is_told(workspace: Workspace) -> None:
    with pytest.raises(RequestError, match="No data given"):
        prepare(DataConfig(), workspace)


def test_empty_files_do_not_change_the_split_of_the_rest(pictures: Path, workspace: Workspace) -> None:
    before, *_ = prepare(config(pictures), workspace)
    (pictures / "apple/zero.jpg").touch()
    after, warnings, _ = prepare(config(pictures), workspace)
    assert labels_of(after, "test") == labels_of(before, "test")
    assert "1 image file of 41 left out, empty" in warnings[0]


def test_fault_27_val_and_test_are_mapped_by_name_whatever_their_order(
    make_pictures: Make, workspace: Workspace
) -> None:
    main = make_pictures({"b": 12, "c": 12, "a": 12}, name="main")
    val = make_pictures({"c": 2, "b": 3}, name="val")  # sorted by itself, c would be 1 and b 0
    test = make_pictures({"c": 4}, name="test")
    manifest, _, notices = prepare(config(main, val=val, test=test), workspace)
    assert manifest.classes == ("a", "b", "c")
    assert manifest.counts("val") == {"a": 0, "b": 3, "c": 2} and manifest.counts("test") == {"a": 0, "b": 0, "c": 4}
    for split in ("train", "val", "test"):
        assert all(path.split("/")[0] == name for path, name in labels_of(manifest, split).items())
    assert sizes(manifest) == {"train": 36, "val": 5, "test": 4}
    assert notices[-1] == "Split as given: 36 images for training, 5 for validation, 4 for test."
    assert len(set(manifest.table["sample_id"].to_pylist())) == 45


def test_a_source_with_splits_gives_the_one_asked_for(make_pictures: Make, workspace: Workspace) -> None:
    main = make_pictures({"a": 12, "b": 12}, name="main")
    for split, number in (("train", 9), ("validation", 3), ("test", 5)):
        other = make_pictures({"a": number, "b": number}, name="other", split=split)
    manifest, *_ = prepare(config(main, val=other, test=other), workspace)
    assert sizes(manifest) == {"train": 24, "val": 6, "test": 10}
    with pytest.raises(RequestError, match="has no val split"):
        shutil.rmtree(other / "validation")
        prepare(config(main, val=other), workspace)


def test_an_own_split_is_replaced_and_told(make_pictures: Make, workspace: Workspace) -> None:
    for split, number in (("train", 10), ("test", 5)):
        main = make_pictures({"a": number, "b": number}, name="main", split=split)
    test = make_pictures({"a": 2, "b": 2}, name="elsewhere")
    manifest, _, notices = prepare(config(main, test=test), workspace)
    assert sizes(manifest) == {"train": 18, "val": 2, "test": 4}
    assert "--test takes the place of the 10 test images of 'main'." in notices


def test_fault_16_classes_that_training_does_not_have_are_refused_by_name(
    make_pictures: Make, workspace: Workspace
) -> None:
    main = make_pictures({"apple": 12, "pear": 12}, name="main")
    test = make_pictures({"Apple": 2, "pear": 2}, name="test")
    with pytest.raises(RequestError, match=r"--test .*1 class .*'Apple'.*Did you mean 'apple'"):
        prepare(config(main, test=test), workspace)


def test_measuring_on_training_images_is_refused(pictures: Path, workspace: Workspace) -> None:
    with pytest.raises(RequestError, match=r"--val .*40 images of it in another split too"):
        prepare(config(pictures, val=pictures), workspace)


def test_a_source_for_a_model_is_labelled_by_its_classes(make_pictures: Make, workspace: Workspace) -> None:
    folder = make_pictures({"b": 3, "a": 2})
    manifest, _ = read_split(str(folder), "test", ("x", "b", "a"), workspace)
    assert manifest.classes == ("x", "b", "a") and manifest.counts("test") == {"x": 0, "b": 3, "a": 2}


# ---------------------------------------------------------------------------------------------- import


def test_an_imported_set_is_found_by_name_and_images_stay(pictures: Path, workspace: Workspace) -> None:
    row, notices = import_dataset(str(pictures), "fruit", workspace)
    assert (row.name, row.count, row.classes, row.source) == (
        "fruit",
        40,
        ("apple", "pear", "plum"),
        str(pictures.resolve()),
    )
    assert row.manifest == "datasets/fruit/manifest.parquet" and notices == []
    assert list_(workspace) == [row]
    assert [p.name for p in workspace.datasets_folder.rglob("*")] == ["fruit", "manifest.parquet"]
    manifest, *_ = prepare(config("fruit"), workspace)
    assert manifest.source == "fruit" and sizes(manifest) == {"train": 29, "val": 3, "test": 8}
    assert all(Path(path).parent.parent == pictures.resolve() for path in manifest.table["path"].to_pylist())


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../up", "a/b", "a\\b", "-x", ".hid", "a b", "花", "a\n", "a\0", "x" * 101]
)
def test_names_that_are_not_allowed_are_told(name: str, pictures: Path, workspace: Workspace) -> None:
    with pytest.raises(RequestError, match=r"--name .* is 1 to 100 letters"):
        import_dataset(str(pictures), name, workspace)
    assert not workspace.root.exists()


@pytest.mark.parametrize("name", ["digits", "Digits", "shapes"])
def test_builtin_names_are_taken(name: str, pictures: Path, workspace: Workspace) -> None:
    with pytest.raises(RequestError, match="comes with the program"):
        import_dataset(str(pictures), name, workspace)


def test_a_taken_name_is_told_and_replaced_when_asked(pictures: Path, workspace: Workspace) -> None:
    import_dataset(str(pictures), "fruit", workspace)
    shutil.rmtree(pictures / "plum")
    for name in ("fruit", "FRUIT"):
        with pytest.raises(RequestError, match=r"'fruit' is already imported \(from .*, 40 images\).*--replace"):
            import_dataset(str(pictures), name, workspace)
    with pytest.raises(RequestError, match="already imported"):
        import_dataset(str(pictures), "FRUIT", workspace, replace_existing=True)
    assert list_(workspace)[0].count == 40
    assert import_dataset(str(pictures), "fruit", workspace, replace_existing=True).row.count == 30
    assert [row.count for row in list_(workspace)] == [30]


def test_a_failed_import_leaves_nothing(tmp_path: Path, workspace: Workspace) -> None:
    (tmp_path / "nothing").mkdir()
    with pytest.raises(RequestError, match="no images"):
        import_dataset(str(tmp_path / "nothing"), "fruit", workspace)
    assert not workspace.root.exists()


def test_digits_under_a_name_move_with_the_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vitscope.storage import artifacts

    monkeypatch.setattr(artifacts, "flush", lambda path: None)
    import_dataset("digits", "mine", Workspace(tmp_path / "old"))
    (tmp_path / "old").rename(tmp_path / "new")
    manifest, warnings, notices = prepare(config("mine"), Workspace(tmp_path / "new"))
    assert len(manifest) == 1797 and len(notices) == 1 and warnings == []
    assert all(path.startswith(f"{tmp_path}/new/") for path in manifest.table["path"].to_pylist())


def test_a_name_wins_over_a_folder_and_this_is_told(
    pictures: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_dataset(str(pictures), "pictures", workspace)
    monkeypatch.chdir(pictures.parent)
    assert show("pictures", workspace).notices == [
        "'pictures' means the data set of that name; for the folder here write ./pictures."
    ]
    assert show("./pictures", workspace).notices == []


# ---------------------------------------------------------------------------------------------- changes since import


def test_fault_26_changed_and_added_files_are_told_with_examples(pictures: Path, workspace: Workspace) -> None:
    imported = import_dataset(str(pictures), "fruit", workspace).row
    shutil.copy(pictures / "pear/000.png", pictures / "pear/new.png")
    shutil.copy(pictures / "pear/001.png", pictures / "pear/002.png")
    manifest, warnings, _ = prepare(config("fruit"), workspace)
    assert "1 file has been added" in warnings[0] and "pear/new.png" in warnings[0]
    assert f"vitscope data import {pictures} --name fruit --replace" in warnings[0]
    assert "1 file has changed since the import" in warnings[1] and "pear/002.png" in warnings[1]
    assert len(manifest) == 40 and manifest.fingerprint != imported.fingerprint
    sizes_now = dict(zip(manifest.table["path"].to_pylist(), manifest.table["size_bytes"].to_pylist(), strict=True))
    assert sizes_now[str(pictures / "pear/002.png")] == (pictures / "pear/001.png").stat().st_size


def test_fault_26_vanished_files_are_refused(pictures: Path, workspace: Workspace) -> None:
    import_dataset(str(pictures), "fruit", workspace)
    (pictures / "plum/000.png").unlink()
    with pytest.raises(RequestError, match=r"1 file of 40 has vanished since the import .*plum/000.png.*--replace"):
        prepare(config("fruit"), workspace)
    shutil.rmtree(pictures)
    with pytest.raises(RequestError, match=r"'fruit': .*not readable .No such file.*--replace"):
        prepare(config("fruit"), workspace)


def test_what_a_check_found_about_a_changed_file_is_forgotten(pictures: Path, workspace: Workspace) -> None:
    good = (pictures / "plum/000.png").read_bytes()
    (pictures / "plum/000.png").write_text("no picture")
    import_dataset(str(pictures), "fruit", workspace)
    check("fruit", workspace)
    assert len(prepare(config("fruit"), workspace).manifest) == 39
    (pictures / "plum/000.png").write_bytes(good)
    assert len(prepare(config("fruit"), workspace).manifest) == 40


# ---------------------------------------------------------------------------------------------- check, show


@pytest.fixture
def flawed(pictures: Path) -> Path:
    (pictures / "apple/text.jpg").write_text("notes")
    (pictures / "apple/zero.jpg").touch()
    return pictures


def test_a_clean_set_is_clean(pictures: Path, workspace: Workspace) -> None:
    report = check(str(pictures), workspace)
    assert report.is_clean and report.count == 40 and report.bad == [] and report.notices == []
    assert not workspace.root.exists()


def test_faults_01_03_a_check_names_bad_files_and_training_leaves_them_out(flawed: Path, workspace: Workspace) -> None:
    import_dataset(str(flawed), "fruit", workspace)
    report = check("fruit", workspace)
    assert not report.is_clean
    assert [(Path(bad.path).name, bad.reason) for bad in report.bad] == [
        ("text.jpg", "not an image (5 bytes)"),
        ("zero.jpg", "an empty file (0 bytes)"),
    ]
    manifest, warnings, _ = prepare(config("fruit"), workspace)
    assert len(manifest) == 40
    assert [text.split(":")[0] for text in warnings[:2]] == [
        "1 image file of 42 left out, empty (0 bytes)",
        "1 image file of 42 left out, found bad by 'vitscope data check'",
    ]
    described = show("fruit", workspace)
    assert (described.count, described.checked, described.bad) == (42, 42, 2)


def test_fault_12_a_leak_and_a_contradiction_are_faults_and_a_copy_is_not(
    make_pictures: Make, workspace: Workspace
) -> None:
    for split in ("train", "test"):
        folder = make_pictures({"a": 12, "b": 12}, split=split, size=20 if split == "test" else 24)
    shutil.copy(folder / "train/a/000.png", folder / "train/a/copy.png")
    report = check(str(folder), workspace)
    assert report.is_clean and len(report.copies) == 1
    shutil.copy(folder / "train/a/001.png", folder / "test/a/leak.png")
    report = check(str(folder), workspace)
    assert not report.is_clean and len(report.leaks) == 1 and report.contradictions == []
    (folder / "test/a/leak.png").unlink()
    shutil.copy(folder / "train/a/002.png", folder / "train/b/same.png")
    report = check(str(folder), workspace)
    assert not report.is_clean and len(report.contradictions) == 1 and report.leaks == []


def test_what_training_would_refuse_is_a_fault(make_pictures: Make, workspace: Workspace) -> None:
    report = check(str(make_pictures({"alone": 12})), workspace)
    assert not report.is_clean and "one class only" in report.refusal


def test_show_counts_by_class_and_split(make_pictures: Make, workspace: Workspace) -> None:
    for split, number in (("train", 4), ("test", 2)):
        folder = make_pictures({"a": number, "b": 3}, split=split)
    described = show(str(folder), workspace)
    assert described.splits == {"train": 7, "test": 5} and described.imported_at is None and described.checked == 0
    assert [(c.name, c.count, c.splits) for c in described.classes] == [
        ("a", 6, {"train": 4, "test": 2}),
        ("b", 6, {"train": 3, "test": 3}),
    ]


def test_an_imported_set_whose_manifest_is_lost_is_told(pictures: Path, workspace: Workspace) -> None:
    row = import_dataset(str(pictures), "fruit", workspace).row
    (workspace.root / row.manifest).unlink()
    with pytest.raises(RequestError, match=r"manifest.parquet: no such manifest"):
        prepare(config("fruit"), workspace)
    import_dataset(str(pictures), "fruit", workspace, replace_existing=True)
    assert show("fruit", workspace).count == 40
