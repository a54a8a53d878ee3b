"""Training on a table and on an archive, from the command's text to the run; and an archive's room given back."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import pytest

import vitscope
from vitscope.config import DataConfig, merge
from vitscope.data.manifest import Manifest
from vitscope.data.sources import archive, kept
from vitscope.errors import RequestError
from vitscope.storage.workspace import Workspace
from vitscope.workflows import unpacked
from vitscope.workflows.data import check, import_dataset, prepare, show


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setattr(archive, "SETTLED_NS", -(10**12))  # files of these tests were written a moment ago
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def packed(pictures: Path) -> Path:
    """A zip of the forty pictures."""
    return Path(shutil.make_archive(str(pictures.parent / "packed"), "zip", pictures))


def tabled(pictures: Path, **columns: Any) -> Path:
    """A table of the forty pictures; each further column is a function of the picture's number."""
    file = pictures.parent / "labels.csv"
    paths = sorted(pictures.rglob("*.png"))
    with file.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["path", "label", *columns])
        for i, path in enumerate(paths):
            writer.writerow(
                [path.relative_to(file.parent), path.parent.name, *(value(i) for value in columns.values())]
            )
    return file


def test_a_table_and_a_folder_of_the_same_pictures_are_as_many(pictures: Path, workspace: Workspace) -> None:
    described = show(str(tabled(pictures)), workspace)
    assert described.name == "labels" and described.count == 40 and described.splits == {"": 40}
    assert [(c.name, c.count) for c in described.classes] == [("apple", 16), ("pear", 14), ("plum", 10)]
    assert check(str(tabled(pictures)), workspace).is_clean and not workspace.root.exists()


def test_a_run_on_a_table_with_splits(pictures: Path, tiny: dict, workspace: Workspace) -> None:
    file = tabled(pictures, split=lambda i: ("train", "train", "val", "test")[i % 4])
    run = vitscope.train(file, workspace=workspace, **merge(tiny, {"train": {"epochs": 1}}))
    manifest = Manifest.load(run.folder / "manifest.parquet")
    assert [sum(manifest.counts(split).values()) for split in ("train", "val", "test")] == [20, 10, 10]


def test_validation_from_another_table(pictures: Path, make_pictures: Any, workspace: Workspace) -> None:
    main = tabled(pictures)
    val = main.with_name("val.csv")
    shutil.copytree(pictures / "plum", pictures.parent / "more")
    val.write_text("file,class\nmore/000.png,plum\nmore/001.png,plum\n")
    manifest, *_ = prepare(DataConfig(source=str(main), val=str(val)), workspace)
    assert manifest.counts("val") == {"apple": 0, "pear": 0, "plum": 2}
    val.write_text("file,class\nmore/000.png,kiwi\n")
    with pytest.raises(
        RequestError, match=r"--val .*val.csv: 1 class in it that the training data do not have: 'kiwi'"
    ):
        prepare(DataConfig(source=str(main), val=str(val)), workspace)


def test_fault_28_groups_of_a_table_are_whole_in_a_run(pictures: Path, workspace: Workspace) -> None:
    file = tabled(pictures, group=lambda i: f"patient {i % 13}")
    manifest, _, _ = prepare(DataConfig(source=str(file), test_fraction=0.3), workspace)
    splits: dict[str, set[str]] = {}
    for path, split in zip(manifest.table["path"].to_pylist(), manifest.table["split"].to_pylist(), strict=True):
        number = sorted(pictures.rglob("*.png")).index(Path(path))
        splits.setdefault(f"patient {number % 13}", set()).add(split)
    assert len(splits) == 13 and all(len(each) == 1 for each in splits.values())
    assert set.union(*splits.values()) >= {"train", "test"}


def test_fault_26_a_table_that_says_something_else_since_the_import_is_told(
    pictures: Path, workspace: Workspace
) -> None:
    file = tabled(pictures)
    import_dataset(str(file), "fruit", workspace)
    assert prepare(DataConfig(source="fruit"), workspace).warnings == []
    file.write_text(file.read_text().replace("plum/000.png,plum", "plum/000.png,pear"))
    manifest, warnings, _ = prepare(DataConfig(source="fruit"), workspace)
    assert "gives 1 file another class, split or group than at the import, not used" in warnings[0]
    assert "plum/000.png" in warnings[0] and sum(manifest.counts().values()) == 40 and manifest.counts()["plum"] == 10
    file.write_text("".join(line for line in file.open() if "plum/000" not in line))
    with pytest.raises(RequestError, match=r"1 file of 40 has vanished .*plum/000.png"):
        prepare(DataConfig(source="fruit"), workspace)


def test_the_index_of_a_large_table_is_kept_until_it_or_a_folder_changes(
    pictures: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "LARGE", 40)
    monkeypatch.setattr(kept, "SETTLED_NS", -(10**12))
    workspace.root.mkdir()
    file = tabled(pictures)
    data = DataConfig(source=str(file))
    assert prepare(data, workspace).manifest.kept == () and len(prepare(data, workspace).manifest.kept) == 1
    file.write_text(file.read_text().replace("plum/000.png,plum", "plum/000.png,pear"))
    assert prepare(data, workspace).manifest.counts()["plum"] == 9
    (pictures / "plum/001.png").unlink()
    assert len(prepare(data, workspace).manifest) == 39


def test_fault_26_a_changed_archive_is_told_like_a_changed_folder(
    pictures: Path, packed: Path, workspace: Workspace
) -> None:
    import_dataset(str(packed), "fruit", workspace)
    first, warnings, _ = prepare(DataConfig(source="fruit"), workspace)
    assert warnings == [] and len(first) == 40
    shutil.copy(pictures / "pear/000.png", pictures / "pear/new.png")
    shutil.copy(pictures / "pear/001.png", pictures / "pear/002.png")
    shutil.make_archive(str(packed.with_suffix("")), "zip", pictures)
    manifest, warnings, _ = prepare(DataConfig(source="fruit"), workspace)
    assert "1 file has been added" in warnings[0] and "pear/new.png" in warnings[0]
    assert "1 file has changed since the import" in warnings[1] and "pear/002.png" in warnings[1]
    assert len(manifest) == 40 and manifest.changed() == []
    assert sorted(manifest.table["sample_id"].to_pylist()) == sorted(first.table["sample_id"].to_pylist())
    packed.unlink()
    with pytest.raises(RequestError, match=r"'fruit': .*packed.zip: could not be unpacked .No such file.*--replace"):
        prepare(DataConfig(source="fruit"), workspace)


def test_an_archive_moves_with_its_workspace(packed: Path, workspace: Workspace) -> None:
    import_dataset(str(packed), "fruit", workspace)
    there = Workspace(workspace.root.with_name("there"))
    workspace.root.rename(there.root)
    manifest, warnings, _ = prepare(DataConfig(source="fruit"), there)
    assert warnings == [] and all(path.startswith(str(there.root)) for path in manifest.table["path"].to_pylist())


def test_a_run_on_an_archive_goes_on_after_its_room_was_given_back(
    packed: Path, tiny: dict, workspace: Workspace
) -> None:
    seen: list[unpacked.Cleared] = []

    def clear_while_it_trains(event: object) -> None:
        if isinstance(event, vitscope.events.RunStarted):
            seen.append(unpacked.clear(workspace))

    options = merge(tiny, {"train": {"epochs": 1}, "data": {"cache": "off"}})
    run = vitscope.train(packed, workspace=workspace, observers=[clear_while_it_trains], **options)
    assert [(len(each.removed), len(each.in_use)) for each in seen] == [(0, 1)]
    (removed,), in_use = unpacked.clear(workspace)
    assert (removed.source, removed.files, in_use) == (str(packed), 40, []) and unpacked.list_(workspace) == []
    assert vitscope.evaluate(run, split="test").count == 8
    unpacked.clear(workspace)
    child = vitscope.resume(run.id, epochs=2, workspace=workspace)
    assert "vanished" not in (child.folder / "train.log").read_text() and len(unpacked.list_(workspace)) == 1
