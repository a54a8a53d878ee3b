"""Every number that is served for curves is one that `query.frame` reads."""

from __future__ import annotations

import csv
import io
import math
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fastapi.testclient import TestClient

from tests.dashboard.conftest import make_run, record, tell
from vitscope.dashboard.cursor import Cursor, RunCursor
from vitscope.dashboard.run_table import Version
from vitscope.dashboard.series import SeriesCache
from vitscope.errors import RequestError
from vitscope.metrics import query
from vitscope.metrics.columns import Place
from vitscope.storage import records, runs
from vitscope.storage.workspace import Workspace


def series_of(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    names = frame["split"] + "/" + frame["name"]
    return {name: frame[names == name].reset_index(drop=True) for name in sorted(set(names))}


def numbers(values: list) -> np.ndarray:
    return np.array([float(value) for value in values])  # "NaN" and "Infinity" are words that Python knows


@pytest.fixture
def resumed(workspace: Workspace) -> runs.RunRow:
    """25 steps, then from step 10 again; numbers that are none among them."""
    run = make_run(workspace, steps=25)
    attempt = runs.begin_attempt(workspace.database, run.id, 10)
    odd = {12: math.nan, 14: math.inf, 16: -math.inf}
    record(workspace, run.id, attempt, range(10, 31), value=lambda step: odd.get(step, step / 7))
    return run


def test_exact_points_are_the_frame(client: TestClient, workspace: Workspace, resumed: runs.RunRow):
    told = client.get(f"/api/runs/{resumed.id}/series").json()
    expected = series_of(query.frame(workspace.database, resumed.id))
    assert list(told["series"]) == list(expected) == ["/images_per_s", "/lr", "train/loss", "val/top1"]
    for name, frame in expected.items():
        points = told["series"][name]
        assert points["is_exact"] is True
        assert points["count"] == len(frame)
        for column in ("step", "epoch", "time", "value"):
            assert np.array_equal(numbers(points[column]), frame[column], equal_nan=True)
        assert points["low"] == points["high"] == points["value"]
    assert "NaN" in told["series"]["train/loss"]["value"]
    assert "-Infinity" in told["series"]["train/loss"]["value"]
    assert [(a["attempt"], a["from_step"]) for a in told["attempts"]] == [(1, 0), (2, 10)]
    assert told["axis"] == "step"


@pytest.mark.parametrize("points", [1, 3, 10])
@pytest.mark.parametrize("axis", ["step", "epoch", "time"])
def test_buckets_are_means_and_extremes_of_the_frame(
    client: TestClient, workspace: Workspace, resumed: runs.RunRow, points: int, axis: str
):
    told = client.get(f"/api/runs/{resumed.id}/series", params={"points": points, "axis": axis}).json()
    for name, frame in series_of(query.frame(workspace.database, resumed.id)).items():
        found, size = told["series"][name], 1
        while math.ceil(len(frame) / size) > points:
            size *= 2
        values = [frame["value"][i : i + size] for i in range(0, len(frame), size)]
        assert len(found["value"]) == len(values) <= points
        with np.errstate(invalid="ignore"):  # the mean of infinities of both signs
            expected = [v.mean(skipna=False) for v in values]
        assert np.allclose(numbers(found["value"]), expected, rtol=1e-12, atol=0, equal_nan=True)
        assert np.array_equal(numbers(found["low"]), [v.min() for v in values], equal_nan=True)
        assert np.array_equal(numbers(found["high"]), [v.max() for v in values], equal_nan=True)


def test_a_range_and_names(client: TestClient, workspace: Workspace, resumed: runs.RunRow):
    frame = query.frame(workspace.database, resumed.id)
    for axis, low, high in (("step", 5, 17), ("epoch", 0.5, 1.7), ("time", 1e9 + 0.5, 1e9 + 1.7)):
        asked = {"axis": axis, "from": low, "to": high, "names": "train/loss,val/top1,no/such"}
        told = client.get(f"/api/runs/{resumed.id}/series", params=asked).json()["series"]
        assert list(told) == ["train/loss", "val/top1"]
        for name, points in told.items():
            split, metric = name.split("/")
            inside = frame[(frame["split"] == split) & (frame["name"] == metric) & frame[axis].between(low, high)]
            assert points["step"] == inside["step"].tolist()
    assert client.get(f"/api/runs/{resumed.id}/series?from=100").json()["series"]["train/loss"]["value"] == []
    for wrong in ("points=0", "points=1e9", "from=NaN", "to=x", "axis=colour"):
        answer = client.get(f"/api/runs/{resumed.id}/series?{wrong}")
        assert answer.status_code == 422
        assert wrong.split("=")[0] in answer.json()["error"]


def test_a_name_may_hold_a_comma(client: TestClient, workspace: Workspace):
    run = make_run(workspace)
    with workspace.database.writing() as connection:
        row = records.MetricRow(1.0, 1, 0.1, "", "a,b/c", 2.0)
        records.append(connection, run.id, 1, records.Batch([row]))
    told = client.get(f"/api/runs/{run.id}/series", params={"names": "/a,b/c"}).json()["series"]
    assert told["/a,b/c"]["value"] == [2.0]


def test_notices_are_told_beside(client: TestClient, workspace: Workspace):
    run = make_run(workspace)
    tell(workspace, run.id, 1, "notice", "<b>花</b>", step=5)
    tell(workspace, run.id, 1, "checkpoint", step=6)
    (notice,) = client.get(f"/api/runs/{run.id}/series").json()["notices"]
    assert notice == {"time": 1e9, "step": 5, "level": "warning", "text": "<b>花</b>", "alert": None}


def test_alerts_are_told_with_their_kind(client: TestClient, workspace: Workspace):
    run = make_run(workspace)
    event = records.EventRow(1e9, 7, "alert", "warning", "The loss jumped.", '{"kind": "loss-spike"}')
    with workspace.database.writing() as connection:
        records.append(connection, run.id, 1, records.Batch(events=[event]))
    (notice,) = client.get(f"/api/runs/{run.id}/series").json()["notices"]
    assert (notice["alert"], notice["level"], notice["step"]) == ("loss-spike", "warning", 7)


def test_the_table_holds_every_value(client: TestClient, workspace: Workspace, resumed: runs.RunRow):
    answer = client.get(f"/api/runs/{resumed.id}/series.csv")
    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.headers["content-disposition"] == f'attachment; filename="vitscope-{resumed.id}.csv"'
    found = pd.read_csv(io.StringIO(answer.text), keep_default_na=False, na_values={"value": ["nan"]})
    frame = query.frame(workspace.database, resumed.id)
    order = ["split", "name", "step"]
    pd.testing.assert_frame_equal(
        found.sort_values(order, ignore_index=True),
        frame.sort_values(order, ignore_index=True),
        check_dtype=False,
        check_exact=True,
    )
    one = client.get(f"/api/runs/{resumed.id}/series.csv?names=/lr")
    assert one.headers["content-disposition"] == f'attachment; filename="vitscope-{resumed.id}-lr.csv"'
    some = list(csv.DictReader(io.StringIO(one.text)))
    assert {row["name"] for row in some} == {"lr"}


# ---------------------------------------------------------------------------------------------- memory and time


def test_a_poll_reads_only_what_is_new(client: TestClient, workspace: Workspace, monkeypatch: pytest.MonkeyPatch):
    run = make_run(workspace, steps=500)
    read: list[int] = []
    real = query.rows_after

    def counting(*arguments: object):
        for rows in real(*arguments):  # type: ignore[arg-type]
            read.append(len(rows))
            yield rows

    monkeypatch.setattr(query, "rows_after", counting)
    for _ in range(3):
        client.get(f"/api/runs/{run.id}/series?points=100")
    assert sum(read) == 500 * 3 + 50
    record(workspace, run.id, 1, range(501, 503))
    told = client.get(f"/api/runs/{run.id}/series?names=/lr&from=501").json()
    assert told["series"]["/lr"]["step"] == [501, 502]
    assert sum(read) == 500 * 3 + 50 + 6


def test_the_cache_is_bounded_and_keeps_what_is_followed(workspace: Workspace):
    ids = [make_run(workspace, steps=200).id for _ in range(5)]
    one = SeriesCache(workspace)
    size = one.get(ids[0]).size_bytes
    cache = SeriesCache(workspace, most_bytes=int(size * 2.5))
    with cache.held(ids[0]):
        for run_id in ids:
            cache.get(run_id)
        assert len(cache) == 2
        assert cache.peek(ids[0]) is not None
        assert cache.peek(ids[4]) is not None
    cache.get(ids[1])
    assert cache.peek(ids[0]) is None
    assert len(SeriesCache(workspace, most_bytes=0)._columns) == 0
    assert len(cache.get(ids[2]).series["train/loss"]) == 200


def test_many_points_are_served_quickly_once_read(tmp_path: Path):
    """Some thousands: what is asked of a million is linear in their number, and a slow machine must not fail."""
    workspace = Workspace(tmp_path / "ws")
    run = make_run(workspace, steps=10)
    record(workspace, run.id, 1, range(11, 16_000))
    from tests.dashboard.conftest import asking

    with asking(workspace) as client:
        client.get(f"/api/runs/{run.id}/series")
        began = time.perf_counter()
        told = client.get(f"/api/runs/{run.id}/series?points=1000").json()
        assert time.perf_counter() - began < 1.0
    assert told["series"]["train/loss"]["count"] == 15_999


# ---------------------------------------------------------------------------------------------- cursors


@pytest.mark.parametrize(
    "cursor",
    [
        Cursor(),
        Cursor(Version("0123abcd", 7)),
        Cursor(None, RunCursor("abcdefgh", Place(1, 2, 3, 4), 5)),
        Cursor(Version("0123abcd", 0), RunCursor("a2345677", Place(), 0)),
    ],
)
def test_a_cursor_survives_being_written(cursor: Cursor):
    assert Cursor.parse(str(cursor)) == cursor
    assert "\n" not in str(cursor)


@pytest.mark.parametrize(
    "text", ["x", "~x", "0123abcd.1~", "0123abcd.-1", "~abcdefgh.1.2.3.4", "../..", "~" * 9, "\n", "1" * 60]
)
def test_what_is_no_cursor_is_told(client: TestClient, text: str):
    if text == "0123abcd.1~":  # nothing after the mark is nothing known of a run
        assert Cursor.parse(text) == Cursor(Version("0123abcd", 1))
        return
    with pytest.raises(RequestError):
        Cursor.parse(text)
    assert client.get("/api/live", params={"since": text}).status_code == 400
