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
from vitscope.errors import Interrupted, RequestError
from vitscope.metrics import query
from vitscope.storage import runs
from vitscope.storage.artifacts import point, sha256, write_json
from vitscope.training import loop
from vitscope.training.checkpoint import Checkpoints
from vitscope.workflows.resolve import with_choices_as_asked

ALL_LEVERS = {
    "seed": 3,
    "model": {"drop_path": 0.2, "dropout": 0.1, "patch_drop": 0.25},
    "optim": {"name": "muon", "layer_decay": 0.8},
    "schedule": {"start_size": 0.5},
    "augment": {
        "mixup": 0.4,
        "cutmix": 1.0,
        "shift": 0.1,
        "policy": "trivial",
        "rotate": 10.0,
        "erase": 0.3,
        "repeats": 2,
    },
    "train": {
        "epochs": 3,
        "batch_size": 8,
        "accumulation": 2,
        "ema_decay": 0.9,
        "early_stop_epochs": 50,
        "class_weights": "effective",
        "checkpoint_activations": True,
        "tta": "flip",
    },
    "checkpoint": {"every_steps": 1, "keep": 1000},
}
OTHER_LEVERS = {
    "seed": 4,
    "model": {"drop_path": 0.2, "dropout": 0.1, "frozen": 0.3},
    "data": {"sampling": "balanced"},
    "optim": {"name": "schedulefree"},
    "augment": {"mixup": 0.4, "erase": 0.3},
    "train": {"epochs": 3, "batch_size": 8, "accumulation": 3},
    "checkpoint": {"every_steps": 1, "keep": 1000},
}
MEASURED = ("images_per_s", "data_wait", "memory_gb")  # depend on the machine's load, not on the run


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


@pytest.mark.parametrize("levers", [ALL_LEVERS, OTHER_LEVERS])
def test_restored_from_every_step_the_rest_is_the_same(levers: dict, pictures: Path, tiny: dict, tmp_path: Path):
    run = vitscope.train(pictures, workspace=tmp_path / "whole", **merge(tiny, levers))
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


@pytest.mark.parametrize("decay", [0.0, 0.9])
def test_restored_from_every_step_with_adapters(pictures: Path, tiny: dict, tmp_path: Path, decay: float):
    given = vitscope.train(pictures, workspace=tmp_path / "given", **merge(tiny, {"train": {"epochs": 1}}))
    options = {
        "model": {"init": str(given.folder / "checkpoints" / "last" / "model.safetensors"), "lora_rank": 2},
        "train": {"epochs": 1, "ema_decay": decay},
    }
    run = vitscope.train(pictures, workspace=tmp_path / "whole", **merge(tiny, ALL_LEVERS, options))
    whole = everything(run)
    assert (whole["average"] is not None) == (decay > 0)
    for name in [p.name for p in Checkpoints(run.folder / "checkpoints").all()][:-1]:
        assert_equal(everything(resumed_elsewhere(run, name, tmp_path / name, workers=0)), whole, name)


def test_restored_from_every_step_with_features(pictures: Path, tiny: dict, tmp_path: Path):
    given = vitscope.train(pictures, workspace=tmp_path / "given", **merge(tiny, {"train": {"epochs": 1}}))
    options = {
        "recipe": "linear-probe",
        "model": {"init": str(given.folder / "checkpoints" / "last" / "model.safetensors")},
        "train": {"ema_decay": 0.9},
        "checkpoint": {"every_steps": 1, "keep": 1000},
    }
    run = vitscope.train(pictures, workspace=tmp_path / "whole", **merge(tiny, options))
    told = [event.text for event in query.events(run.workspace.database, run.id)]
    assert any(text.startswith("Only the head learns") for text in told)
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


def test_steps_that_are_trained_again_are_told(pictures: Path, tiny: dict, tmp_path: Path):
    run = vitscope.train(pictures, workspace=tmp_path, **merge(tiny, ALL_LEVERS))
    checkpoints, database = run.folder / "checkpoints", run.workspace.database
    for name in [p.name for p in Checkpoints(checkpoints).all()][-2:]:  # as if they had not been saved yet
        shutil.rmtree(checkpoints / name)
    last = Checkpoints(checkpoints).all()[-1]
    point(checkpoints / "last", last)
    point(checkpoints / "best", last)
    runs.update_run(database, run.id, status="interrupted")
    end, saved = run.workspace.find_run(run.id).step, int(last.name.split("-")[1])
    vitscope.resume(run.id, workspace=tmp_path)
    told = [event.text for event in query.events(database, run.id)]
    assert any(f"Steps {saved + 1} to {end} had been trained, but not saved" in text for text in told), told


def test_a_finished_run_is_trained_further_as_a_child(pictures: Path, tiny: dict, tmp_path: Path):
    """With a constant rate the child ends bit for bit where one run of as many epochs does."""
    constant = {"schedule": {"name": "constant", "warmup_ratio": 0.0}, "model": {"drop_path": 0.2}}
    options = merge(tiny, constant, {"train": {"ema_decay": 0.9}})
    run = vitscope.train(pictures, workspace=tmp_path / "ws", **options)
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
    assert (steps.min(), steps.max()) == (7, 9)
    whole = vitscope.train(pictures, workspace=tmp_path / "whole", **merge(options, {"train": {"epochs": 3}}))
    one, other = (Checkpoints(r.folder / "checkpoints").load() for r in (child, whole))
    assert_equal(
        (one.weights, one.average, one.state["optimizer"]), (other.weights, other.average, other.state["optimizer"])
    )


def test_a_child_of_a_run_that_stopped_early_trains(pictures: Path, tiny: dict, tmp_path: Path):
    options = merge(tiny, {"train": {"epochs": 30, "early_stop_epochs": 1}, "optim": {"lr": 1e-12}})
    run = vitscope.train(pictures, workspace=tmp_path, **options)
    done = int(run.metrics()["step"].max())
    child = vitscope.resume(run.id, epochs=60, workspace=tmp_path)
    assert int(child.metrics()["step"].max()) > done


def test_a_child_that_was_half_made_is_not_taken_for_a_new_run(pictures: Path, tiny: dict, tmp_path: Path):
    run = vitscope.train(pictures, workspace=tmp_path, **tiny)
    child = vitscope.resume(run.id, epochs=3, workspace=tmp_path)
    (child.folder / "config.yaml").unlink()
    with pytest.raises(RequestError, match="stopped while it was made from its parent"):
        vitscope.resume(child.id, workspace=tmp_path)


@pytest.mark.parametrize("name", ["best", "last"])
def test_going_back_to_a_pointer_removes_nothing_that_is_needed(pictures: Path, tiny: dict, tmp_path: Path, name: str):
    run = vitscope.train(pictures, workspace=tmp_path / "ws", **merge(tiny, ALL_LEVERS))
    whole = everything(run)
    again = vitscope.resume(run.id, checkpoint=name, workspace=tmp_path / "ws")
    assert_equal(everything(again), whole)
    with pytest.raises(RequestError, match="no checkpoint"):
        vitscope.resume(run.id, checkpoint="../../other/checkpoints/step-00000001", workspace=tmp_path / "ws")


def test_stopped_again_and_again_while_evaluating(
    pictures: Path, tiny: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The step's checkpoint exists unevaluated; however often that happens, the run goes on from it."""
    options = merge(tiny, ALL_LEVERS, {"checkpoint": {"every_steps": None}})
    whole = everything(vitscope.train(pictures, workspace=tmp_path / "whole", **options))
    real, stops = loop.validate, []

    def stopped(*arguments: Any) -> Any:
        if len(stops) < 3:
            stops.append(1)
            return None  # as when a stop is requested in the middle
        return real(*arguments)

    monkeypatch.setattr(loop, "validate", stopped)
    with pytest.raises(Interrupted):
        vitscope.train(pictures, workspace=tmp_path / "ws", **options)
    for _ in range(2):
        with pytest.raises(Interrupted):
            vitscope.resume("latest", workspace=tmp_path / "ws")
    again = everything(vitscope.resume("latest", workspace=tmp_path / "ws"))
    again["best"], whole["best"] = again["best"].removesuffix("-evaluated"), whole["best"].removesuffix("-evaluated")
    assert_equal(again, whole)


def test_a_failure_before_training_leaves_a_resumed_run_as_it_was(
    pictures: Path, tiny: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    run = vitscope.train(pictures, workspace=tmp_path, **merge(tiny, ALL_LEVERS))
    folders = [p.name for p in Checkpoints(run.folder / "checkpoints").all()]
    with monkeypatch.context() as broken, pytest.raises(OSError, match="no loader today"):
        broken.setattr(
            "vitscope.data.loader.TrainingLoader.__init__",
            lambda *_, **__: (_ for _ in ()).throw(OSError("no loader today")),
        )
        vitscope.resume(run.id, checkpoint="step-00000003", workspace=tmp_path)
    assert [p.name for p in Checkpoints(run.folder / "checkpoints").all()] == folders
    vitscope.resume(run.id, workspace=tmp_path)
    steps = run.metrics().query("split == 'train' and name == 'loss'")["step"].tolist()
    assert steps == list(range(1, 10))


def test_pictures_that_change_while_a_run_rests_are_told(pictures: Path, tiny: dict, tmp_path: Path):
    run = vitscope.train(pictures, workspace=tmp_path, **merge(tiny, ALL_LEVERS))
    next(pictures.rglob("*.png")).touch()
    told: list[str] = []
    vitscope.resume(
        run.id,
        checkpoint="step-00000003",
        workspace=tmp_path,
        observers=[lambda e: told.append(getattr(e, "text", ""))],
    )
    assert any("1 picture of 40 changed or vanished since the run began" in text for text in told)


def test_an_unknown_checkpoint_is_told_with_those_there_are(pictures: Path, tiny: dict, tmp_path: Path):
    run = vitscope.train(pictures, workspace=tmp_path, **tiny)
    with pytest.raises(RequestError, match=r"no checkpoint 'step-00009999'.*step-0000"):
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


def test_what_was_asked_for_stays_on_another_kind_of_machine():
    resolved = {"train": {"device": "cuda", "threads": 8, "precision": "bf16", "attention": "fused", "epochs": 7}}
    found = with_choices_as_asked(resolved, {"train": {"threads": 1, "attention": "fused", "epochs": 3}})
    kept = {"threads": 1, "attention": "fused", "epochs": 7}
    assert found["train"] == {"device": "auto", "precision": "auto", "compile": "auto", **kept}


def test_a_workspace_copied_by_a_tool_that_follows_links_resumes(pictures: Path, tiny: dict, tmp_path: Path):
    run = vitscope.train(pictures, workspace=tmp_path / "ws", **tiny)
    shutil.copytree(tmp_path / "ws", tmp_path / "copy", symlinks=False)
    child = vitscope.resume(run.id, epochs=3, workspace=tmp_path / "copy")
    assert child.status == "finished"


def test_a_child_that_does_not_pass_its_parents_best_keeps_it(pictures: Path, tiny: dict, tmp_path: Path):
    """Row, pointer and charts agree on whose model is the best."""
    run = vitscope.train(pictures, workspace=tmp_path, **merge(tiny, {"train": {"epochs": 1}}))
    place = run.workspace
    snapshot = Checkpoints(run.folder / "checkpoints").load()
    before = place.find_run(run.id)
    runs.update_run(place.database, run.id, best=1.5, test=0.9)  # a score that no epoch can pass
    state = {**snapshot.state, "progress": {**snapshot.state["progress"], "best_top1": 1.5}}
    torch.save(state, snapshot.folder / "state.pt")
    sums = {f.name: sha256(f) for f in snapshot.folder.iterdir() if f.name != "sums.json"}
    write_json(snapshot.folder / "sums.json", sums)
    child = vitscope.resume(run.id, epochs=3, workspace=tmp_path)
    row = place.find_run(child.id)
    assert before.best is not None
    assert (row.best, row.test) == (1.5, 0.9)
    best = Checkpoints(child.folder / "checkpoints").best
    assert best is not None
    assert best.name == snapshot.folder.name
    assert query.best(place.database, child.id) is None


def test_a_run_begun_before_there_were_rates_by_layer_goes_on(pictures: Path, tiny: dict, tmp_path: Path):
    run = vitscope.train(
        pictures, workspace=tmp_path / "whole", **merge(tiny, {"checkpoint": {"every_steps": 1, "keep": 99}})
    )
    whole = everything(run)
    first = run.folder / "checkpoints" / "step-00000001"
    state = torch.load(first / "state.pt", weights_only=True)
    for group in state["optimizer"]["param_groups"]:
        del group["lr_scale"], group["parts"]
    torch.save(state, first / "state.pt")
    write_json(first / "sums.json", {f.name: sha256(f) for f in first.iterdir() if f.name != "sums.json"})
    again = everything(resumed_elsewhere(run, first.name, tmp_path / "older", workers=0))
    assert_equal(again["weights"], whole["weights"])
