from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import pytest
import torch

from tests.trained import save_run, tiny_bundle
from vitscope.errors import RequestError
from vitscope.exporting.formats import safetensors
from vitscope.models.bundle import ModelBundle
from vitscope.storage.artifacts import point
from vitscope.storage.runs import create_run
from vitscope.storage.workspace import Workspace
from vitscope.workflows.load import load, locate, open_predictor
from vitscope.workflows.run import Run


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def run(workspace: Workspace, pictures: Path) -> Run:
    return save_run(workspace, tiny_bundle(), pictures, steps=3)


def same(one: ModelBundle, other: ModelBundle) -> bool:
    ours, theirs = one.module.state_dict(), other.module.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in ours)


def flip_a_bit(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-10] ^= 4
    file.write_bytes(content)


def test_a_run_by_every_name_and_a_model_by_every_path(run: Run, workspace: Workspace) -> None:
    checkpoint = run.folder / "checkpoints" / "step-00000003"
    refs = ["latest", "fruits", run.id, run.id[:6], run, run.folder, str(checkpoint), checkpoint / "model.safetensors"]
    refs += [checkpoint / "bundle.json", run.folder / "checkpoints" / "best"]
    for ref in refs:
        bundle = load(ref, workspace)
        assert same(bundle, tiny_bundle()), ref
        assert bundle.classes == ("apple", "pear", "plum")
        assert bundle.info["run"] == run.id
        assert not bundle.module.training


def test_best_comes_before_last_and_last_is_better_than_none(run: Run, workspace: Workspace) -> None:
    checkpoints = run.folder / "checkpoints"
    point(checkpoints / "best", checkpoints / "step-00000001")
    assert locate("latest", workspace).path.name == "step-00000001"
    (checkpoints / "best").unlink()
    assert locate("latest", workspace).path.name == "step-00000003"


def test_a_best_that_is_not_there_any_more_is_never_taken_for_the_last(run: Run, workspace: Workspace) -> None:
    checkpoints = run.folder / "checkpoints"
    point(checkpoints / "best", checkpoints / "step-00000009")
    with pytest.raises(RequestError, match=r"best: the checkpoint .* is not there.*step-00000003"):
        locate("latest", workspace)
    assert locate(checkpoints / "step-00000002", workspace).path.name == "step-00000002"


def test_a_pointer_file_stands_for_a_link(run: Run, workspace: Workspace) -> None:
    best = run.folder / "checkpoints" / "best"
    best.unlink()
    best.write_text("step-00000002")
    assert locate("latest", workspace).path.name == locate(best, workspace).path.name == "step-00000002"


def test_a_model_in_a_folder_wins_over_a_run_of_that_name(
    run: Run, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "fruits"
    folder.mkdir()
    assert locate("fruits", workspace).is_run  # an empty folder is no model
    tiny_bundle(seed=9).save(folder)
    assert same(load("fruits", workspace), tiny_bundle(seed=9))


def test_a_safetensors_export_is_a_model(tmp_path: Path) -> None:
    safetensors.write(tiny_bundle(), tmp_path)
    assert same(load(tmp_path), tiny_bundle())
    assert same(load(tmp_path / "model.safetensors"), tiny_bundle())


def test_a_bundle_is_a_model() -> None:
    bundle = tiny_bundle()
    assert load(bundle) is bundle


class Trap:
    """What a malicious pickle holds: loading it makes a file."""

    def __init__(self, file: Path):
        self.file = file

    def __reduce__(self):
        return os.mkdir, (str(self.file),)


@pytest.mark.parametrize("name", ["model.pt", "model.pth", "pytorch_model.bin", "model.ckpt", "model.pkl", "MODEL.PT"])
def test_fault_59_a_pickle_is_refused_and_never_run(name: str, tmp_path: Path) -> None:
    sprung = tmp_path / "sprung"
    folder = tmp_path / "model"
    folder.mkdir()
    for write in (lambda f: torch.save(Trap(sprung), f), lambda f: f.write_bytes(pickle.dumps(Trap(sprung)))):
        write(folder / name)
        for ref in (folder / name, folder, str(folder)):
            with pytest.raises(RequestError, match=r"can carry code.*Save the weights as safetensors"):
                load(ref)
            with pytest.raises(RequestError, match="can carry code"):
                open_predictor(ref)
    assert not sprung.exists()


def test_fault_59_a_pickle_renamed_to_safetensors_is_not_run(tmp_path: Path) -> None:
    tiny_bundle().save(tmp_path)
    sprung = tmp_path / "sprung"
    torch.save(Trap(sprung), tmp_path / "model.safetensors")
    with pytest.raises(RequestError, match="damaged"):
        load(tmp_path)
    assert not sprung.exists()


def test_fault_58_a_flipped_bit_is_refused_and_sound_checkpoints_are_offered(run: Run, workspace: Workspace) -> None:
    checkpoints = run.folder / "checkpoints"
    flip_a_bit(checkpoints / "step-00000003" / "model.safetensors")
    flip_a_bit(checkpoints / "step-00000001" / "model.safetensors")
    with pytest.raises(RequestError) as told:
        load("latest", workspace)
    assert "model.safetensors: damaged" in str(told.value)
    assert str(told.value).endswith(f"Sound ones beside it, newest first: {checkpoints / 'step-00000002'}.")
    assert same(load(checkpoints / "step-00000002"), tiny_bundle())
    flip_a_bit(checkpoints / "step-00000002" / "model.safetensors")
    with pytest.raises(RequestError, match="None of those beside it is sound"):
        load("latest", workspace)


def test_fault_60_weights_of_another_architecture_are_told(tmp_path: Path) -> None:
    tiny_bundle().save(tmp_path, weights=tiny_bundle(embed_dim=96).module.state_dict())
    with pytest.raises(
        RequestError, match=r"weights are of another model.*cls_token: file \(1, 1, 96\), model \(1, 1, 48\)"
    ):
        load(tmp_path)


def test_fault_60_another_number_of_classes_is_told(tmp_path: Path) -> None:
    tiny_bundle().save(tmp_path, weights=tiny_bundle(classes=("a", "b")).module.state_dict())
    with pytest.raises(RequestError, match=r"2 tensors differ\): head.weight: file \(2, 48\), model \(3, 48\)"):
        load(tmp_path)


def test_what_is_no_model_is_told_with_what_would_be(run: Run, workspace: Workspace, tmp_path: Path) -> None:
    create_run(workspace.database, name="begun", source="digits", model="vit_tiny_patch16_224")
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(b"")
    (tmp_path / "note.txt").touch()
    (tmp_path / "two").mkdir()
    for name in ("a.onnx", "b.onnx"):
        (tmp_path / "two" / name).touch()
    for ref, reason in {
        "fruit": "Did you mean 'fruits'",
        "begun": "has no checkpoint yet",
        tmp_path / "missing": "no such file or folder",
        "models/missing.onnx": "models/missing.onnx: no such file or folder",
        weights: "weights alone",
        tmp_path / "note.txt": "no model here",
        tmp_path / "two": r"several ONNX files: give one of them \(a.onnx, b.onnx\)",
    }.items():
        with pytest.raises(RequestError, match=reason):
            load(ref, workspace)


def test_an_onnx_file_has_no_module(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").touch()
    with pytest.raises(RequestError, match="without a module to load"):
        load(tmp_path / "model.onnx")


@pytest.mark.parametrize("argument", [{"checkpoint_path": "/etc/passwd"}, {"pretrained": True}, {"num_classes": 9}])
def test_a_foreign_description_cannot_speak_to_the_factory(tmp_path: Path, argument: dict) -> None:
    """Neither files nor downloads by way of a bundle's arguments (fault 59)."""
    tiny_bundle().save(tmp_path)
    file = tmp_path / "bundle.json"
    described = json.loads(file.read_text())
    described["architecture"]["kwargs"] |= argument
    file.write_text(json.dumps(described))
    with pytest.raises(RequestError, match="no argument of the architecture"):
        load(tmp_path)
