from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import vitscope
from tests.conftest import draw_folder
from tests.workflows.test_resume import assert_equal, everything
from vitscope.config import build, merge
from vitscope.storage.workspace import Workspace
from vitscope.workflows import picture_cache
from vitscope.workflows.data import prepare
from vitscope.workflows.picture_cache import decide


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """Pictures larger than the model looks at, so that reducing them changes something."""
    return draw_folder(tmp_path / "large", {"a": 16, "b": 16, "c": 16}, size=70)


def decided(source: Path, workspace: Workspace, options: dict[str, Any]) -> picture_cache.Decision:
    c = build({"data": {"source": str(source)}}, options)
    return decide(c, prepare(c.data, workspace).manifest.of_split("train"), 16, workspace)


def test_it_is_on_where_pictures_come_again_and_fit(large: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    workspace = Workspace(tmp_path / "ws")
    assert decided(large, workspace, {}).is_on
    once = {"train": {"epochs": 1}}
    assert decided(large, workspace, once) == (False, "cache off: each picture is seen once")
    assert decided(large, workspace, merge(once, {"train": {"time_budget": "10m"}})).is_on
    assert decided(large, workspace, merge(once, {"data": {"cache": "on"}})).is_on
    assert not decided(large, workspace, {"data": {"cache": "off"}}).is_on
    assert "room for" in decided(large, workspace, {"data": {"cache_gb": 1e-6}}).reason
    monkeypatch.setattr(Workspace, "free_bytes", property(lambda self: 1000))
    assert "room for 500 bytes" in decided(large, workspace, {}).reason


def test_weights_do_not_depend_on_what_is_in_the_cache(large: Path, tiny: dict, tmp_path: Path):
    """Filled by this run, filled by another, thrown away in the middle, or by several workers: the same bits."""
    options = merge(
        tiny, {"data": {"cache": "on"}, "train": {"epochs": 2}, "checkpoint": {"every_steps": 1, "keep": 99}}
    )
    first = vitscope.train(large, workspace=tmp_path / "ws", **options)
    wanted = everything(first)
    [found] = picture_cache.list_(first.workspace)
    assert found.bytes > 0
    assert_equal(everything(vitscope.train(large, workspace=tmp_path / "ws", **options)), wanted)
    assert len(picture_cache.clear(first.workspace)) == 1
    assert picture_cache.list_(first.workspace) == []
    again = vitscope.resume(first.id, checkpoint="step-00000002", workspace=tmp_path / "ws")
    assert_equal(everything(again), wanted)
    helped = vitscope.train(large, workspace=tmp_path / "two", **merge(options, {"data": {"workers": 2}}))
    assert_equal(everything(helped), wanted)
    plain = vitscope.train(large, workspace=tmp_path / "off", **merge(options, {"data": {"cache": "off"}}))
    assert everything(plain)["metrics"] != wanted["metrics"]  # whole pictures are another thing than reduced ones


def test_a_run_from_before_there_was_a_cache_goes_on_without(large: Path, tiny: dict, tmp_path: Path):
    run = vitscope.train(large, workspace=tmp_path / "ws", **merge(tiny, {"data": {"cache": "off"}}))
    wanted = everything(run)
    config = run.folder / "config.yaml"
    config.write_text(config.read_text().replace("  cache: 'off'\n", ""))
    assert "cache:" not in config.read_text()
    name = min(path.name for path in (run.folder / "checkpoints").glob("step-*"))
    assert_equal(everything(vitscope.resume(run.id, checkpoint=name, workspace=tmp_path / "ws")), wanted)
    assert picture_cache.list_(run.workspace) == []
