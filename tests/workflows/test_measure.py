"""Measured choices of a real run: made once, kept, used by equal commands and by nobody else."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import vitscope
from vitscope import config
from vitscope.config import RunConfig, merge, read_file
from vitscope.errors import Interrupted
from vitscope.events import Event, Notice
from vitscope.machine import choose, measured, probe
from vitscope.machine.measured import TIME_UP, Candidate
from vitscope.models.architecture import describe
from vitscope.storage.workspace import Workspace
from vitscope.training.recipes import RECIPES
from vitscope.workflows import measure
from vitscope.workflows.jobs import check
from vitscope.workflows.measure import Steps, Subject, image_s, images_of_run
from vitscope.workflows.resolve import Plan, resolve

LONG = {"train": {"epochs": 200}}  # 600 steps of three a pass


@pytest.fixture(autouse=True)
def without_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same choices to measure on every machine: fp32, fused or not."""
    here = dataclasses.replace(probe(), has_bf16=False, gpus=(), has_mps=False)
    monkeypatch.setattr("vitscope.workflows.resolve.probe", lambda: here)


@pytest.fixture
def asked(pictures: Path, tiny: dict) -> dict[str, Any]:
    return merge(tiny, LONG, {"data": {"source": str(pictures)}})


@pytest.fixture
def timings(monkeypatch: pytest.MonkeyPatch) -> list[Candidate]:
    """Unfused attention takes half the time here; the list is of all steps that were timed."""
    timed: list[Candidate] = []

    def made_up(steps: Steps, candidate: Candidate, images: int) -> float:
        timed.append(candidate)
        return 0.04 * images * (0.5 if candidate.attention == "unfused" else 1.0)

    monkeypatch.setattr(Steps, "__call__", made_up)
    return timed


def decided(asked: dict[str, Any], workspace: Workspace, may_measure: bool = True) -> Plan:
    return resolve(asked, workspace, may_measure=may_measure)


def test_it_is_measured_once_and_told(asked: dict[str, Any], tmp_path: Path, timings: list[Candidate]):
    workspace = Workspace(tmp_path / "ws")
    assert decided(asked, workspace, may_measure=False).choices.attention == "fused"
    assert timings == []
    first = decided(asked, workspace)
    assert first.choices.attention == first.config.train.attention == "unfused"
    assert first.measured == ("attention unfused: measured, 50 images/s against 25 fused",)
    count = len(timings)
    assert count == 13  # five to judge the length by, then four of each
    (file,) = (workspace.root / "cache" / "machine").iterdir()
    assert json.loads(file.read_text())["key"]["model"][1]["embed_dim"] == 32
    for may_measure in (True, False):
        assert decided(asked, workspace, may_measure).choices == first.choices
    assert len(timings) == count


@pytest.mark.parametrize("content", ["", "{}", '{"key": 1, "image_s": "x"}', "[]"])
def test_a_damaged_file_is_measured_anew(asked: dict[str, Any], tmp_path: Path, timings: list[Candidate], content: str):
    workspace = Workspace(tmp_path / "ws")
    decided(asked, workspace)
    (file,) = (workspace.root / "cache" / "machine").iterdir()
    whole = file.read_text()
    file.write_text(content)
    assert decided(asked, workspace).choices.attention == "unfused"
    assert file.read_text() == whole


@pytest.mark.parametrize(
    "otherwise",
    [
        {"train": {"epochs": 100}},  # 300 steps
        {"train": {"deterministic": True}},
        {"train": {"attention": "fused", "compile": "off"}},
    ],
)
def test_where_it_is_not_measured(
    asked: dict[str, Any], tmp_path: Path, timings: list[Candidate], otherwise: dict[str, Any]
):
    plan = decided(merge(asked, otherwise), Workspace(tmp_path / "ws"))
    assert plan.choices.attention == "fused"
    assert plan.measured == ()
    assert timings == []


def test_another_model_or_number_of_threads_is_measured_by_itself(
    asked: dict[str, Any], tmp_path: Path, timings: list[Candidate]
):
    workspace = Workspace(tmp_path / "ws")
    for otherwise in ({}, {"train": {"threads": 2}}, {"model": {"kwargs": {"depth": 1}}}, {"train": {"batch_size": 4}}):
        decided(merge(asked, otherwise), workspace)
    assert len(list((workspace.root / "cache" / "machine").iterdir())) == 4


def test_a_model_that_takes_long_is_looked_at_once(
    asked: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    timed: list[int] = []

    def slow(steps: Steps, candidate: Candidate, images: int) -> float:
        timed.append(images)
        return 16.0 * images

    monkeypatch.setattr(Steps, "__call__", slow)
    uncompiled = merge(asked, {"train": {"compile": "off"}})
    assert decided(uncompiled, Workspace(tmp_path / "ws")).choices.attention == "fused"
    assert timed == [2]  # eight steps of even one image would cost more than is allowed


@pytest.mark.parametrize(
    ("one_s", "part", "expected"),
    [
        (0.1, 64, [2, 2, 8, 8, 8]),  # heavy enough that some tell of all
        (0.001, 64, [2, 2, 8, 8, 8, 64, 64, 64]),  # light: a whole step is tried
        (0.6, 64, [2, 2]),
        (1.1, 64, [2]),
        (0.001, 4, [2, 2, 4, 4, 4]),
        (0.001, 1, [1, 1]),
    ],
)
def test_a_run_is_judged_by_as_many_images_as_it_takes(
    asked: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    one_s: float,
    part: int,
    expected: list[int],
):
    timed: list[int] = []

    def launching(steps: Steps, candidate: Candidate, images: int) -> float:
        timed.append(images)
        return 0.01 + one_s * images

    plan = decided(asked, Workspace(tmp_path / "ws"), may_measure=False)
    monkeypatch.setattr(Steps, "__call__", launching)
    subject = Subject.of(plan.config, plan.architecture, 3)._replace(part=part)
    assert image_s(subject, plan.choices) == pytest.approx(one_s + 0.01 / expected[-1])
    assert timed == expected


def test_a_run_of_the_head_alone_is_as_long_as_one_pass(asked: dict[str, Any], tmp_path: Path):
    plan = decided(asked, Workspace(tmp_path / "ws"), may_measure=False)
    whole = plan.config
    probing = RECIPES["linear-probe"].OPTIONS
    own = {"model": {"drop_path": 0.0}, "train": {"epochs": 200, "batch_size": 8}}
    head = config.build(whole.model_dump(mode="json"), probing, own)

    def images(c: RunConfig) -> float:
        return images_of_run(Subject.of(c, plan.architecture, 3, 200 * 24 // c.train.batch_size))

    assert images(whole) == 200 * 24
    assert images(head) == 24  # forward alone


def test_a_model_that_refuses_one_image_can_be_timed(tmp_path: Path):
    c = config.build({"model": {"name": "levit_128s", "image_size": 224}, "train": {"batch_size": 2}})
    a = describe(c.model, c.data, 3)
    assert image_s(Subject.of(c, a, 3), choose(c.train, probe(), 10)) > 0


def test_forms_measure_nothing(asked: dict[str, Any], tmp_path: Path, timings: list[Candidate]):
    check(asked, Workspace(tmp_path / "ws"))
    assert timings == []


def test_a_run_says_what_was_measured_and_its_resume_keeps_it(
    asked: dict[str, Any], tmp_path: Path, timings: list[Candidate], pictures: Path
):
    told: list[str] = []

    def watch(event: Event) -> None:
        told.extend([event.text] if isinstance(event, Notice) and event.level == "info" else [])
        if getattr(event, "records", ()) and event.records[-1].step == 3:  # type: ignore[attr-defined]
            raise KeyboardInterrupt

    with pytest.raises((Interrupted, KeyboardInterrupt)):
        vitscope.train(workspace=tmp_path / "ws", observers=[watch], **asked)
    (text,) = (text for text in told if text.startswith("Chosen for this machine"))
    assert text.startswith("Chosen for this machine: attention unfused: measured")
    run = vitscope.Run("latest", tmp_path / "ws")
    file = run.folder / "config.yaml"
    assert read_file(file)["train"]["attention"] == "unfused"
    count = len(timings)
    shutil.rmtree(run.workspace.root / "cache" / "machine")  # a resume needs none of it
    before = file.read_text()
    with pytest.raises((Interrupted, KeyboardInterrupt)):
        vitscope.resume("latest", workspace=tmp_path / "ws", observers=[watch])
    assert (file.read_text(), len(timings)) == (before, count)


def test_the_number_of_workers_follows_from_what_views_and_steps_take(
    asked: dict[str, Any], tmp_path: Path, timings: list[Candidate], monkeypatch: pytest.MonkeyPatch
):
    free = merge(asked, {"data": {"workers": None}})
    monkeypatch.setattr(measure.time, "perf_counter", iter(0.004 * i for i in range(10_000)).__next__)
    plan = decided(free, Workspace(tmp_path / "ws"))
    assert "making a batch takes 20% of a step" in plan.measured[-1]  # 4 ms a view, 20 ms an image
    assert plan.config.data.workers == (1 if plan.machine.cores > 1 else 0)


def test_what_there_was_no_time_for_is_tried_in_a_longer_run(
    asked: dict[str, Any], tmp_path: Path, timings: list[Candidate]
):
    workspace = Workspace(tmp_path / "ws")
    decided(asked, workspace)
    (file,) = (workspace.root / "cache" / "machine").iterdir()
    kept = json.loads(file.read_text())
    seconds, failed = kept["uncompiled"]["seconds"], kept["uncompiled"]["failed"]
    failed.append([*seconds.pop()[:3], TIME_UP])
    file.write_text(json.dumps(kept))
    assert decided(asked, workspace).choices.attention == "fused"
    assert decided(merge(asked, {"train": {"epochs": 400}}), workspace).choices.attention == "unfused"


def test_a_real_measurement(asked: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(measured, "FROM_S", 0.0)
    monkeypatch.setattr(measured, "SHARE", 10.0)
    workspace = Workspace(tmp_path / "ws")
    plan = decided(asked, workspace)
    (file,) = (workspace.root / "cache" / "machine").iterdir()
    kept = json.loads(file.read_text())
    seconds = {attention: value for _, attention, _, value in kept["uncompiled"]["seconds"]}
    assert set(seconds) == {"fused", "unfused"}
    assert all(0 < value < 5 for value in seconds.values())
    expected = "unfused" if seconds["unfused"] <= 0.97 * seconds["fused"] else "fused"
    assert plan.choices.attention == expected
