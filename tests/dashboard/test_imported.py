"""A run that came as an archive is shown as it was where it was trained."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import draw_folder
from tests.dashboard.conftest import asking, record
from tests.trained import save_run, tiny_bundle
from vitscope.storage import runs
from vitscope.storage.workspace import Workspace
from vitscope.workflows.run_export import export_run
from vitscope.workflows.run_import import import_run


def test_it_appears_in_an_open_dashboard_with_all_that_was_known(workspace: Workspace, tmp_path: Path) -> None:
    there = Workspace(tmp_path / "there")
    pictures = draw_folder(tmp_path / "pictures", {"apple": 16, "pear": 14, "plum": 10})
    run = save_run(there, tiny_bundle(), pictures, "花")
    attempt = runs.begin_attempt(there.database, run.id, 0)
    record(there, run.id, attempt, range(1, 21))
    runs.end_attempt(there.database, run.id, attempt, "finished")
    (run.folder / "run.lock").touch()
    file = export_run(there, run.id, tmp_path).file

    paths = ["", "/images", "/series?names=train/loss,val/top1"]
    with asking(there) as client:
        expected = [client.get(f"/api/runs/{run.id}{path}") for path in paths]
    with asking(workspace) as client:
        assert client.get("/api/runs").json()["runs"] == []
        import_run(workspace, file)
        (listed,) = client.get("/api/runs").json()["runs"]
        assert (listed["id"], listed["name"], listed["status"]) == (run.id, "花", "finished")
        found = [client.get(f"/api/runs/{run.id}{path}") for path in paths]
        assert [answer.status_code for answer in (*expected, *found)] == [200] * 6
        for one, other in zip(expected[1:], found[1:], strict=True):
            assert one.json() == other.json()
        whole, again = expected[0].json(), found[0].json()
        assert {name for name in whole if whole[name] != again[name]} <= {"folder"}
        image = found[1].json()["images"][0]["id"]
        assert client.get(f"/api/runs/{run.id}/images/{image}").status_code == 200
