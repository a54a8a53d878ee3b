"""One's own module and data set from Python: trained, resumed, evaluated and exported like any other."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import vitscope
from vitscope.data.manifest import Manifest
from vitscope.errors import Interrupted, RequestError
from vitscope.events import Event
from vitscope.models import own
from vitscope.storage import runs
from vitscope.storage.workspace import Workspace
from vitscope.workflows.own import adopted, as_picture, kept, labelled

QUIET: dict[str, Any] = {"record": {"tensorboard": False, "charts": False, "snapshots": False}, "workers": 0}


class Colours(torch.utils.data.Dataset):
    """Noisy pictures of three colours, whose names are not in alphabetical order."""

    classes = ("red", "green", "blue")

    def __init__(self, count: int, seed: int = 0):
        self.rng = np.random.default_rng(seed)
        self.pictures = self.rng.integers(0, 90, (count, 20, 24, 3), dtype=np.uint8)
        self.labels = [i % 3 for i in range(count)]
        for picture, label in zip(self.pictures, self.labels, strict=True):
            picture[..., label] += 120
        self.asked = 0

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        self.asked += 1
        return Image.fromarray(self.pictures[index]), self.labels[index]


class Net(torch.nn.Module):
    """No Vision Transformer of timm's: a convolution, a mean, and a tied layer to make saving harder."""

    def __init__(self, classes: int = 3):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 8, 4, stride=4)
        self.first = torch.nn.Linear(8, 8)
        self.second = torch.nn.Linear(8, 8)
        self.second.weight = self.first.weight
        self.drop = torch.nn.Dropout(0.1)
        self.head = torch.nn.Linear(8, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        tokens = self.conv(images).flatten(2).mean(2)
        return self.head(self.drop(self.second(self.first(tokens).relu())))


@pytest.fixture(autouse=True)
def _nothing_known():
    own._KNOWN.clear()


def test_both_are_trained_resumed_evaluated_and_exported(tmp_path: Path):
    torch.manual_seed(0)
    given, place = Net(), tmp_path / "ws"
    options = {
        **QUIET,
        "image_size": 16,
        "epochs": 6,
        "batch_size": 12,
        "lr": 0.02,
        "val": Colours(15, 1),
        "test": Colours(30, 2),
    }
    whole = vitscope.train(model=given, data=Colours(60), workspace=place, **options)
    assert torch.equal(given.head.weight, own._KNOWN["own:Net"].head.weight)  # type: ignore[union-attr,arg-type]
    assert runs.get_run(whole.workspace.database, whole.id).model == "own:Net"
    assert vitscope.evaluate(whole, split="test").top1 > 0.9
    assert vitscope.evaluate(whole).classes == Colours.classes

    def stop(event: Event) -> None:
        if getattr(event, "records", ()) and event.records[-1].step == 11:  # type: ignore[attr-defined]
            raise KeyboardInterrupt

    with pytest.raises((Interrupted, KeyboardInterrupt)):
        vitscope.train(model=given, data=Colours(60), workspace=place, observers=[stop], **options)
    resumed = vitscope.resume("latest", workspace=place)
    one, other = (vitscope.load(run).module.state_dict() for run in (whole, resumed))
    assert all(torch.equal(one[name], other[name]) for name in one)

    results = vitscope.export(whole, "onnx", tmp_path / "out")
    assert "onnx" in str(results)
    picture = tmp_path / "p.png"
    Image.fromarray(Colours(60).pictures[2]).save(picture)
    (answer,) = vitscope.predict(tmp_path / "out" / "model.onnx", picture)
    assert answer.label == "blue"


def test_another_process_says_what_it_needs(tmp_path: Path):
    place = tmp_path / "ws"
    run = vitscope.train(model=Net(), data=Colours(30), workspace=place, image_size=16, epochs=1, **QUIET)
    words = [sys.executable, "-m", "vitscope", "--workspace", str(place), "evaluate", run.id]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "vitscope.register_model(module)" in done.stderr
    own._KNOWN.clear()
    with pytest.raises(RequestError, match="register_model"):
        vitscope.load(run)
    vitscope.register_model(Net())
    assert isinstance(vitscope.load(run).module, Net)


def test_a_data_set_is_written_once_and_as_it_is(tmp_path: Path):
    workspace, dataset = Workspace(tmp_path / "ws"), Colours(9)
    name = kept({"train": dataset, "test": Colours(6, 5)}, workspace)
    manifest = Manifest.load(workspace.datasets_folder / name / "manifest.parquet")
    assert manifest.classes == ("red", "green", "blue")
    assert manifest.counts("train") == {"red": 3, "green": 3, "blue": 3}
    assert len(manifest.of_split("test")) == 6
    training = manifest.of_split("train")
    found = {training.sample(row).path.name: np.asarray(Image.open(training.sample(row).path)) for row in range(9)}
    for number, picture in enumerate(dataset.pictures):
        np.testing.assert_array_equal(found[f"{number:07d}.png"], picture)
    asked = dataset.asked
    again = Colours(9)
    assert kept({"train": again, "test": Colours(6, 5)}, workspace) == name
    assert again.asked <= asked
    assert kept({"train": Colours(9, seed=1)}, workspace) != name
    named = {"train": Colours(200), "test": Colours(6, 5)}
    named["train"].targets = list(named["train"].labels)  # type: ignore[attr-defined]
    first = kept(named, workspace)
    assert kept(named, workspace) == first
    named["train"].targets[1] = named["train"].labels[1] = 2  # type: ignore[attr-defined]  # not among the 64
    assert kept(named, workspace) != first
    assert [str(p) for p in (workspace.datasets_folder / name).rglob("*.tmp*")] == []


def test_one_set_is_split_like_a_folder_and_a_part_knows_its_classes(tmp_path: Path):
    part = torch.utils.data.Subset(Colours(60), list(range(30)))
    run = vitscope.train(
        data=part, model="vit_tiny_patch16_224", image_size=16, epochs=1, workspace=tmp_path / "ws", **QUIET
    )
    manifest = Manifest.load(run.folder / "manifest.parquet")
    assert manifest.classes == Colours.classes
    parts = [len(manifest.of_split(split)) for split in ("train", "val", "test")]
    assert parts == [22, 2, 6]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.full((2, 3), 7, np.uint8), 7),
        (np.full((2, 3, 1), 7, np.uint8), 7),
        (torch.full((3, 2, 3), 7, dtype=torch.uint8), 7),
        (torch.full((1, 2, 3), 0.2), 51),
        (Image.new("L", (3, 2), 7), 7),
    ],
)
def test_pictures_of_many_kinds(value: Any, expected: int):
    found = as_picture(value)
    assert (found.shape, found.dtype) == ((2, 3, 3), np.uint8)
    assert (found == expected).all()


@pytest.mark.parametrize(
    ("item", "told"),
    [
        ((torch.randn(3, 4, 4), 0), "go beyond 0 to 1"),
        ((np.full((2, 2), np.nan), 0), "go beyond 0 to 1"),
        (("a.jpg", 0), "str is no picture"),
        ((np.zeros((2, 2, 5), np.uint8), 0), r"must be \(H, W, 3\)"),
        ((np.zeros((2, 2), np.uint8), 1.5), "neither a number nor a name"),
        (np.zeros((2, 2), np.uint8), "not a pair"),
    ],
)
def test_items_that_are_none(item: Any, told: str):
    with pytest.raises(RequestError, match=rf"Item 4 .*{told}"):
        labelled(item, 4)


def test_requests_that_cannot_be(tmp_path: Path):
    workspace = Workspace(tmp_path / "ws")
    with pytest.raises(RequestError, match="goes with one given as data="):
        adopted({"val": Colours(3)}, workspace)
    with pytest.raises(RequestError, match="does not say how large"):
        vitscope.train(model=Net(), data=Colours(30), workspace=workspace, **QUIET)
    with pytest.raises(RequestError, match=r"gives \(1, 5\) where \(1, 3\)"):
        vitscope.train(model=Net(5), data=Colours(30), workspace=workspace, image_size=16, **QUIET)
    wrong = Colours(30)
    wrong.labels[7] = 3
    with pytest.raises(RequestError, match="A label is 3, where there are 3 classes"):
        vitscope.train(data=wrong, workspace=workspace, image_size=16, **QUIET)


def test_names_as_labels(tmp_path: Path):
    pairs = [(np.full((8, 8, 3), 20 * i, np.uint8), ("cat", "dog")[i % 2]) for i in range(12)]
    workspace = Workspace(tmp_path / "ws")
    manifest = Manifest.load(workspace.datasets_folder / kept({"train": pairs}, workspace) / "manifest.parquet")
    assert manifest.counts() == {"cat": 6, "dog": 6}
    with pytest.raises(RequestError, match="Some labels are numbers"):
        kept({"train": [*pairs, (pairs[0][0], 1)]}, workspace)
    with pytest.raises(RequestError, match="is empty"):
        kept({"train": []}, workspace)
