from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.trained import answer, save_run, tiny_bundle
from vitscope.data.manifest import Manifest
from vitscope.errors import RequestError, WorkFailed
from vitscope.exporting.formats import safetensors
from vitscope.storage.artifacts import sha256
from vitscope.storage.workspace import Workspace
from vitscope.workflows.evaluate import evaluate
from vitscope.workflows.export import export
from vitscope.workflows.load import load, open_predictor
from vitscope.workflows.predict import predict
from vitscope.workflows.run import Run


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def run(workspace: Workspace, pictures: Path) -> Run:
    return save_run(workspace, tiny_bundle(depth=1), pictures)


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """A safetensors export that writes other weights than the model's."""
    write = safetensors.write
    monkeypatch.setattr(safetensors, "write", lambda bundle, folder: write(tiny_bundle(depth=1, seed=7), folder))


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def test_what_a_killed_export_left_is_removed_once_it_is_old(run: Run, workspace: Workspace) -> None:
    folder = run.folder / "exports"
    for name, age_s in ((".export-old", 100_000.0), (".export-new", 100.0)):
        (folder / name).mkdir(parents=True)
        (folder / name / "model.safetensors").write_bytes(b"half")
        os.utime(folder / name, (time.time() - age_s, time.time() - age_s))
    export("latest", "safetensors", workspace=workspace)
    assert [name for name in names(folder) if name.startswith(".")] == [".export-new"]


def test_both_formats_into_the_runs_folder_and_used_from_there(run: Run, workspace: Workspace, pictures: Path) -> None:
    onnx, weights = export("latest", workspace=workspace)
    folder = run.folder / "exports"
    assert names(folder) == [
        *("config.json", "model.onnx", "model.onnx.parity.json", "model.safetensors", "model.safetensors.parity.json"),
    ]
    assert (onnx.format, onnx.path, onnx.passed) == ("onnx", folder / "model.onnx", True)
    assert weights.proof_path == folder / "model.safetensors.parity.json"

    expected = predict(run, pictures)
    for form in (folder / "model.onnx", folder):
        found = predict(form, pictures)
        assert [one.label for one in found] == [one.label for one in expected]
        assert [one.probability for one in found] == pytest.approx([one.probability for one in expected], abs=1e-5)
        report = evaluate(form)  # the run's samples are found by where the export lies
        assert (report.confusion == evaluate(run).confusion).all()

    content = bytearray((folder / "model.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "model.onnx").write_bytes(content)
    with pytest.raises(RequestError, match=r"model.onnx: damaged or altered"):  # fault 58
        open_predictor(folder / "model.onnx")


def test_the_proof_says_what_was_compared(run: Run) -> None:
    (result,) = export(run, to="safetensors")
    proof = json.loads(result.proof_path.read_text())
    assert proof == result.report
    assert proof["passed"] is True
    assert proof["images"] == 8  # the whole test split, which is smaller than 64
    assert proof["probes"] == 14
    assert proof["data"] == {"source": "pictures", "split": "test"}
    test_files = set(Manifest.load(run.folder / "manifest.parquet").of_split("test").table["path"].to_pylist())
    assert test_files < {one["picture"] for one in proof["files"]}
    assert proof["sha256"] == {
        name: sha256(result.path.with_name(name)) for name in ("config.json", "model.safetensors")
    }
    limits = {"probability": 1e-4, "probability_reference": 1e-4, "pixels": 1e-3, "pixels_reference": 1e-3}
    assert proof["limits"] == {**limits, "tie": 2e-4}
    assert all(proof["measured"][name] <= proof["limits"][name] for name in proof["measured"])
    assert {"vitscope", "torch", "timm", "pillow", "numpy"} <= proof["versions"].keys()
    assert proof["machine"]


def test_of_a_large_split_64_images_spread_over_the_classes(run: Run, tmp_path: Path) -> None:
    for label in "abc":
        (tmp_path / "many" / label).mkdir(parents=True)
        for i in range(50):
            Image.fromarray(np.full((9, 9, 3), i, np.uint8)).save(tmp_path / "many" / label / f"{i:02d}.png")
    (result,) = export(run, to="safetensors", data=tmp_path / "many")
    assert result.report["images"] == 64
    shown = [Path(one["picture"]).parent.name for one in result.report["files"] if one["picture"].endswith(".png")]
    assert min(shown.count(label) for label in "abc") >= 20


def test_fault_62_an_export_that_differs_is_marked_failed(run: Run, broken: None) -> None:
    with pytest.raises(WorkFailed) as told:
        export(run, to="safetensors")
    folder = run.folder / "exports"
    assert names(folder) == ["config.json.failed", "model.safetensors.failed", "model.safetensors.failed.parity.json"]
    proof = json.loads((folder / "model.safetensors.failed.parity.json").read_text())
    assert proof["passed"] is False
    assert proof["sha256"]["model.safetensors.failed"] == sha256(folder / "model.safetensors.failed")
    assert "probabilities of the export and of the model in torch differ by up to" in str(told.value)
    assert "Do not use it" in str(told.value)
    with pytest.raises(RequestError, match="no model here"):
        load(folder)


def test_fault_62_an_earlier_good_export_stays_and_the_next_good_one_clears_up(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    (good,) = export(run, to="safetensors")
    before = {file.name: file.read_bytes() for file in good.path.parent.iterdir()}
    with monkeypatch.context() as patch:
        write = safetensors.write
        patch.setattr(safetensors, "write", lambda bundle, folder: write(tiny_bundle(depth=1, seed=7), folder))
        with pytest.raises(WorkFailed):
            export(run, to="safetensors")
    assert {name: (good.path.with_name(name)).read_bytes() for name in before} == before
    assert torch.equal(next(load(good.path.parent).module.parameters()), next(load(run).module.parameters()))
    export(run, to="safetensors")
    assert names(good.path.parent) == sorted(before)


def test_files_of_somebody_else_are_left_alone(run: Run, tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text("{}")
    with pytest.raises(RequestError, match=r"config\.json: already there, and not from an export"):
        export(run, to="safetensors", output=tmp_path)
    assert config.read_text() == "{}"
    assert not (tmp_path / "model.safetensors").exists()


def test_an_export_that_cannot_be_written_leaves_nothing_behind(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(bundle: Any, folder: Path) -> None:
        (folder / "half").touch()
        raise WorkFailed("the disk is full")

    monkeypatch.setattr(safetensors, "write", fail)
    with pytest.raises(WorkFailed, match="disk is full"):
        export(run, to="safetensors")
    assert names(run.folder / "exports") == []


def test_requests_that_are_wrong_are_told_before_any_work(
    run: Run, tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vitscope.inference import onnx_runtime

    folder = tmp_path / "model"
    folder.mkdir()
    tiny_bundle(depth=1).save(folder)
    (tmp_path / "file").touch()
    for arguments, reason in (
        ({"model": run, "to": "onx"}, "Unknown export format 'onx'. Did you mean 'onnx'"),
        ({"model": run, "to": []}, "No export format given"),
        ({"model": run, "output": tmp_path / "file"}, "a file; --output names a folder"),
        ({"model": folder}, "name the folder to export to"),
        ({"model": tiny_bundle(depth=1), "data": pictures}, "name the folder to export to"),
        ({"model": folder, "output": tmp_path / "out"}, "Name some with --data"),
        ({"model": "none", "output": tmp_path / "out"}, "none"),
    ):
        with pytest.raises(RequestError, match=reason):
            export(**arguments)
    monkeypatch.setattr(onnx_runtime, "find_spec", lambda name: None)
    with pytest.raises(RequestError, match=r"pip install 'vitscope\[onnx\]'"):
        export(run, to="safetensors,onnx")
    assert not (tmp_path / "out").exists()
    assert not (run.folder / "exports").exists()


def test_images_that_are_gone_are_told(run: Run, pictures: Path) -> None:
    for file in pictures.rglob("*.png"):
        file.unlink()
    with pytest.raises(RequestError, match=r"None of the 8 images of 'pictures' can be read.*no such file"):
        export(run, to="safetensors")
    assert names(run.folder / "exports") == []


def test_of_a_bundle_in_memory_with_other_images(pictures: Path, tmp_path: Path) -> None:
    bundle = tiny_bundle(depth=1)
    (result,) = export(bundle, to=["safetensors"], output=tmp_path / "a" / "b", data=pictures)
    assert result.report["images"] == 40
    assert result.report["data"] == {"source": "pictures", "split": ""}
    assert torch.equal(
        answer(load(result.path), pictures / "apple" / "000.png"), answer(bundle, pictures / "apple" / "000.png")
    )
