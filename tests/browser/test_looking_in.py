"""Looking changes nothing: weights are bit-identical with snapshots and a dashboard that looks inside, and without."""

from __future__ import annotations

import json
import time
import urllib.request
from pathlib import Path
from urllib.error import HTTPError

from safetensors.torch import load_file

from tests.browser.conftest import Dashboard, Process
from tests.browser.test_watch import FLAGS
from vitscope.storage import runs
from vitscope.storage.workspace import Workspace


def ask(dashboard: Dashboard, path: str) -> dict | None:
    token = dashboard.address.split("token=")[1]
    request = urllib.request.Request(dashboard.url(path), headers={"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request, timeout=90) as answer:
            return json.load(answer)
    except HTTPError as error:
        assert error.code in (404, 409, 429), f"{path}: {error.code} {error.read()!r}"
        return None


def test_weights_are_the_same_whoever_looks(running: list[Dashboard | Process], pictures: Path, tmp_path: Path):
    flags = [*FLAGS, "--drop-path", "0.2", "--epochs", "60"]
    alone, watched = tmp_path / "alone", tmp_path / "watched"
    dashboard = Dashboard(watched)
    running.append(dashboard)
    first = Process(watched, "train", str(pictures), *flags, "--set", "record.snapshot_share=0.5")
    running.append(first)

    answered: list[str] = []
    while first.child.poll() is None:
        if not (rows := runs.list_runs(Workspace(watched).database)):
            time.sleep(0.1)
            continue
        base = f"/api/runs/{rows[0].id}/inside"
        overview = ask(dashboard, f"{base}/overview")
        for image in (overview or {}).get("pinned", [])[:1]:
            for key in (f"attention?image={image['id']}", "layers", "timeline", "timeline/layers"):
                if ask(dashboard, f"{base}/{key}") is not None:
                    answered.append(key)
    assert first.end() == 0, first.text
    assert {key.split("?")[0] for key in answered} >= {"attention", "layers"}, answered

    second = Process(alone, "train", str(pictures), *flags, "--set", "record.snapshots=false")
    running.append(second)
    assert second.child.wait(240) == 0, second.text
    ends = []
    for place in (watched, alone):
        (row,) = runs.list_runs(Workspace(place).database)
        ends.append(load_file(place / "runs" / row.id / "checkpoints" / "last" / "model.safetensors"))
    assert list(watched.glob("runs/*/snapshots/step-*.npz"))
    assert ends[0].keys() == ends[1].keys()
    assert [name for name in ends[0] if not ends[0][name].equal(ends[1][name])] == []
