"""Resume is exact: restored from every step, all that remains is compared with the uninterrupted run."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import vitscope
from vitscope.config import merge
from vitscope.errors import RequestError
from vitscope.training.checkpoint import Checkpoints

ALL_LEVERS = {
    "seed": 3,
    "model": {"drop_path": 0.2, "dropout": 0.1},
    "augment": {"mixup": 0.4, "cutmix": 1.0, "shift": 0.1},
    "train": {"epochs": 3, "batch_size": 8, "accumulation": 2, "ema_decay": 0.9, "early_stop_epochs": 50},
    "checkpoint": {"every_steps": 1, "keep": 1000},
}
MEASURED = ("images_per_s", "memory_gb")  # depend on the machine's load, not on the run


def everything(run: vitscope.Run) -> dict[str, Any]:
    """The last checkpoint's whole content, and the metrics, without what measures time."""
    snapshot = Checkpoints(run.folder / "checkpoints").load()
    frame = run.metrics()
    frame = frame[~frame["name"].isin(MEASURED)]
    rows = {(r.step, r.split, r.name): (r.epoch, r.value) for r in frame.itertuples()}
    best = Checkpoints(run.folder / "checkpoints").best
    return {
        "weights": snapshot.weights,
        "average": snapshot.average,
        "state": snapshot.state,
        "metrics": rows,
        "best": best.name if best else None,
    }


def assert_equal(a: Any, b: Any, where: str = "") -> None:
    """Bit for bit, through mappings, sequences and tensors."""
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b), where
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            assert_equal(a[key], b[key], f"{where}/{key}")
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), where
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_equal(x, y, f"{where}/{i}")
    else:
        assert a == b or (a != a and b != b), f"{where}: {a} != {b}"


def resumed_elsewhere(run: vitscope.Run, checkpoint: str, place: Path, workers: int) -> vitscope.Run:
    """Resume a copy of the workspace from one checkpoint."""
    shutil.copytree(run.workspace.root, place, symlinks=True)
    file = place / "runs" / run.id / "config.yaml"
    changed = yaml.safe_load(file.read_text())
    changed["data"]["workers"] = workers
    file.write_text(yaml.safe_dump(changed))
    return vitscope.resume(run.id, checkpoint=checkpoint, workspace=place)


def test_restored_from_every_step_the_rest_is_the_same(pictures: Path, tiny: dict, tmp_path: Path):
    run = vitscope.train(pictures, workspace=tmp_path / "whole", **merge(tiny, ALL_LEVERS))
    whole = everything(run)
    names = [p.name for p in Checkpoints(run.folder / "checkpoints").all()]
    assert len(names) == 9  # three epochs of three steps
    for i, name in enumerate(names[:-1]):
        again = resumed_elsewhere(run, name, tmp_path / name, workers=2 if i % 3 == 2 else 0)
        assert_equal(everything(again), whole, name)
        shutil.rmtree(tmp_path / name)


def test_restored_from_every_step_with_another_number_of_workers(pictures: Path, tiny: dict, tmp_path: Path):
    run = vitscope.train(
        pictures,
        workspace=tmp_path / "whole",
        **merge(tiny, ALL_LEVERS, {"data": {"workers": 2}, "train": {"epochs": 1}}),
    )
    whole = everything(run)
    for name in [p.name for p in Checkpoints(run.folder / "checkpoints").all()][:-1]:
        assert_equal(everything(resumed_elsewhere(run, name, tmp_path / name, workers=0)), whole, name)


def test_resume_after_a_second_interruption_in_the_same_epoch(pictures: Path, tiny: dict, tmp_path: Path):
    run = vitscope.train(pictures, workspace=tmp_path / "whole", **merge(tiny, ALL_LEVERS))
    whole = everything(run)
    place = tmp_path / "twice"
    shutil.copytree(run.workspace.root, place, symlinks=True)
    for checkpoint in ("step-00000004", "step-00000005"):
        again = vitscope.resume(run.id, checkpoint=checkpoint, workspace=place)
        assert_equal(everything(again), whole, checkpoint)


def test_a_finished_run_is_trained_further_as_a_child(pictures: Path, tiny: dict, tmp_path: Path):
    run = vitscope.train(pictures, workspace=tmp_path / "ws", **tiny)
    before = run.metrics()
    with pytest.raises(RequestError, match="--epochs"):
        vitscope.resume(run.id, workspace=tmp_path / "ws")
    with pytest.raises(RequestError, match="has trained 2 epochs already"):
        vitscope.resume(run.id, epochs=2, workspace=tmp_path / "ws")
    child = vitscope.resume(run.id, epochs=3, workspace=tmp_path / "ws")
    assert child.id != run.id
    assert child.workspace.find_run(child.id).parent == run.id
    assert run.metrics().equals(before)
    steps = child.metrics().query("split == 'train' and name == 'loss'")["step"]
    per_epoch = before["step"].max() // 2
    assert steps.min() == 2 * per_epoch + 1
    assert steps.max() == 3 * per_epoch


def test_an_unknown_checkpoint_is_told_with_those_there_are(pictures: Path, tiny: dict, tmp_path: Path):
    run = vitscope.train(pictures, workspace=tmp_path, **tiny)
    with pytest.raises(RequestError, match=r"no such checkpoint.*step-0000"):
        vitscope.resume(run.id, checkpoint="step-00009999", workspace=tmp_path)


def test_fault_58_a_damaged_checkpoint_is_refused_and_the_last_good_one_offered(
    pictures: Path, tiny: dict, tmp_path: Path
):
    run = vitscope.train(pictures, workspace=tmp_path, **merge(tiny, {"checkpoint": {"every_steps": 1, "keep": 9}}))
    folders = Checkpoints(run.folder / "checkpoints").all()
    file = folders[-1] / "state.pt"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(RequestError, match=f"damaged.*--from {folders[-2].name}"):
        vitscope.resume(run.id, epochs=4, workspace=tmp_path)


def test_resumed_on_another_kind_of_machine_chooses_anew_and_tells(pictures: Path, tiny: dict, tmp_path: Path):
    run = vitscope.train(pictures, workspace=tmp_path, **merge(tiny, {"checkpoint": {"every_steps": 1, "keep": 9}}))
    environment, resolved = run.folder / "environment.json", run.folder / "config.yaml"
    text = environment.read_text()
    environment.write_text(text.replace(yaml.safe_load(text)["machine"]["kind"], "a machine with a GPU"))
    resolved.write_text(resolved.read_text().replace("device: cpu", "device: cuda"))
    told: list[str] = []
    again = vitscope.resume(
        run.id,
        checkpoint="step-00000001",
        workspace=tmp_path,
        observers=[lambda e: told.append(getattr(e, "text", ""))],
    )
    assert again.status == "finished"
    assert any("another kind of machine (a machine with a GPU)" in text for text in told)


def test_a_workspace_copied_by_a_tool_that_follows_links_resumes(pictures: Path, tiny: dict, tmp_path: Path):
    run = vitscope.train(pictures, workspace=tmp_path / "ws", **tiny)
    shutil.copytree(tmp_path / "ws", tmp_path / "copy", symlinks=False)
    child = vitscope.resume(run.id, epochs=3, workspace=tmp_path / "copy")
    assert child.status == "finished"
