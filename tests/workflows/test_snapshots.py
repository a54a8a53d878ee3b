"""Snapshots while a run trains: which moments, on what, at what cost, and that training does not notice."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import vitscope
from tests.workflows.test_resume import assert_equal, everything
from vitscope.config import RecordConfig, merge
from vitscope.data.manifest import Manifest
from vitscope.events import Event, Notice, StepsDone
from vitscope.inspection import snapshots
from vitscope.inspection.probe import capture
from vitscope.training.checkpoint import Checkpoints
from vitscope.workflows.snapshots import Pace

ON = {"record": {"snapshots": True}}
OFF = {"record": {"snapshots": False}}
IS_AFFORDABLE = Pace.is_affordable


@pytest.fixture(scope="module", autouse=True)
def any_time_will_do() -> Iterator[None]:
    """These runs are over in a second: without this, only their first and last moments would fit the share."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Pace, "is_affordable", lambda self: True)
        yield


@pytest.fixture
def time_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pace, "is_affordable", IS_AFFORDABLE)


def folder_of(run: vitscope.Run) -> Path:
    return run.folder / "snapshots"


def trained(pictures: Path, place: Path, *options: dict, **more: Any) -> vitscope.Run:
    return vitscope.train(pictures, workspace=place, **merge(*options), **more)


@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
def test_training_is_the_same_with_and_without(pictures: Path, tiny: dict, tmp_path: Path, ema_decay: float) -> None:
    levers = {"model": {"drop_path": 0.3, "dropout": 0.2}, "augment": {"mixup": 0.4}, "train": {"ema_decay": ema_decay}}
    with_ = trained(pictures, tmp_path / "with", tiny, levers, ON)
    without = trained(pictures, tmp_path / "without", tiny, levers, OFF)
    assert len(snapshots.steps(folder_of(with_))) == 7  # the start and every step
    assert not folder_of(without).exists()
    assert_equal(everything(with_), everything(without))


def test_generators_and_modes_are_untouched(
    pictures: Path, tiny: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vitscope.workflows.snapshots import Snapshots

    seen = []
    call = Snapshots.__call__

    def watched(self: Snapshots, event: Event) -> None:
        modes = [part.training for part in self.trained.bundle.module.modules()]
        before = torch.get_rng_state(), np.random.get_state()[1].tolist(), modes  # type: ignore[index]
        call(self, event)
        modes = [part.training for part in self.trained.bundle.module.modules()]
        after = torch.get_rng_state(), np.random.get_state()[1].tolist(), modes  # type: ignore[index]
        assert torch.equal(before[0], after[0]) and before[1:] == after[1:]
        seen.append(type(event))

    monkeypatch.setattr(Snapshots, "__call__", watched)
    trained(pictures, tmp_path / "workspace", tiny, {"model": {"drop_path": 0.3}}, ON)
    assert StepsDone in seen


def test_moments_show_the_weights_that_evaluation_uses(pictures: Path, tiny: dict, tmp_path: Path) -> None:
    run = trained(pictures, tmp_path / "workspace", tiny, {"train": {"ema_decay": 0.9}}, ON)
    timeline = snapshots.read_timeline(folder_of(run))
    checkpoint = Checkpoints(run.folder / "checkpoints").last
    assert checkpoint is not None
    bundle = vitscope.load(checkpoint)  # the moving average
    manifest = Manifest.load(run.folder / "manifest.parquet").of_split("val")
    ids = manifest.table["sample_id"].to_pylist()
    pixels = torch.stack([bundle.preprocess(manifest.sample(ids.index(one.sample_id)).path) for one in timeline.pinned])
    weights = capture(bundle.module, pixels).attention
    last = timeline.moments[-1].arrays
    for layer, attention in enumerate(weights):
        assert last["thumbnail_max"][:, layer] == pytest.approx(attention[:, :, 0, 1:].max(axis=2), rel=1e-5)
    head = bundle.module.get_parameter("head.weight").detach()
    start = load_file(folder_of(run) / "initial.safetensors")["head.weight"]
    assert last["change"][-1] == pytest.approx(float((head - start).norm() / start.norm()), rel=1e-5)
    first = timeline.moments[0].arrays
    assert first["change"].max() == 0 and (first["edges"] == last["edges"]).all()


def test_the_first_picture_of_each_class_of_validation_is_pinned(pictures: Path, tiny: dict, tmp_path: Path) -> None:
    run = trained(pictures, tmp_path / "workspace", tiny, ON, {"record": {"snapshot_images": 2}})
    pinned, _ = snapshots.read_pinned(folder_of(run))
    manifest = Manifest.load(run.folder / "manifest.parquet").of_split("val")
    labels = manifest.table["label"].to_pylist()
    assert [(one.label, one.split) for one in pinned] == [("apple", "val"), ("pear", "val")]
    assert [one.sample_id for one in pinned] == [manifest.sample(labels.index(label)).sample_id for label in (0, 1)]


def test_a_picture_that_cannot_be_read_gives_way_to_the_next(pictures: Path, tiny: dict, tmp_path: Path) -> None:
    first = trained(pictures, tmp_path / "first", tiny, ON, {"record": {"snapshot_images": 1}})
    (before,), _ = snapshots.read_pinned(folder_of(first))
    manifest = Manifest.load(first.folder / "manifest.parquet")
    row = manifest.table["sample_id"].to_pylist().index(before.sample_id)
    manifest.sample(row).path.write_bytes(b"not a picture")
    second = trained(
        pictures, tmp_path / "second", tiny, ON, {"record": {"snapshot_images": 1}, "data": {"val_fraction": 0.3}}
    )
    (after,), _ = snapshots.read_pinned(folder_of(second))
    assert after.sample_id != before.sample_id and after.label == "apple"


def test_without_validation_the_test_pictures_are_pinned(make_pictures, tiny: dict, tmp_path: Path) -> None:
    source = make_pictures({"a": 8, "b": 8}, split="train")
    make_pictures({"a": 2, "b": 2}, split="test")
    run = trained(source, tmp_path / "workspace", tiny, ON, {"data": {"val_fraction": 0.0}})
    assert {one.split for one in snapshots.read_pinned(folder_of(run))[0]} == {"test"}


def test_moments_are_spread_evenly_and_bounded(pictures: Path, tiny: dict, tmp_path: Path) -> None:
    run = trained(pictures, tmp_path / "workspace", tiny, ON, {"train": {"epochs": 4}, "record": {"snapshot_count": 4}})
    assert snapshots.steps(folder_of(run)) == [0, 4, 8, 12]
    epochs = [moment.epoch for moment in snapshots.read_timeline(folder_of(run)).moments]
    assert epochs == pytest.approx([0, 4 / 3, 8 / 3, 4])


def test_a_run_too_short_for_the_share_has_the_first_and_the_last_and_says_so_once(
    pictures: Path, tiny: dict, tmp_path: Path, time_is_short: None
) -> None:
    told: list[Event] = []
    share = {"record": {"snapshots": True, "snapshot_share": 0.001}}
    run = trained(pictures, tmp_path / "workspace", tiny, share, {"train": {"epochs": 6}}, observers=[told.append])
    assert snapshots.steps(folder_of(run)) == [0, 18]
    (notice,) = [e for e in told if isinstance(e, Notice) and "snapshot" in e.text]
    assert notice.level == "info" and "0.1 %" in notice.text and "record.snapshot_share" in notice.text


def test_a_run_that_stops_early_has_its_last_moment(
    pictures: Path, tiny: dict, tmp_path: Path, time_is_short: None
) -> None:
    early = {"train": {"epochs": 30, "early_stop_epochs": 1}, "optim": {"lr": 1e-9}, "record": {"snapshot_share": 1e-6}}
    run = trained(pictures, tmp_path / "workspace", tiny, ON, early)
    last = Checkpoints(run.folder / "checkpoints").load().step
    assert last < 90 and snapshots.steps(folder_of(run)) == [0, last]


class TestPace:
    """With a clock that the test moves."""

    @pytest.fixture
    def now(self, time_is_short: None, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        clock = [0.0]
        monkeypatch.setattr("vitscope.workflows.snapshots.time.monotonic", lambda: clock[0])
        return clock

    @pytest.mark.parametrize(("step_s", "cost_s"), [(0.1, 0.05), (0.5, 0.01), (1.0, 0.3), (0.01, 2.0)])
    def test_the_share_is_kept(self, now: list[float], step_s: float, cost_s: float) -> None:
        total, share = 1000, 0.01
        pace = Pace(RecordConfig(snapshot_share=share), total)
        at, spent = [], 0.0

        def take(step: int, extra_s: float = 0.0) -> None:
            nonlocal spent
            now[0] += cost_s + extra_s
            spent += cost_s + extra_s
            pace.took(cost_s)
            pace.spent(step, cost_s + extra_s)
            at.append(step)

        take(0, extra_s=0.1)
        for step in range(1, total + 1):
            now[0] += step_s
            if pace.is_due(step):
                take(step)
            if len(at) > 1 and step < total:
                assert spent <= share * now[0]
        assert at[0] == 0 and at[-1] == total and len(at) <= 60
        always = 0.1 + 2 * cost_s
        assert spent <= max(share * now[0], always) + 1e-9
        assert len(at) >= min(60, (share * now[0] - 0.1) / cost_s - 2)
        assert bool(pace.left_out()) == (len(at) < 60)
        gaps = np.diff(at[1:-1])
        assert len(gaps) < 2 or gaps.max() <= gaps.min() + total / 59 + 1  # evenly, but for the ends

    def test_what_an_earlier_attempt_had_is_not_planned_again(self, now: list[float]) -> None:
        pace = Pace(RecordConfig(snapshot_share=1.0, snapshot_count=11), 100)
        pace.resumed(40, 0.1)
        now[0] = 1000.0
        due = [step for step in range(41, 100) if pace.is_due(step) and pace.spent(step, 0.1) is None]
        assert due == [50, 60, 70, 80, 90]


# ------------------------------------------------------------------------------------------------ resume


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> vitscope.Run:
    from tests.conftest import TINY, draw_folder

    place = tmp_path_factory.mktemp("whole")
    pictures = draw_folder(place / "pictures", {"apple": 16, "pear": 14, "plum": 10})
    every = {"checkpoint": {"every_steps": 1, "keep": 100}, "train": {"epochs": 2, "ema_decay": 0.9}}
    return trained(pictures, place / "workspace", TINY, ON, every)


@pytest.mark.parametrize("step", [1, 4])
def test_later_moments_are_made_anew_and_are_the_same(whole: vitscope.Run, tmp_path: Path, step: int) -> None:
    shutil.copytree(whole.workspace.root, tmp_path / "copy", symlinks=True)
    place = tmp_path / "copy" / "runs" / whole.id / "snapshots"
    before = snapshots.read_timeline(place)
    (place / ".step-00000009.npz.1.tmp").write_bytes(b"half")
    for later in range(step + 1, 7):
        snapshots.moment_file(place, later).write_bytes(b"of another course of things")
    run = vitscope.resume(whole.id, checkpoint=f"step-{step:08d}", workspace=tmp_path / "copy")
    after = snapshots.read_timeline(folder_of(run))
    assert after.pinned == before.pinned and not list(place.glob(".*"))
    assert [moment.step for moment in after.moments] == list(range(7))
    for a, b in zip(after.moments, before.moments, strict=True):
        assert a.arrays.keys() == b.arrays.keys()
        assert all((a.arrays[name] == b.arrays[name]).all() for name in a.arrays), a.step


def test_a_child_run_goes_on_with_its_parents_time_line(whole: vitscope.Run, tmp_path: Path) -> None:
    shutil.copytree(whole.workspace.root, tmp_path / "copy", symlinks=True)
    child = vitscope.resume(whole.id, epochs=3, workspace=tmp_path / "copy")
    assert snapshots.steps(folder_of(child)) == list(range(10))
    timeline = snapshots.read_timeline(folder_of(child))
    assert "change" in timeline.moments[-1].arrays and len({m.arrays["edges"].tobytes() for m in timeline.moments}) == 1


def test_a_resume_takes_no_moment_that_is_not_planned(pictures: Path, tiny: dict, tmp_path: Path) -> None:
    few = {"record": {"snapshot_count": 3}, "checkpoint": {"every_steps": 1, "keep": 100}, "train": {"epochs": 4}}
    run = trained(pictures, tmp_path / "workspace", tiny, ON, few)
    assert snapshots.steps(folder_of(run)) == [0, 6, 12]
    (folder_of(run) / "step-00000001.npz").write_bytes((folder_of(run) / "step-00000000.npz").read_bytes())
    again = vitscope.resume(run.id, checkpoint="step-00000004", workspace=tmp_path / "workspace")
    assert snapshots.steps(folder_of(again)) == [0, 1, 6, 12]


def test_a_child_of_many_moments_is_thinned_to_the_bound(whole: vitscope.Run, tmp_path: Path) -> None:
    shutil.copytree(whole.workspace.root, tmp_path / "copy", symlinks=True)
    file = tmp_path / "copy" / "runs" / whole.id / "config.yaml"
    file.write_text(file.read_text().replace("snapshot_count: 60", "snapshot_count: 5"))
    child = vitscope.resume(whole.id, epochs=4, workspace=tmp_path / "copy")
    there = snapshots.steps(folder_of(child))
    assert there[0] == 0 and {6, 9, 12} <= set(there) and len(there) <= 5


def test_a_run_from_before_there_were_snapshots_begins_where_it_is(whole: vitscope.Run, tmp_path: Path) -> None:
    shutil.copytree(whole.workspace.root, tmp_path / "copy", symlinks=True)
    shutil.rmtree(tmp_path / "copy" / "runs" / whole.id / "snapshots")
    run = vitscope.resume(whole.id, checkpoint="step-00000003", workspace=tmp_path / "copy")
    timeline = snapshots.read_timeline(folder_of(run))
    assert [moment.step for moment in timeline.moments] == [3, 4, 5, 6] and len(timeline.pinned) == 3
    assert all("change" not in moment.arrays for moment in timeline.moments)  # nobody knows the initial weights


# ------------------------------------------------------------------------------------------------ faults


def test_a_disk_that_is_full_is_told_once_and_training_goes_on(
    pictures: Path, tiny: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Event] = []
    replace = snapshots._replace

    def full(file: Path, content: bytes) -> None:
        if not file.name.startswith("step-00000005"):
            raise OSError(28, "No space left on device")
        replace(file, content)

    monkeypatch.setattr(snapshots, "_replace", full)
    monkeypatch.setattr(snapshots, "write_pinned", lambda *_: None)
    run = trained(pictures, tmp_path / "workspace", tiny, ON, observers=[told.append])
    assert run.status == "finished"
    (notice,) = [e for e in told if isinstance(e, Notice) and "snapshot" in e.text]
    assert notice.level == "warning" and "No space left" in notice.text and "Training goes on" in notice.text
    assert snapshots.steps(folder_of(run)) == [5]  # there was room again
    assert (folder_of(run) / "initial.safetensors").is_file()


def test_initial_weights_that_could_not_be_written_are_written_later(
    pictures: Path, tiny: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, tries = snapshots.write_initial, []

    def fails_twice(folder: Path, state: dict) -> None:
        tries.append(1)
        if len(tries) <= 2:
            raise OSError(28, "No space left on device")
        write(folder, state)

    monkeypatch.setattr(snapshots, "write_initial", fails_twice)
    run = trained(pictures, tmp_path / "workspace", tiny, ON)
    assert snapshots.steps(folder_of(run)) == [2, 3, 4, 5, 6]
    first = snapshots.read_timeline(folder_of(run)).moments[0]
    assert first.arrays["change"].max() > 0  # from the weights before the first step, not from those of step 2
    pure = trained(pictures, tmp_path / "pure", tiny, ON)
    assert_equal(load_file(folder_of(run) / "initial.safetensors"), load_file(folder_of(pure) / "initial.safetensors"))


def _killed_while_writing(pictures: str, place: str, options: dict) -> None:
    write_bytes, written = Path.write_bytes, []

    def dies(self: Path, data: bytes) -> int:
        if self.name.startswith(".step-"):
            written.append(1)
            if len(written) == 3:
                write_bytes(self, data[: len(data) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
        return write_bytes(self, data)

    Path.write_bytes = dies  # type: ignore[method-assign]
    Pace.is_affordable = lambda self: True  # type: ignore[method-assign]
    vitscope.train(pictures, workspace=place, **options)


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
def test_a_run_killed_while_writing_leaves_no_half_moment(pictures: Path, tiny: dict, tmp_path: Path) -> None:
    options = merge(tiny, ON, {"checkpoint": {"every_steps": 1}})
    arguments = (str(pictures), str(tmp_path / "workspace"), options)
    process = multiprocessing.get_context("spawn").Process(target=_killed_while_writing, args=arguments)
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    run = vitscope.Run("latest", tmp_path / "workspace")
    assert [moment.step for moment in snapshots.read_timeline(folder_of(run)).moments] == [0, 1]
    assert len(list(folder_of(run).glob(".*.tmp"))) == 1
    run = vitscope.resume(run.id, workspace=tmp_path / "workspace")
    assert snapshots.steps(folder_of(run)) == list(range(7)) and not list(folder_of(run).glob(".*.tmp"))


def test_a_model_whose_attention_cannot_be_told_shows_its_layers(
    pictures: Path, tiny: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vitscope.inspection.probe.attention_kind", lambda module: ("none", "It keeps them."))
    run = trained(pictures, tmp_path / "workspace", tiny, ON)
    timeline = snapshots.read_timeline(folder_of(run))
    assert len(timeline.moments) == 7 and len(timeline.pinned) == 3
    arrays = timeline.moments[-1].arrays
    assert arrays["kind"].item() == "none" and arrays["reason"].item() == "It keeps them."
    assert "thumbnails" not in arrays and arrays["top_labels"].shape == (3, 3) and "maps" in arrays
