"""Deleting runs and bringing them back; a process that dies in between loses nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from vitscope.errors import RequestError, WorkFailed
from vitscope.storage import records, runs
from vitscope.storage.workspace import Workspace
from vitscope.workflows import trash
from vitscope.workflows.runs import list_runs
from vitscope.workflows.trash import Moved, delete_runs, restore_runs


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "ws")


def make(workspace: Workspace, name: str = "digits", status: runs.Status = "finished") -> runs.RunRow:
    row = runs.create_run(workspace.database, name=name, source="digits", model="vit")
    attempt = runs.begin_attempt(workspace.database, row.id, 0)
    with workspace.database.writing() as connection:
        batch = records.Batch([records.MetricRow(0.0, 1, 0.1, "train", "loss", 1.0)])
        records.append(connection, row.id, attempt, batch)
    if status != "running":
        runs.end_attempt(workspace.database, row.id, attempt, status)
    folder = workspace.run_folder(row.id)
    (folder / "checkpoints" / "step-00000001").mkdir(parents=True)
    (folder / "checkpoints" / "step-00000001" / "model.safetensors").write_bytes(b"x" * 1000)
    (folder / "checkpoints" / "last").symlink_to("step-00000001")
    (folder / "config.yaml").write_bytes(b"seed: 0\n")
    return runs.get_run(workspace.database, row.id)


def everything(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


def listed(workspace: Workspace, deleted: bool = False) -> list[str]:
    return [run["id"] for run in list_runs(workspace, deleted=deleted)]


def test_there_and_back_changes_nothing(workspace: Workspace):
    kept, row = make(workspace, "kept"), make(workspace)
    before = everything(workspace.run_folder(row.id))
    assert list(delete_runs(workspace, [row.id])) == [Moved(row.id, "digits", 1008)]
    assert (listed(workspace), listed(workspace, deleted=True)) == ([kept.id], [row.id])
    assert not workspace.run_folder(row.id).exists()
    assert list_runs(workspace, deleted=True)[0]["deleted_at"] is not None
    assert list(restore_runs(workspace, ["digits"])) == [Moved(row.id, "digits", 1008)]
    assert (listed(workspace), listed(workspace, deleted=True)) == ([row.id, kept.id], [])
    after = everything(workspace.run_folder(row.id))
    after.pop("run.lock", None)
    assert after == before
    assert (workspace.run_folder(row.id) / "checkpoints" / "last").resolve().name == "step-00000001"
    assert runs.get_run(workspace.database, row.id) == row


def test_a_deleted_run_is_not_found_by_any_name(workspace: Workspace):
    old, row = make(workspace, "old"), make(workspace, "new")
    list(delete_runs(workspace, ["latest"]))
    assert workspace.find_run("latest").id == old.id
    for ref in (row.id, "new"):
        with pytest.raises(RequestError, match=f"in the trash.*runs restore {row.id}"):
            workspace.find_run(ref)
    with pytest.raises(RequestError, match="Unknown run"):
        workspace.find_run(row.id[:7])
    with pytest.raises(RequestError, match="no run with the id"):
        runs.begin_attempt(workspace.database, row.id, 0)  # nobody trains it, however it was found


def test_the_newest_of_a_name_steps_aside_for_the_older(workspace: Workspace):
    old, new = make(workspace, "same"), make(workspace, "same")
    list(delete_runs(workspace, [new.id]))
    assert workspace.find_run("same").id == old.id
    list(delete_runs(workspace, ["same"]))
    assert listed(workspace, deleted=True) == [new.id, old.id]
    assert [done.id for done in restore_runs(workspace, ["same"])] == [new.id]


def test_a_run_that_is_trained_is_refused(workspace: Workspace):
    row = make(workspace, status="running")
    with workspace.lock_run(row.id), pytest.raises(RequestError, match="being trained by another process"):
        list(delete_runs(workspace, [row.id]))
    assert listed(workspace) == [row.id]
    list(delete_runs(workspace, [row.id]))  # its process is gone
    assert list_runs(workspace, deleted=True)[0]["status"] == "interrupted"


def test_a_wrong_name_among_many_stops_before_the_first(workspace: Workspace):
    row = make(workspace)
    with pytest.raises(RequestError, match="nothing"):
        delete_runs(workspace, [row.id, "nothing"])
    assert listed(workspace) == [row.id]
    assert [done.id for done in delete_runs(workspace, [row.id, row.name, row.id[:5]])] == [row.id]
    with pytest.raises(RequestError, match="nothing"):
        restore_runs(workspace, [row.id, "nothing"])
    assert listed(workspace, deleted=True) == [row.id]


def test_forever_leaves_nothing_from_either_place(workspace: Workspace):
    kept, first, second = make(workspace, "kept"), make(workspace, "first"), make(workspace, "second")
    list(delete_runs(workspace, ["second"]))
    assert {done.id for done in delete_runs(workspace, ["first", "second"], forever=True)} == {first.id, second.id}
    assert (listed(workspace), listed(workspace, deleted=True)) == ([kept.id], [])
    assert [f.name for f in workspace.runs_folder.iterdir()] == [kept.id]
    assert list((workspace.trash_folder / "runs").iterdir()) == []
    with workspace.database.reading() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM vs_metrics").scalar() == 1


@pytest.mark.parametrize("way", ["delete again", "restore"])
def test_died_between_the_mark_and_the_move(workspace: Workspace, monkeypatch: pytest.MonkeyPatch, way: str):
    row = make(workspace)
    before = everything(workspace.run_folder(row.id))
    monkeypatch.setattr(Path, "rename", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        list(delete_runs(workspace, [row.id]))
    monkeypatch.undo()
    assert listed(workspace, deleted=True) == [row.id]
    if way == "restore":
        list(restore_runs(workspace, [row.id]))
        assert everything(workspace.run_folder(row.id)).items() >= before.items()
    else:
        list(delete_runs(workspace, [row.id], forever=True))
        assert list(workspace.runs_folder.iterdir()) == []


def test_died_between_moving_back_and_taking_the_mark_off(workspace: Workspace, monkeypatch: pytest.MonkeyPatch):
    row = make(workspace)
    list(delete_runs(workspace, [row.id]))
    monkeypatch.setattr(trash.runs, "update_run", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        list(restore_runs(workspace, [row.id]))
    monkeypatch.undo()
    assert listed(workspace, deleted=True) == [row.id]
    list(restore_runs(workspace, [row.id]))
    assert (workspace.run_folder(row.id) / "config.yaml").exists()
    assert listed(workspace) == [row.id]


def test_a_folder_that_cannot_be_moved_is_told_and_stays(workspace: Workspace, monkeypatch: pytest.MonkeyPatch):
    row = make(workspace)
    monkeypatch.setattr(Path, "rename", lambda *_: (_ for _ in ()).throw(PermissionError(13, "Permission denied")))
    with pytest.raises(WorkFailed, match="Nothing was deleted"):
        list(delete_runs(workspace, [row.id]))
    assert listed(workspace) == [row.id]


def test_runs_on_a_disk_of_their_own_are_hidden_where_they_are(workspace: Workspace, monkeypatch: pytest.MonkeyPatch):
    row = make(workspace)
    monkeypatch.setattr(Path, "rename", lambda *_: (_ for _ in ()).throw(OSError(18, "Invalid cross-device link")))
    list(delete_runs(workspace, [row.id]))
    assert listed(workspace) == []
    assert (workspace.run_folder(row.id) / "config.yaml").exists()
    list(restore_runs(workspace, [row.id]))
    assert listed(workspace) == [row.id]


def test_an_empty_workspace_is_told_and_not_created(workspace: Workspace):
    for act in (delete_runs, restore_runs):
        with pytest.raises(RequestError, match="any"):
            act(workspace, ["any"])
    assert not workspace.root.exists()


def test_a_name_of_several_runs_deletes_none(workspace: Workspace):
    first, second = make(workspace), make(workspace)
    with pytest.raises(RequestError, match=rf"Several runs are called 'digits' \({second.id}, {first.id}\)"):
        delete_runs(workspace, ["digits"])
    assert listed(workspace) == [second.id, first.id]
    assert [moved.id for moved in delete_runs(workspace, [first.id])] == [first.id]
    assert [moved.id for moved in delete_runs(workspace, ["digits"])] == [second.id]
