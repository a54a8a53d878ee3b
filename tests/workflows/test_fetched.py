"""Training on sets of torchvision's and of the hub, from the command's text to the run; and their room given back."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

import vitscope
from tests.data import torchvision_layouts
from tests.hub import FakeHub, serving
from tests.hub_sets import fruit, know_only
from vitscope.config import DataConfig, merge
from vitscope.data.manifest import Manifest
from vitscope.data.sources.torchvision import BY_HAND, place_in
from vitscope.errors import RequestError
from vitscope.storage.workspace import Workspace
from vitscope.workflows import unpacked
from vitscope.workflows.data import check, prepare, show

COMMIT = "1" * 40


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


def _refuse(*_: object, **__: object) -> None:
    raise urllib.error.URLError("no network")


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchvision_layouts, "EACH", 12)


def test_a_run_on_a_set_of_torchvisions(
    many: None, tiny: dict, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    torchvision_layouts.mnist(place_in(workspace) / BY_HAND / "MNIST", "MNIST", "0 - zero", "1 - one")
    options = merge(tiny, {"train": {"epochs": 1}, "data": {"cache": "off"}})
    run = vitscope.train("torchvision:mnist", workspace=workspace, **options)
    manifest = Manifest.load(run.folder / "manifest.parquet")
    assert manifest.counts("train")["0 - zero"] + manifest.counts("val")["0 - zero"] == 12
    assert manifest.counts("test")["1 - one"] == 12
    (removed,), in_use = unpacked.clear(workspace)
    assert (removed.kind, removed.source, in_use) == ("fetched", "torchvision:MNIST", [])
    assert vitscope.evaluate(run, split="test").count == 24
    unpacked.clear(workspace)
    monkeypatch.chdir(tmp_path)
    child = vitscope.resume(run.id, epochs=2, workspace=workspace)
    assert "vanished" not in (child.folder / "train.log").read_text() and len(unpacked.list_(workspace)) == 1
    assert show("torchvision:MNIST", workspace).splits == {"train": 24, "test": 24}
    unpacked.clear(workspace)
    shutil.rmtree(place_in(workspace) / BY_HAND)
    monkeypatch.setattr(urllib.request, "urlopen", _refuse)
    with pytest.raises(RequestError, match=r"none of the \d+ pictures .*torchvision:MNIST: torchvision could not"):
        vitscope.resume(run.id, epochs=3, workspace=workspace)


def test_the_command_knows_the_hub_and_its_caches_by_the_environment(tmp_path: Path, workspace: Workspace) -> None:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("HF_") and "proxy" not in k.lower()}
    with serving(FakeHub({"datasets/me/fruit": {COMMIT: fruit(train=24, test=9)}})) as hub:
        done = subprocess.run(
            [sys.executable, "-m", "vitscope", "--workspace", workspace.root, "data", "show", "hf:me/fruit", "--json"],
            env={**clean, "HF_HOME": str(tmp_path / "hf"), "HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_XET": "1"},
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert (told["name"], told["source"], told["splits"]) == ("fruit", "hf:me/fruit", {"train": 24, "test": 9})
    (each,) = unpacked.list_(workspace)
    assert (each.kind, each.source, each.files) == ("fetched", f"hf:me/fruit:revision={COMMIT}", 34)
    assert (tmp_path / "hf/datasets").is_dir()


def test_a_run_on_a_set_of_the_hub_goes_on_after_its_room_was_given_back(
    tiny: dict, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[unpacked.Cleared] = []

    def clear_while_it_trains(event: object) -> None:
        if isinstance(event, vitscope.events.RunStarted):
            seen.append(unpacked.clear(workspace))

    with serving(FakeHub({"datasets/me/fruit": {COMMIT: fruit(train=24, validation=6, test=9)}})) as hub:
        know_only(hub, tmp_path / "hf", monkeypatch)
        options = merge(tiny, {"train": {"epochs": 1}, "data": {"cache": "off"}})
        run = vitscope.train("hf:me/fruit", workspace=workspace, observers=[clear_while_it_trains], **options)
        assert [(len(each.removed), len(each.in_use)) for each in seen] == [(0, 1)]
        manifest = Manifest.load(run.folder / "manifest.parquet")
        assert [sum(manifest.counts(split).values()) for split in ("train", "val", "test")] == [24, 6, 9]
        hub.repositories["datasets/me/fruit"]["2" * 40] = fruit(train=30)
        unpacked.clear(workspace)
        assert vitscope.evaluate(run, split="test").count == 9
        unpacked.clear(workspace)
        child = vitscope.resume(run.id, epochs=2, workspace=workspace)
    assert "vanished" not in (child.folder / "train.log").read_text() and child.status == "finished"
    assert [each.source for each in unpacked.list_(workspace)] == [f"hf:me/fruit:revision={COMMIT}"]


def test_a_set_of_the_hub_for_test_and_checked(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(FakeHub()) as hub:
        know_only(hub, tmp_path / "hf", monkeypatch)
        hub.repositories = {
            "datasets/me/fruit": {COMMIT: fruit(train=24)},
            "datasets/me/held-out": {COMMIT: fruit(train=3, test=6)},
        }
        assert check("hf:me/fruit", workspace).is_clean
        manifest, *_ = prepare(DataConfig(source="hf:me/fruit", test="hf:me/held-out"), workspace)
    assert sum(manifest.counts("test").values()) == 6
