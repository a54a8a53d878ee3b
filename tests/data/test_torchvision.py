"""Sets of torchvision's: what is found in each, kept once and whole, and what is told where it cannot be had."""

from __future__ import annotations

import hashlib
import io
import multiprocessing
import os
import re
import tarfile
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torchvision import datasets

from tests.data.torchvision_layouts import EACH, LAYOUTS, cifar10, food101, mnist
from vitscope.data.manifest import Manifest
from vitscope.data.sources import listed, open_source, restore
from vitscope.data.sources import torchvision as source_module
from vitscope.data.sources.made import Place, discard, made_in
from vitscope.data.sources.torchvision import BY_HAND, place_in
from vitscope.data.sources.torchvision_sets import SETS
from vitscope.errors import RequestError
from vitscope.storage.workspace import Workspace
from vitscope.workflows.data import import_dataset, read


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """There is no network: the addresses that were asked for."""
    addresses: list[str] = []

    def refuse(request: Any, *_: object, **__: object) -> None:
        addresses.append(request if isinstance(request, str) else request.full_url)
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    return addresses


@pytest.fixture
def without_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    """What tests lay out has other sums than what torchvision knows."""
    for module in (datasets.cifar, datasets.svhn, datasets.stl10, datasets.flowers102, datasets.utils):
        monkeypatch.setattr(module, "check_integrity", lambda path, md5=None: os.path.isfile(path))  # noqa: PTH113


def by_hand(workspace: Workspace, name: str) -> Path:
    return place_in(workspace) / BY_HAND / name


def brought(workspace: Workspace, name: str = "MNIST") -> None:
    LAYOUTS[name](by_hand(workspace, name))


# ---------------------------------------------------------------------------------------------- what is found


def test_every_set_is_laid_out_here() -> None:
    assert {*LAYOUTS} == {*SETS} and all(hasattr(datasets, name) for name in SETS)


@pytest.mark.parametrize("name", LAYOUTS)
def test_pictures_classes_and_splits_of_each_set(
    name: str, workspace: Workspace, without_sums: None, asked: list[str]
) -> None:
    greys = LAYOUTS[name](by_hand(workspace, name))
    source = open_source(f"torchvision:{name}", workspace)
    result = source.scan()
    assert (source.name, source.location, result.notices, asked) == (name, f"torchvision:{name}", [], [])
    found = Counter((record.split, record.class_name) for record in result.records)
    assert found == {key: 1 if key == ("train", "01") else EACH for key in greys}
    assert {class_name for _, class_name in greys} <= set(result.classes)
    for record in result.records:
        with Image.open(record.path) as picture:
            pixels = np.asarray(picture.convert("RGB"))
        assert abs(pixels.mean() - greys[record.split, record.class_name]) < 3 and pixels.std() < 3
        assert Path(record.path).is_relative_to(place_in(workspace) / name)


def test_labels_keep_the_order_of_the_set(workspace: Workspace) -> None:
    brought(workspace, "FashionMNIST")
    manifest = read("torchvision:FashionMNIST", workspace).manifest
    assert manifest.classes[:3] == ("T-shirt/top", "Trouser", "Pullover") and len(manifest.classes) == 10
    assert sorted(set(manifest.table["label"].to_pylist())) == [0, 1]


def test_arrays_become_png_without_loss_and_files_stay_what_they_are(workspace: Workspace, tmp_path: Path) -> None:
    brought(workspace)
    rng = np.random.default_rng(3)
    raw = by_hand(workspace, "MNIST") / "MNIST/raw/t10k-images-idx3-ubyte"
    noise = rng.integers(0, 256, (2 * EACH, 28, 28), np.uint8)
    raw.write_bytes(raw.read_bytes()[:16] + noise.tobytes())
    records = [r for r in open_source("torchvision:MNIST", workspace).scan().records if r.split == "test"]
    seen = {int(Path(r.path).stem): np.asarray(Image.open(r.path)) for r in records}
    assert all((seen[number] == noise[number]).all() for number in range(2 * EACH))
    food101(by_hand(workspace, "Food101"))
    for record in open_source("torchvision:Food101", workspace).scan().records:
        original = by_hand(workspace, "Food101") / record.locator.removeprefix("files/")
        assert Path(record.path).read_bytes() == original.read_bytes()
    kept = {path.name for path in (place_in(workspace) / "Food101").rglob("*") if path.is_file()}
    assert kept == {"about.json", "pictures.parquet", *(f"{s}{i}.jpg" for s in ("train", "test") for i in range(EACH))}


def test_a_name_in_another_case_and_a_wrong_one(workspace: Workspace) -> None:
    assert open_source("torchvision:cifar10", workspace).location == "torchvision:CIFAR10"
    for text, said in (("CIFAR1", "Did you mean 'CIFAR10'"), ("", "There are CIFAR10, "), ("ImageNet", "Food101")):
        with pytest.raises(RequestError, match=said):
            open_source(f"torchvision:{text}", workspace)
    assert not workspace.root.exists()


# ---------------------------------------------------------------------------------------------- not to be had


@pytest.mark.parametrize("name", SETS)
def test_a_failed_download_tells_the_cache_and_the_way_by_hand(
    name: str, workspace: Workspace, asked: list[str]
) -> None:
    with pytest.raises(RequestError) as told:
        open_source(f"torchvision:{name}", workspace).scan()
    text = str(told.value)
    assert asked and "\n" not in text and "no network" in text and str(by_hand(workspace, name)) in text
    call = re.search(r'python -c "(.*)" and put', text)
    assert call is not None
    compile(call[1], "command", "exec")
    assert call[1].count(f"d.{name}('{name}'") == len(SETS[name].splits)
    assert made_in(Place(place_in(workspace), "")) == [] and not list(place_in(workspace).glob("**/*.tmp"))


def test_what_the_command_downloads_is_what_is_used(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The told command is run where a download puts its files, and their folder is brought."""
    with pytest.raises(RequestError) as told:
        open_source("torchvision:MNIST", workspace).scan()
    found = re.search(r'python -c "(.*)" and put', str(told.value))
    assert found is not None
    monkeypatch.setattr(
        datasets.MNIST,
        "download",
        lambda self: Path(self.raw_folder).exists() or mnist(Path(self.root), "MNIST", "a", "b"),
    )
    monkeypatch.chdir(tmp_path)
    exec(found[1], {})
    by_hand(workspace, "MNIST").parent.mkdir(parents=True)
    (tmp_path / "MNIST").rename(by_hand(workspace, "MNIST"))
    assert len(open_source("torchvision:MNIST", workspace).scan().records) == 4 * EACH


def test_sums_are_compared_as_torchvision_does(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    root = by_hand(workspace, "CIFAR10")
    cifar10(root)
    folder = root / "cifar-10-batches-py"
    sums = {file.name: hashlib.md5(file.read_bytes()).hexdigest() for file in folder.iterdir()}
    for table in ("train_list", "test_list"):
        known = [[name, sums[name]] for name, _ in getattr(datasets.CIFAR10, table)]
        monkeypatch.setattr(datasets.CIFAR10, table, known)
    monkeypatch.setattr(datasets.CIFAR10, "meta", {**datasets.CIFAR10.meta, "md5": sums["batches.meta"]})
    whole = (folder / "data_batch_3").read_bytes()
    (folder / "data_batch_3").write_bytes(whole + b"x")
    with pytest.raises(RequestError, match="torchvision:CIFAR10: torchvision could not download it, or what was brou"):
        open_source("torchvision:CIFAR10", workspace).scan()
    (folder / "data_batch_3").write_bytes(whole)
    assert len(open_source("torchvision:CIFAR10", workspace).scan().records) == 4 * EACH


def test_half_of_a_set_brought_is_told(workspace: Workspace) -> None:
    brought(workspace, "Food101")
    (by_hand(workspace, "Food101") / "food-101/images/waffles/train1.jpg").unlink()
    with pytest.raises(RequestError, match=r"what was brought is not whole \(.*train1.jpg"):
        open_source("torchvision:Food101", workspace).scan()
    assert made_in(Place(place_in(workspace), "")) == []


def test_a_workspace_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder would be")
    with pytest.raises(RequestError, match="torchvision:MNIST: could not be written to"):
        open_source("torchvision:MNIST", Workspace(tmp_path)).scan()


# ---------------------------------------------------------------------------------------------- nothing outside


def test_fault_24_an_archive_that_leads_out_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    """One of a set of which torchvision knows no sum."""
    root = by_hand(workspace, "FGVCAircraft")
    root.mkdir(parents=True)
    for name in ("../../../../evil.txt", str(tmp_path / "evil.txt"), "fgvc-aircraft-2013b/link"):
        with tarfile.open(root / "fgvc-aircraft-2013b.tar.gz", "w:gz") as packed:
            info = tarfile.TarInfo(name)
            info.size = 4
            if name.endswith("link"):
                info.type, info.linkname, info.size = tarfile.SYMTYPE, str(tmp_path), 0
            packed.addfile(info, io.BytesIO(b"evil"[: info.size]))
        before = {p for p in tmp_path.rglob("*") if not p.is_relative_to(workspace.cache_folder)}
        with pytest.raises(RequestError, match="torchvision:FGVCAircraft: torchvision could not"):
            open_source("torchvision:FGVCAircraft", workspace).scan()
        assert {p for p in tmp_path.rglob("*") if not p.is_relative_to(workspace.cache_folder)} == before
        assert not list(tmp_path.rglob("evil.txt"))
    assert tarfile.TarFile.__dict__.get("extraction_filter") is None


def test_a_list_that_names_files_elsewhere_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    Image.new("RGB", (9, 9)).save(tmp_path / "secret.jpg")
    brought(workspace, "Food101")
    meta = by_hand(workspace, "Food101") / "food-101/meta/test.json"
    way = os.path.relpath(tmp_path / "secret", place_in(workspace) / ".Food101.1.tmp/files/food-101/images")
    for name in (way, str(tmp_path / "secret")):
        meta.write_text(meta.read_text().replace("apple_pie/test0", name))
        with pytest.raises(RequestError, match=r"outside of it|not whole"):
            open_source("torchvision:Food101", workspace).scan()
    assert (tmp_path / "secret.jpg").is_file()


def test_class_names_are_no_paths(workspace: Workspace, without_sums: None, tmp_path: Path) -> None:
    import pickle

    root = by_hand(workspace, "CIFAR10")
    cifar10(root)
    names = {"label_names": ["../../../evil", "a/b\0c", ".."]}
    (root / "cifar-10-batches-py/batches.meta").write_bytes(pickle.dumps(names))
    result = open_source("torchvision:CIFAR10", workspace).scan()
    assert result.classes == ("../../../evil", "a/b\0c", "..")
    assert all(re.fullmatch(r"pictures/(train|test)/\d/\d{7}\.png", r.locator) for r in result.records)
    assert not list(tmp_path.rglob("evil*"))


# ---------------------------------------------------------------------------------------------- once, and whole


def test_it_is_made_once_and_is_the_same_elsewhere(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    brought(workspace)
    first = read("torchvision:MNIST", workspace).manifest
    there = Workspace(tmp_path / "there")
    brought(there)
    assert read("torchvision:MNIST", there).manifest.fingerprint == first.fingerprint

    def fail(*_: object) -> None:
        raise AssertionError("opened again")

    monkeypatch.setattr(source_module, "opened", fail)
    assert read("torchvision:MNIST", workspace).manifest.fingerprint == first.fingerprint


def _make_and_die(root: Path) -> None:
    listed.os.utime = lambda *_, **__: os._exit(9)  # type: ignore[assignment]
    open_source("torchvision:MNIST", Workspace(root)).scan()


def test_a_killed_process_leaves_nothing_that_counts(workspace: Workspace) -> None:
    brought(workspace)
    process = multiprocessing.get_context("fork").Process(target=_make_and_die, args=(workspace.root,))
    process.start()
    process.join(60)
    assert process.exitcode == 9 and made_in(Place(place_in(workspace), "")) == []
    assert list(place_in(workspace).glob(".*.tmp"))
    assert len(open_source("torchvision:MNIST", workspace).scan().records) == 4 * EACH
    assert not list(place_in(workspace).glob(".*.tmp"))


def _make_and_tell(root: Path, barrier: Any, answers: Any) -> None:
    barrier.wait(60)
    answers.put(
        sorted((r.locator, r.mtime_ns) for r in open_source("torchvision:MNIST", Workspace(root)).scan().records)
    )


def test_two_processes_at_once_agree(workspace: Workspace) -> None:
    brought(workspace)
    context = multiprocessing.get_context("fork")
    barrier, answers = context.Barrier(2), context.Queue()
    processes = [context.Process(target=_make_and_tell, args=(workspace.root, barrier, answers)) for _ in range(2)]
    for process in processes:
        process.start()
    told = [answers.get(timeout=60) for _ in processes]
    for process in processes:
        process.join(60)
    assert told[0] == told[1] and len(told[0]) == 4 * EACH and len(made_in(Place(place_in(workspace), ""))) == 1


def test_what_was_discarded_is_made_again_of_what_was_brought(workspace: Workspace) -> None:
    brought(workspace)
    manifest = read("torchvision:MNIST", workspace).manifest
    (made,) = made_in(Place(place_in(workspace), "fetched"))
    assert (made.kind, made.source, made.files) == ("fetched", "torchvision:MNIST", 4 * EACH + 1)
    discard(made)
    assert len(manifest.absent()) == len(manifest)
    restore(manifest, workspace)
    assert manifest.changed() == []


def test_what_was_lost_is_told(workspace: Workspace) -> None:
    brought(workspace)
    first = open_source("torchvision:MNIST", workspace).scan().records[0]
    Path(first.path).unlink()
    with pytest.raises(RequestError, match=r"torchvision:MNIST: .*not whole any more. Remove this folder"):
        read("torchvision:MNIST", workspace)


def test_an_imported_set_moves_with_its_workspace(workspace: Workspace) -> None:
    brought(workspace)
    import_dataset("torchvision:MNIST", "mine", workspace)
    there = Workspace(workspace.root.with_name("there"))
    workspace.root.rename(there.root)
    manifest, notices = read("mine", there)
    assert notices == [] and all(path.startswith(str(there.root)) for path in manifest.table["path"].to_pylist())
    assert isinstance(manifest, Manifest) and len(manifest) == 4 * EACH
