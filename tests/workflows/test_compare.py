"""Runs beside each other: what differs, and whether their numbers can be compared."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import draw_folder
from vitscope import config
from vitscope.errors import RequestError
from vitscope.events import EpochDone, Metric, RunStarted, StepRecord, StepsDone
from vitscope.metrics.recorder import Recorder
from vitscope.storage import runs
from vitscope.storage.workspace import Workspace
from vitscope.workflows.compare import compare_runs, flat
from vitscope.workflows.data import prepare


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


def make(
    workspace: Workspace,
    name: str,
    pictures: Path,
    top1: float = 0.5,
    status: runs.Status = "finished",
    torch: str = "2.11.0",
    **asked: Any,
) -> str:
    """A run of two epochs, the first of which is its best."""
    database = workspace.database
    row = runs.create_run(database, name=name, source=str(pictures), model="vit")
    attempt = runs.begin_attempt(database, row.id, 0)
    record = Recorder(database, row.id, attempt)
    record(RunStarted(0, 20, 2, 10))
    for epoch, share in ((1, top1), (2, top1 / 2)):
        speeds = [StepRecord(s, epoch, 1.0 / s, 0.1, 1.0, 100.0 * s) for s in range(10 * epoch - 9, 10 * epoch + 1)]
        record(StepsDone(tuple(speeds)))
        scores = Metric("val", "top1", share), Metric("val", "loss", 1 - share), Metric("test", "top1", share / 2)
        record(EpochDone(10 * epoch, epoch, scores, epoch == 1))
    record.close()
    runs.end_attempt(database, row.id, attempt, status)
    folder = workspace.run_folder(row.id)
    folder.mkdir(parents=True)
    requested = config.merge({"data": {"source": str(pictures)}}, asked)
    (folder / "requested.yaml").write_text(config.dump_yaml(requested))
    resolved = config.build({"train": {"epochs": 2, "precision": "fp32"}}, requested)
    (folder / "config.yaml").write_text(resolved.to_yaml())
    machine = {"packages": {"torch": torch}, "machine": {"kind": "x"}, "command": ["vitscope", name]}
    (folder / "environment.json").write_text(json.dumps(machine))
    prepare(resolved.data, workspace).manifest.save(folder / "manifest.parquet", within=workspace.root)
    return row.id


def test_what_differs_and_nothing_else(workspace: Workspace, pictures: Path) -> None:
    first = make(workspace, "first", pictures, 0.5, optim={"lr": 0.5}, seed=1)
    second = make(workspace, "second", pictures, 0.75, torch="2.12.0", train={"precision": "bf16"}, seed=1)
    found = compare_runs(workspace, ["first", "second", first])
    assert [run["id"] for run in found["runs"]] == [first, second]
    assert {o["name"]: (o["values"], o["asked"]) for o in found["options"]} == {
        "optim.lr": ([0.5, 0.001], [True, False]),
        "train.precision": (["fp32", "bf16"], [False, True]),
    }
    assert found["environment"] == [{"name": "packages.torch", "values": ["2.11.0", "2.12.0"]}]
    assert found["notices"] == []
    assert found["data"]["same"] is True
    assert found["data"]["fingerprints"][0] == found["data"]["fingerprints"][1] is not None
    assert found["data"]["classes"] == [3, 3]


def test_numbers_of_the_best_step_and_the_last(workspace: Workspace, pictures: Path) -> None:
    make(workspace, "a", pictures, 0.5)
    make(workspace, "b", pictures, 0.75)
    found = compare_runs(workspace, ["a", "b"])
    metrics = {(m["split"], m["name"], m["at"]): (m["values"], m["differences"]) for m in found["metrics"]}
    assert metrics == {
        ("val", "top1", "best"): ([0.5, 0.75], [0.0, 0.25]),
        ("val", "top1", "last"): ([0.25, 0.375], [0.0, 0.125]),
        ("val", "loss", "best"): ([0.5, 0.25], [0.0, -0.25]),
        ("val", "loss", "last"): ([0.75, 0.625], [0.0, -0.125]),
        ("test", "top1", "best"): ([0.25, 0.375], [0.0, 0.125]),
        ("test", "top1", "last"): ([0.125, 0.1875], [0.0, 0.0625]),
        ("train", "loss", "last"): ([0.05, 0.05], [0.0, 0.0]),
    }
    (run, _) = found["runs"]
    assert (run["best_step"], run["images_per_s"]) == (10, 1050.0)
    assert 0 <= run["seconds"] < 600


def test_another_test_set_is_told(workspace: Workspace, pictures: Path) -> None:
    make(workspace, "a", pictures)
    make(workspace, "b", pictures, data={"split_seed": 7})
    found = compare_runs(workspace, ["a", "b"])
    assert (found["data"]["same"], found["data"]["same_test"], found["data"]["same_classes"]) == (False, False, True)
    text = " ".join(found["notices"])
    assert "Different test sets (8 and 8 pictures" in text
    assert "test results of these runs cannot be compared" in text
    assert "are among those that b" in text  # what one was tested on, the other learned from


def test_other_classes_are_told(workspace: Workspace, pictures: Path, tmp_path: Path) -> None:
    make(workspace, "a", pictures)
    make(workspace, "b", draw_folder(tmp_path / "more", {"apple": 12, "kiwi": 12}))
    found = compare_runs(workspace, ["a", "b"])
    assert found["data"]["same_classes"] is False
    assert found["notices"][0] == (
        "These runs tell different classes apart ('kiwi', 'pear', 'plum'): do not compare them."
    )


def test_a_copy_of_the_data_is_the_same_data(workspace: Workspace, pictures: Path, tmp_path: Path) -> None:
    make(workspace, "a", pictures)
    shutil.copytree(pictures, tmp_path / "moved" / "pictures", copy_function=shutil.copyfile)
    make(workspace, "b", tmp_path / "moved" / "pictures")
    data = compare_runs(workspace, ["a", "b"])["data"]
    assert data["same"] is True
    assert data["fingerprints"][0] != data["fingerprints"][1]


def test_runs_of_which_little_is_known(workspace: Workspace, pictures: Path) -> None:
    make(workspace, "a", pictures, status="interrupted")
    runs.create_run(workspace.database, name="new", source="digits", model="vit")
    found = compare_runs(workspace, ["a", "new"])
    assert (found["data"]["same"], found["data"]["test"]) == (None, [8, None])
    assert found["notices"][0] == "The pictures of 'new' are not known (no manifest yet)."
    assert "is interrupted at step 20 of 20: its last numbers are not final." in found["notices"][1]
    assert found["metrics"][0]["values"] == [0.5, None]
    assert found["metrics"][0]["differences"] == [0.0, None]
    assert found["runs"][1]["seconds"] is None
    json.dumps(found, allow_nan=False)


def test_time_of_an_attempt_that_died_goes_to_its_last_number(workspace: Workspace, pictures: Path) -> None:
    run_id = make(workspace, "a", pictures)
    make(workspace, "b", pictures)
    with workspace.database.writing() as connection:
        connection.exec_driver_sql(
            f"UPDATE vs_attempts SET ended_at = NULL, started_at = (SELECT max(time) - 5 FROM vs_metrics WHERE run_id ="
            f" '{run_id}') WHERE run_id = '{run_id}'"
        )
    assert compare_runs(workspace, ["a", "b"])["runs"][0]["seconds"] == pytest.approx(5)


@pytest.mark.parametrize("refs", [["a"], ["a", "a", "latest"]])
def test_one_run_alone_is_told(workspace: Workspace, pictures: Path, refs: list[str]) -> None:
    make(workspace, "a", pictures)
    with pytest.raises(RequestError, match="at least two"):
        compare_runs(workspace, refs)


def test_flat() -> None:
    assert flat({"a": {"b": {"c": 1}, "d": [2]}, "e": None}) == {"a.b.c": 1, "a.d": [2], "e": None}
