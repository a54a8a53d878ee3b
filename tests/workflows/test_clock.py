"""A clock that jumps while a run trains: what is recorded keeps its order, and the weights know nothing of it (47)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import vitscope
from tests.workflows.test_resume import assert_equal, everything
from vitscope.cli.app import main
from vitscope.config import merge
from vitscope.metrics import query
from vitscope.storage import runs

DAY_S = 86_400.0

SCRIPT = """
import json, signal, sys, time
real, offset = time.time, [0.0]
time.time = lambda: real() + offset[0]
import vitscope
from vitscope.errors import Interrupted
from vitscope.events import StepsDone
source, place, jumps, options = json.loads(sys.argv[1])
def watch(event):
    if isinstance(event, StepsDone):
        step = event.records[-1].step
        offset[0] += jumps.get(str(step), 0.0)
        if step == 7 and not stopped:
            stopped.append(step)
            signal.raise_signal(signal.SIGINT)
stopped = []
try:
    vitscope.train(source, workspace=place, observers=[watch], **options)
except Interrupted:
    offset[0] -= 365 * 86_400.0
    run = vitscope.resume("latest", workspace=place, observers=[watch])
    print(run.status)
"""


def test_fault_47_steps_keep_their_order_whatever_the_clock_does(
    pictures: Path, tiny: dict, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """An hour back at step 2, a day ahead at 3, back again at 5, and the resume a year before all that."""
    options = merge(tiny, {"train": {"epochs": 4}, "checkpoint": {"every_steps": 1}})
    jumps = {2: -3600.0, 3: DAY_S, 5: -2 * DAY_S, 9: 30 * DAY_S}
    place = tmp_path / "ws"
    given = json.dumps([str(pictures), str(place), jumps, options])
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, given], capture_output=True, text=True, check=True, timeout=300
    )
    assert done.stdout.splitlines() == ["finished"]
    run = vitscope.Run("latest", place)
    whole = vitscope.train(pictures, workspace=tmp_path / "whole", **options)
    assert_equal(everything(run), everything(whole))

    frame = run.metrics()
    losses = frame[(frame["split"] == "train") & (frame["name"] == "loss")]
    assert losses["step"].tolist() == list(range(1, 13))
    assert not losses["time"].is_monotonic_increasing  # the clock did jump
    first, second = runs.list_attempts(run.workspace.database, run.id)
    assert second.started_at < first.started_at - 300 * DAY_S
    kinds = [event.kind for event in query.events(run.workspace.database, run.id)]
    assert [kind for kind in kinds if kind in ("started", "ended")] == ["started", "ended"] * 2
    assert kinds[-1] == "ended"
    assert [event.step for event in query.events(run.workspace.database, run.id) if event.kind == "checkpoint"] == [
        *range(1, 8),
        *range(8, 13),
    ]

    later = runs.create_run(run.workspace.database, name="later", source="s", model="m")
    for words in (["runs", "list", "--json"], ["runs", "show", run.id]):
        with pytest.raises(SystemExit) as end:
            main(["--workspace", str(place), *words])
        assert not end.value.code
        if words[1] == "list":
            assert [row["id"] for row in json.loads(capfd.readouterr().out)] == [later.id, run.id]
