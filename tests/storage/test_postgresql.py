"""The same store on PostgreSQL, where `$VITSCOPE_TEST_POSTGRESQL` is the URL of a server to make databases on."""

from __future__ import annotations

import importlib.util
import math
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from vitscope.errors import RequestError, WorkFailed
from vitscope.events import CheckpointStarting, EpochDone, Metric, MetricsLogged, Notice, StepRecord, StepsDone
from vitscope.metrics import query, recorder
from vitscope.metrics.recorder import Recorder
from vitscope.storage import datasets, runs
from vitscope.storage.database import Database
from vitscope.storage.workspace import Workspace

SERVER = os.environ.get("VITSCOPE_TEST_POSTGRESQL")
needs_server = pytest.mark.skipif(SERVER is None, reason="$VITSCOPE_TEST_POSTGRESQL is not set")


@pytest.fixture
def url() -> Iterator[str]:
    """A database of the test's own."""
    assert SERVER is not None
    server = make_url(SERVER).set(drivername="postgresql+psycopg")
    admin = create_engine(server, isolation_level="AUTOCOMMIT")
    name = f"vitscope_test_{uuid.uuid4().hex}"
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield server.set(database=name, drivername="postgresql").render_as_string(hide_password=False)
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


def step(number: int) -> StepsDone:
    return StepsDone((StepRecord(number, 0, 1.0 / number, 0.1, 2.0, 300.0),))


@needs_server
def test_runs_metrics_events_and_data_sets(url: str, tmp_path: Path):
    workspace = Workspace(tmp_path, url)
    database = workspace.database
    run = runs.create_run(database, name="花 [red] \0 %", source="digits", model="vit")
    assert workspace.find_run(run.id[:5]) == workspace.find_run("latest") == workspace.find_run(run.name) == run
    for from_step in (0, 10):
        record = Recorder(database, run.id, runs.begin_attempt(database, run.id, from_step))
        for number in range(from_step + 1, from_step + 21):
            record(step(number))
        record(MetricsLogged(10, math.nan, tuple(Metric("val", n, v) for n, v in (("a", math.nan), ("b", -math.inf)))))
        record(EpochDone(10, 1, (Metric("val", "top1", 0.5), Metric("test", "top1", 0.25)), True))
        record(Notice("花 \udcff", "warning"))
        record.close()
        recorder.log(database, run.id, "mine", 7)
    frame = query.frame(database, run.id)
    assert frame[frame["name"] == "loss"]["value"].tolist() == [1 / n for n in range(1, 31)]
    values = {v.name: v.value for v in query.latest(database, run.id)}
    assert math.isnan(values["a"])
    assert values["b"] == -math.inf
    assert query.best(database, run.id) == query.Best(10, 0.5, 0.25)
    assert [e.text for e in query.events(database, run.id)] == ["花 \\udcff"] * 2
    row = datasets.DatasetRow("花", "/data", "f" * 32, 3, ("猫",), 12.5, "datasets/x/manifest.parquet")
    datasets.put(database, row)
    datasets.put(database, row)
    assert datasets.list(database) == (row,)
    runs.remove_run(database, run.id)
    assert query.frame(database, run.id).empty
    database.close()


@needs_server
def test_processes_opening_a_fresh_database_at_once_all_succeed(url: str):
    code = "import sys; from vitscope.storage import runs; from vitscope.storage.database import Database\n"
    code += "runs.create_run(Database(sys.argv[1]), name='r', source='s', model='m')"
    processes = [subprocess.Popen([sys.executable, "-c", code, url]) for _ in range(3)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    assert len(runs.list_runs(Database(url))) == 3


@needs_server
def test_server_that_drops_every_connection_loses_nothing(url: str):
    database = Database(url)
    run = runs.create_run(database, name="r", source="s", model="m")
    record = Recorder(database, run.id, runs.begin_attempt(database, run.id, 0), lambda text: None)
    other = create_engine(make_url(url).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
    dropped = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
    dropped += " AND pid <> pg_backend_pid()"
    for number in range(1, 101):
        record(step(number))
        if number % 20 == 0:
            record(CheckpointStarting(number))
            with other.connect() as connection:
                connection.execute(text(dropped))
    record.close()
    assert query.frame(database, run.id, names=["loss"])["step"].tolist() == list(range(1, 101))
    other.dispose()
    database.close()


@needs_server
def test_fault_53_newer_version_and_missing_database_are_told(url: str):
    database = Database(url)
    with database.writing() as connection:
        connection.execute(text("UPDATE vs_alembic_version SET version_num = '0917'"))
    database.close()
    with pytest.raises(RequestError, match="Update vitscope"):
        Database(url)
    with pytest.raises(WorkFailed, match=r"_missing.* does not exist"):
        Database(f"{url}_missing")


@pytest.mark.skipif(importlib.util.find_spec("psycopg") is None, reason="the driver is not installed")
def test_server_out_of_reach_is_told_without_the_password():
    with pytest.raises(WorkFailed, match="Check the URL and its server") as caught:
        Database("postgresql://me:secret@127.0.0.1:9/name")
    assert "secret" not in str(caught.value)


@pytest.mark.skipif(importlib.util.find_spec("psycopg") is not None, reason="the driver is installed")
def test_missing_driver_is_told():
    with pytest.raises(RequestError, match=r"pip install 'vitscope\[postgresql\]'"):
        Database("postgresql://host/name")


@needs_server
def test_what_the_dashboard_reads(url: str, tmp_path: Path):
    import socket

    import numpy as np

    from vitscope.dashboard.run_table import RunTable
    from vitscope.metrics.columns import RunColumns
    from vitscope.storage import jobs
    from vitscope.storage.changes import Changes
    from vitscope.workflows.trash import delete_runs, restore_runs

    workspace = Workspace(tmp_path, url)
    database = workspace.database
    run = runs.create_run(database, name="r", source="digits", model="vit", total_steps=40)
    columns = RunColumns(database, run.id)
    for from_step in (0, 10):
        record = Recorder(database, run.id, runs.begin_attempt(database, run.id, from_step))
        for number in range(from_step + 1, from_step + 21):
            record(step(number))
        record(EpochDone(10, 1, (Metric("val", "top1", 0.5 + from_step / 100), Metric("test", "top1", math.nan)), True))
        record(Notice("mind", "warning"))
        record.close()
        assert columns.update()
    frame = query.frame(database, run.id)
    names = frame["split"] + "/" + frame["name"]
    assert set(names) == set(columns.series)
    for name, series in columns.series.items():
        assert np.array_equal(series.rows().value, frame[names == name]["value"], equal_nan=True)
    assert len(columns.events) == 2
    assert query.evaluations(database, [run.id]) == {run.id: [(1.0, 0.6)]}
    assert query.pace(database, run.id, 2).images_per_s == 300.0
    assert Changes(database).seen()

    table = RunTable(workspace)
    table.refresh()
    before = table.now.version
    job = jobs.JobRow(run.id, socket.gethostname() + "x", 1, 0.5, 2, 0, 7.25)
    assert jobs.claim(database, job, None)
    assert jobs.get(database, run.id) == job
    list(delete_runs(workspace, [run.id]))
    table.refresh()
    assert table.now.since(before).gone == [run.id]
    list(restore_runs(workspace, ["r"]))
    table.refresh()
    assert [row["is_job"] for row in table.now.since(before).rows] == [True]
    list(delete_runs(workspace, [run.id], forever=True))
    assert jobs.get(database, run.id) is None


@needs_server
def test_a_run_goes_from_sqlite_to_postgresql_and_back(url: str, tmp_path: Path):
    from vitscope.workflows.run_export import export_run
    from vitscope.workflows.run_import import import_run

    here, there, back = Workspace(tmp_path / "a"), Workspace(tmp_path / "b", url), Workspace(tmp_path / "c")
    run = runs.create_run(here.database, name="花 [red] \0 %", source="digits", model="vit", total_steps=2**40)
    for from_step in (0, 10):
        record = Recorder(here.database, run.id, runs.begin_attempt(here.database, run.id, from_step))
        for number in range(from_step + 1, from_step + 21):
            record(step(number))
        record(MetricsLogged(10, math.nan, tuple(Metric("val", n, v) for n, v in (("a", math.nan), ("b", -math.inf)))))
        record(Notice("花 \udcff", "warning"))
        record.close()
    here.run_folder(run.id).mkdir(parents=True)
    (here.run_folder(run.id) / "run.lock").touch()
    for source, target in ((here, there), (there, back)):
        file = export_run(source, run.id, tmp_path / "run.tar").file
        assert import_run(target, file).is_new
        assert not import_run(target, file).is_new
    assert runs.get_run(back.database, run.id) == runs.get_run(there.database, run.id)
    for what in (query.frame, query.events, query.latest, runs.list_attempts):
        a, b = what(here.database, run.id), what(back.database, run.id)
        assert a.equals(b) if what is query.frame else len(a) == len(b)
    there.database.close()


@needs_server
def test_fault_54_a_server_that_is_away_for_a_while_is_survived_by_open_pages(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """As a restart is seen by its clients: every connection is cut, and for a while none can be made."""
    from tests.dashboard.conftest import Stream, make_run, record, serve, wait_until
    from vitscope.dashboard import live

    monkeypatch.setattr(live, "POLL_AGAIN_S", 0.1)
    workspace = Workspace(tmp_path, url)
    run = make_run(workspace, status="running")
    assert SERVER is not None
    admin = create_engine(make_url(SERVER).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
    name = make_url(url).database
    with serve(workspace) as server, Stream(server, f"/api/live?run={run.id}") as stream:
        stream.next()
        with admin.connect() as connection:
            connection.execute(text(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false"))
            connection.execute(text(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"))
            wait_until(lambda: "The dashboard tries again." in caplog.text)
            assert server.app.state.parts.hub.is_looking
            connection.execute(text(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true"))
        record(workspace, run.id, 1, range(21, 24))
        assert stream.until("points").data["series"]["train/loss"]["step"] == [21, 22, 23]
    admin.dispose()
    workspace.database.close()
