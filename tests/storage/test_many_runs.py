"""A workspace of 10,000 runs: what is listed and found is what plain Python makes of the same rows (fault 56)."""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.dashboard.conftest import asking
from vitscope.cli.app import main
from vitscope.errors import RequestError
from vitscope.storage import runs
from vitscope.storage.workspace import Workspace

COUNT = 10_000
LETTERS, REST = "abcdefghijklmnopqrstuvwxyz", "abcdefghijklmnopqrstuvwxyz234567"
Row = dict[str, Any]


def made_up() -> Iterator[Row]:
    """Rows in the order in which they were made; every third name is used again, every fifth run is in the trash."""
    rng = random.Random(0)
    ids: set[str] = set()
    while len(ids) < COUNT:
        ids.add(rng.choice(LETTERS) + "".join(rng.choices(REST, k=7)))
    for number, run_id in enumerate(sorted(ids, key=lambda i: rng.random())):
        yield {
            "id": run_id,
            "name": f"sweep {number // 3 * 3 if number % 3 else number} 花",
            "status": rng.choice(["finished", "interrupted", "failed"]),
            "source": rng.choice(["digits", "photos/cats & dogs"]),
            "model": rng.choice(["vit_tiny_patch16_224", "swin_tiny_patch4_window7_224"]),
            "created_at": 1.7e9 + rng.random() * 1e6,  # not the order in which they were made: clocks differ
            "updated_at": 1.8e9 + rng.random() * 1e6,
            "epochs": 5,
            "step": rng.randrange(1001),
            "total_steps": 1000,
            "best": rng.choice([None, rng.random()]),
            "test": None,
            "message": "",
            "deleted_at": 1.81e9 if number % 5 == 0 else None,
        }


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return list(made_up())


@pytest.fixture(scope="module")
def workspace(rows: list[Row], tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    place = Workspace(tmp_path_factory.mktemp("many"))
    place.database.close()
    with closing(sqlite3.connect(place.root / "vitscope.db")) as plain, plain:
        names = list(rows[0])
        holes = ", ".join(f":{name}" for name in names)
        plain.executemany(f"INSERT INTO vs_runs ({', '.join(names)}) VALUES ({holes})", rows)
    return place


def listed(rows: list[Row], *, deleted: bool = False) -> list[Row]:
    """Newest first, those in the trash or the others."""
    return [row for row in reversed(rows) if (row["deleted_at"] is not None) == deleted]


def told_of(row: Row) -> tuple:
    return (row["id"], row["name"], row["status"], row["step"] / 1000, row["best"], row["source"], row["model"])


def shown(run: Row) -> tuple:
    names = ("id", "name", "status", "progress", "best_val_top1", "source", "model")
    return tuple(run[name] for name in names)


@pytest.mark.parametrize("deleted", [False, True])
def test_fault_56_the_command_line_lists_them_all_in_their_order(
    rows: list[Row], workspace: Workspace, capfd: pytest.CaptureFixture[str], deleted: bool
) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--workspace", str(workspace.root), "runs", "list", "--json", *(["--deleted"] if deleted else [])])
    assert not end.value.code
    found = json.loads(capfd.readouterr().out)
    assert [shown(run) for run in found] == [told_of(row) for row in listed(rows, deleted=deleted)]


def test_fault_56_the_dashboard_lists_them_all_and_opens_any(rows: list[Row], workspace: Workspace) -> None:
    there = listed(rows)
    with asking(workspace) as client:
        answer = client.get("/api/runs").json()
        assert [shown(run) for run in answer["runs"]] == [told_of(row) for row in there]
        for row in (there[0], there[5000], there[-1]):
            one = client.get(f"/api/runs/{row['id']}").json()
            assert (one["id"], one["name"], one["status"]) == (row["id"], row["name"], row["status"])
        assert client.get(f"/api/runs/{listed(rows, deleted=True)[0]['id']}").status_code == 404


def test_fault_56_a_run_is_found_by_id_beginning_and_name_among_them(rows: list[Row], workspace: Workspace) -> None:
    there, database = listed(rows), workspace.database
    assert workspace.find_run("latest").id == there[0]["id"]
    newest = {row["name"]: row["id"] for row in reversed(there)}
    for row in random.Random(1).sample(there, 40):
        assert workspace.find_run(row["id"]).id == row["id"]
        assert workspace.find_run(row["name"]).id == newest[row["name"]]
        for length in (1, 2, 3, 5):
            beginning = row["id"][:length]
            meant = [one["id"] for one in there if one["id"].startswith(beginning)]
            if len(meant) == 1:
                assert runs.find_run(database, beginning).id == meant[0]
            else:
                with pytest.raises(RequestError, match="beginning of several runs") as told:
                    runs.find_run(database, beginning)
                assert set(meant[:5]) <= set(str(told.value).replace("(", " ").split())
    gone = listed(rows, deleted=True)[7]
    with pytest.raises(RequestError, match=f"in the trash. Bring it back with: vitscope runs restore {gone['id']}"):
        workspace.find_run(gone["id"])
    ids = [row["id"] for row in there[::2]]  # more than one statement may name
    assert [run.id for run in runs.get_runs(database, ids)] == ids
