from __future__ import annotations

import io
import json
import math
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console
from typer.testing import CliRunner, Result

from vitscope.cli import runs as cli
from vitscope.cli import table
from vitscope.cli.app import app
from vitscope.errors import RequestError
from vitscope.events import EpochDone, Metric, Notice, RunStarted, StepRecord, StepsDone
from vitscope.metrics.recorder import Recorder
from vitscope.storage import runs
from vitscope.storage.workspace import Workspace

LIST_KEYS = ["id", "name", "status", "source", "model", "created_at", "updated_at", "epochs", "step", "total_steps"]
LIST_KEYS += ["progress", "best_val_top1", "test_top1", "message", "parent", "deleted_at"]
SHOW_KEYS = [*LIST_KEYS, "folder", "resume", "attempts", "metrics", "checkpoints", "files", "notices"]
HOSTILE = ["[red]red[/red]", "花の名前", "😀👨‍👩‍👧", ":smile:", "esc\x1b[31m", "two\nlines", "\u202eright to left"]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


def call(workspace: Workspace, *words: str) -> Result:
    result = CliRunner().invoke(app, ["--workspace", str(workspace.root), "runs", *words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def trained(
    workspace: Workspace, name: str = "digits", status: runs.Status = "finished", source: str = "digits"
) -> str:
    """A run of 20 of 40 steps with an evaluation, a warning, a checkpoint and some files."""
    database = workspace.database
    run = runs.create_run(database, name=name, source=source, model="vit_tiny_patch16_224")
    attempt = runs.begin_attempt(database, run.id, 0)
    record = Recorder(database, run.id, attempt)
    record(RunStarted(0, 40, 4, 10))
    record(StepsDone(tuple(StepRecord(s, 0, 2.5, 0.125, math.inf, 300.0) for s in range(1, 21))))
    scores = Metric("val", "top1", 0.625), Metric("test", "top1", 0.5), Metric("val", "loss", math.nan)
    record(EpochDone(20, 2, scores, True))
    record(Notice("cat/[bold]😀[/bold].jpg: not an image", "warning"))
    record.close()
    if status != "running":
        runs.end_attempt(database, run.id, attempt, status)
    folder = workspace.run_folder(run.id)
    for step in (10, 20):
        checkpoint = folder / "checkpoints" / f"step-{step:08d}"
        checkpoint.mkdir(parents=True)
        (checkpoint / "model.safetensors").write_bytes(b"x" * 1500)
    (folder / "checkpoints" / "last").symlink_to("step-00000020")
    (folder / "checkpoints" / "best").symlink_to("step-00000010")
    (folder / "charts").mkdir()
    (folder / "charts" / "curves.png").write_bytes(b"x" * 2_500_000)
    (folder / "config.yaml").write_text("seed: 0\n")
    (folder / "run.lock").touch()
    return run.id


# ---------------------------------------------------------------------------------------------- list


def test_empty_workspace_says_what_to_do_and_is_not_created(workspace: Workspace):
    result = call(workspace, "list")
    assert "vitscope --workspace" in result.stdout
    assert "train SOURCE" in result.stdout
    assert json.loads(call(workspace, "list", "--json").stdout) == []
    assert not workspace.root.exists()


def test_list_as_json_has_stable_keys(workspace: Workspace):
    first, second = trained(workspace), trained(workspace, "flowers", "interrupted", source="/data/flowers")
    listed = json.loads(call(workspace, "list", "--json").stdout)
    assert [run["id"] for run in listed] == [second, first]
    assert all(list(run) == LIST_KEYS for run in listed)
    run = listed[0]
    assert (run["name"], run["status"], run["source"]) == ("flowers", "interrupted", "/data/flowers")
    assert (run["step"], run["total_steps"], run["epochs"], run["progress"]) == (20, 40, 4, 0.5)
    assert (run["best_val_top1"], run["test_top1"], run["parent"]) == (0.625, 0.5, None)
    assert run["created_at"].endswith("+00:00")


def test_piped_lines_are_aligned_and_uncut(workspace: Workspace):
    names = ["short", "名前", "x" * 150]
    for name in names:
        trained(workspace, name)
    head, *lines = call(workspace, "list").stdout.splitlines()
    assert head.split() == ["status", "name", "id", "data", "model", "progress", "best", "val", "test", "age"]
    assert [line.split()[1] for line in lines] == names[::-1]
    assert len({cell_len(line.split("vit_tiny")[0]) for line in lines}) == 1  # Chinese is twice as wide
    assert all(line.split()[-5:-2] == ["50%", "62.50%", "50.00%"] for line in lines)


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("command", ["list", "show"])
def test_names_are_shown_as_text(workspace: Workspace, name: str, command: str):
    run_id = trained(workspace, name)
    text = call(workspace, command, *([run_id] if command == "show" else [])).stdout
    shown = {"esc\x1b[31m": r"esc\x1b[31m", "two\nlines": r"two\nlines", HOSTILE[-1]: r"\u202eright to left"}
    assert shown.get(name, name) in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    as_json = json.loads(call(workspace, "list", "--json").stdout)
    assert as_json[0]["name"] == name


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_terminal_table_fits_its_width(workspace: Workspace, monkeypatch: pytest.MonkeyPatch, width: int):
    for name in (*HOSTILE, "x" * 150):
        trained(workspace, name)
    out = Console(force_terminal=True, color_system=None, width=width, file=io.StringIO(), highlight=False)
    monkeypatch.setattr(cli, "console", lambda: out)
    monkeypatch.setattr(table, "console", lambda: out)
    call(workspace, "list")
    text = out.file.getvalue()  # type: ignore[attr-defined]
    assert "…" in text
    if width >= 80:
        assert text.count("finished") == len(HOSTILE) + 1
        assert text.count("50.00%") == len(HOSTILE) + 1
        assert ("vit_tiny" in text) == (width >= 100)
        assert all(cell_len(line) <= width for line in text.splitlines())


def test_list_and_show_import_nothing_heavy(workspace: Workspace):
    run_id = trained(workspace, status="running")
    heavy = ("torch", "timm", "pandas", "numpy", "pyarrow", "matplotlib", "alembic")
    for words in (["list"], ["show", run_id]):
        code = "import sys; from vitscope.cli.app import main\n"
        code += f"try: main({['--workspace', str(workspace.root), 'runs', *words]})\n"
        code += f"finally: print('imported', *[m for m in {heavy} if m in sys.modules])"
        lines = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        assert "interrupted" in lines
        assert lines.splitlines()[-1] == "imported"


# ---------------------------------------------------------------------------------------------- show


def test_show_as_json(workspace: Workspace):
    run_id = trained(workspace, status="interrupted")
    shown = json.loads(call(workspace, "show", run_id[:6], "--json").stdout)
    assert list(shown) == SHOW_KEYS
    assert shown["folder"] == str(workspace.run_folder(run_id))
    assert shown["resume"] == f"vitscope --workspace {workspace.root} resume {run_id}"
    (attempt,) = shown["attempts"]
    assert list(attempt) == ["attempt", "from_step", "status", "started_at", "ended_at", "host", "pid"]
    assert (attempt["attempt"], attempt["from_step"], attempt["status"]) == (1, 0, "interrupted")
    assert {(m["split"], m["name"]): m["value"] for m in shown["metrics"]} == {
        ("", "data_wait"): 0.0,
        ("", "grad_norm"): "Infinity",
        ("", "images_per_s"): 300.0,
        ("", "lr"): 0.125,
        ("test", "top1"): 0.5,
        ("train", "loss"): 2.5,
        ("val", "loss"): "NaN",
        ("val", "top1"): 0.625,
    }
    assert shown["metrics"][0] == {"split": "", "name": "data_wait", "value": 0.0, "step": 20, "epoch": 2.0}
    assert shown["checkpoints"] == [
        {"name": "step-00000010", "step": 10, "is_best": True, "is_last": False, "size_bytes": 1500},
        {"name": "step-00000020", "step": 20, "is_best": False, "is_last": True, "size_bytes": 1500},
    ]
    assert shown["files"] == [
        {"path": "charts/curves.png", "size_bytes": 2_500_000},
        {"path": "config.yaml", "size_bytes": 8},
    ]
    (notice,) = shown["notices"]
    assert (notice["step"], notice["level"], notice["text"]) == (20, "warning", "cat/[bold]😀[/bold].jpg: not an image")


def test_show_for_people(workspace: Workspace):
    run_id = trained(workspace, "花", "interrupted")
    text = call(workspace, "show", "花").stdout
    for part in (f"花  ({run_id})", "step 20 of 40 (50%)", "validation top-1 62.50%", "top-1 50.00%"):
        assert part in text
    for part in ("step-00000010", "best", "1.5 kB", "charts/", "2.5 MB", "1 file", "val loss", "NaN"):
        assert part in text
    assert "cat/[bold]😀[/bold].jpg: not an image" in text
    assert text.rstrip().endswith(f"vitscope --workspace {workspace.root} resume {run_id}")
    finished = trained(workspace)
    assert call(workspace, "show", finished).stdout.rstrip().endswith(f"resume {finished} --epochs N")


def test_run_whose_process_died_is_interrupted_and_resumable(workspace: Workspace):
    run_id = trained(workspace, status="running")
    shown = json.loads(call(workspace, "show", run_id, "--json").stdout)
    assert (shown["status"], shown["attempts"][0]["status"]) == ("interrupted", "interrupted")
    assert run_id in shown["resume"]
    with workspace.lock_run(run_id):
        shown = json.loads(call(workspace, "show", run_id, "--json").stdout)
    assert (shown["status"], shown["attempts"][0]["status"], shown["resume"]) == ("running", "running", None)


def test_why_a_run_failed_is_shown(workspace: Workspace):
    run_id = trained(workspace, status="failed")
    runs.update_run(workspace.database, run_id, message="The loss became NaN in step 20.")
    assert "failed: The loss became NaN in step 20." in call(workspace, "show", run_id).stdout


def test_run_without_anything_yet(workspace: Workspace):
    run = runs.create_run(workspace.database, name="new", source="digits", model="vit")
    shown = json.loads(call(workspace, "show", "new", "--json").stdout)
    assert (shown["status"], shown["progress"], shown["metrics"], shown["files"]) == ("created", None, [], [])
    assert run.id in call(workspace, "show", "new").stdout


def test_unknown_run_is_told_with_the_closest(workspace: Workspace):
    trained(workspace, "flowers")
    with pytest.raises(RequestError, match="Did you mean 'flowers'"):
        call(workspace, "show", "flwers")


# ---------------------------------------------------------------------------------------------- delete, restore


def test_delete_and_restore_say_what_they_did(workspace: Workspace):
    run_id = trained(workspace, "花 [red]")
    told = call(workspace, "delete", run_id).stdout
    assert f"花 [red] ({run_id}), 2.5 MB" in told
    assert told.rstrip().endswith(f"vitscope --workspace {workspace.root} runs restore {run_id}")
    assert json.loads(call(workspace, "list", "--json").stdout) == []
    (deleted,) = json.loads(call(workspace, "list", "--deleted", "--json").stdout)
    assert (deleted["id"], list(deleted)) == (run_id, LIST_KEYS)
    assert "花 [red]" in call(workspace, "list", "--deleted").stdout
    assert f"Restored 花 [red] ({run_id})" in call(workspace, "restore", "花 [red]").stdout
    assert "Nothing in the trash" in call(workspace, "list", "--deleted").stdout
    assert f"Erased 花 [red] ({run_id})" in call(workspace, "delete", "--forever", run_id[:5]).stdout
    with pytest.raises(RequestError, match="There is no run yet"):
        call(workspace, "show", "latest")


def test_a_job_that_died_is_told_by_whoever_looks(workspace: Workspace):
    from vitscope.storage import jobs

    run_id = trained(workspace, status="running")
    (workspace.run_folder(run_id) / "job.log").write_text("epoch 1\nKilled\n")
    jobs.claim(workspace.database, jobs.JobRow(run_id, socket.gethostname(), os.getpid(), 0.0, 0, 0, 1.0), None)
    assert "failed" in call(workspace, "list").stdout
    assert "The end of its log: epoch 1 | Killed" in call(workspace, "show", run_id).stdout


# ---------------------------------------------------------------------------------------------- compare


def test_compare_for_people_and_as_a_figure(workspace: Workspace, tmp_path: Path):
    first, second = trained(workspace, "same"), trained(workspace, "same", "interrupted", source="/data/flowers")
    result = call(workspace, "compare", first, second, "--figure", str(tmp_path / "both.svg"))
    for part in (f"same ({first})", f"same ({second})", "val top1 (best)", "62.50% (+0.00)", "NaN", "images/s"):
        assert part in result.stdout
    assert "its last numbers are not final" in result.stderr
    assert f"Drawn: {tmp_path / 'both.svg'}" in result.stdout
    assert (tmp_path / "both.svg").stat().st_size > 5_000
    with pytest.raises(RequestError, match=r"\.png"):
        call(workspace, "compare", first, second, "--figure", "both.gif")
    as_json = json.loads(call(workspace, "compare", first, second, "--json").stdout)
    assert list(as_json) == ["runs", "options", "data", "metrics", "environment", "notices"]
    assert as_json["metrics"][0] == {
        "split": "val",
        "name": "top1",
        "at": "best",
        "values": [0.625, 0.625],
        "differences": [0.0, 0.0],
    }


# ---------------------------------------------------------------------------------------------- export, import


def test_export_and_import_say_what_they_did(workspace: Workspace, tmp_path: Path):
    run_id = trained(workspace, "花 [red]")
    told = call(workspace, "export", "花 [red]", "-o", str(tmp_path)).stdout
    file = tmp_path / f"花-red-{run_id}.vitscope.tar"
    assert f"Exported 花 [red] ({run_id}) to {file}: 6 files, 2.5 MB." in told
    assert f"vitscope runs import '{file.name}'" in told
    other = Workspace(tmp_path / "other")
    told = call(other, "import", str(file)).stdout
    assert f"Imported 花 [red] ({run_id})" in told
    assert told.rstrip().endswith(f"vitscope --workspace {other.root} runs show {run_id}")
    assert "is here already, just as it is in the archive" in call(other, "import", str(file)).stdout
    shown = [json.loads(call(w, "show", run_id, "--json").stdout) for w in (workspace, other)]
    assert shown[0] | {"folder": shown[1]["folder"], "resume": shown[1]["resume"]} == shown[1]
    with pytest.raises(RequestError, match="not an archive"):
        call(other, "import", __file__)


def test_export_and_import_do_without_torch(workspace: Workspace, tmp_path: Path):
    trained(workspace)
    for place, words in (("workspace", ["export", "latest", "-o", "x.tar"]), ("other", ["import", "x.tar"])):
        code = "import sys; from vitscope.cli.app import main\n"
        code += f"try: main({['--workspace', str(tmp_path / place), 'runs', *words]})\n"
        code += "finally: print('torch' in sys.modules)"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
        assert done.stdout.splitlines()[-1] == "False"
