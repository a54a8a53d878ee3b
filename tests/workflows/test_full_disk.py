"""A disk that really fills up while a run is saved (fault 44)."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import vitscope
from tests.namespaces import TRAIN, in_namespace, tmpfs
from tests.workflows.test_resume import assert_equal, everything
from vitscope.config import merge
from vitscope.training.checkpoint import Checkpoints, damaged

EVERY = {"checkpoint": {"every_steps": 1, "keep": 1000}, "train": {"epochs": 3}}

STOPS = """
import json, shutil, subprocess, sys
from vitscope.cli.app import main
place, kept, *words = json.loads(sys.argv[1])
def command(*words):
    try:
        main(["--workspace", place, *words])
        print("exit 0", flush=True)
    except SystemExit as end:
        print("exit", end.code or 0, flush=True)
command("train", *words)
shutil.copytree(place, kept + "/stopped", symlinks=True)
subprocess.run(["mount", "-o", "remount,size=64m", place], check=True)
command("resume", "latest")
shutil.copytree(place, kept + "/resumed", symlinks=True)
"""


def test_fault_44_a_full_disk_stops_the_run_which_goes_on_where_it_was(
    pictures: Path, tiny: dict, tmp_path: Path
) -> None:
    """Workspace and database on a disk of 3 MB, which the checkpoints fill."""
    place = tmp_path / "ws"
    place.mkdir()
    saving = ["--epochs", "3", "--set", "checkpoint.every_steps=1", "--set", "checkpoint.keep=1000"]
    words = json.dumps([str(place), str(tmp_path), str(pictures), *saving, *TRAIN])
    done = in_namespace(tmpfs("3m", place), [sys.executable, "-c", STOPS, words])
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line for line in done.stdout.splitlines() if line.startswith("exit ")] == ["exit 1", "exit 0"]
    checkpoints = Checkpoints(vitscope.Run("latest", tmp_path / "stopped").folder / "checkpoints")
    there = checkpoints.all()
    assert len(there) > 1
    assert [damaged(folder) for folder in there] == [None] * len(there)
    assert checkpoints.last == there[-1]
    assert not list(checkpoints.folder.glob(".*"))
    (error,) = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert f"The checkpoint of step {len(there) + 1} could not be written to " in error
    assert "B are free there). Is the disk full? Make room and resume" in error
    assert error.endswith(f"the last good checkpoint is {there[-1].name}.")
    assert "Traceback" not in done.stderr
    whole = vitscope.train(pictures, workspace=tmp_path / "whole", **merge(tiny, EVERY))
    resumed, uninterrupted = everything(vitscope.Run("latest", tmp_path / "resumed")), everything(whole)
    assert_equal(resumed, uninterrupted)  # metrics too: no row that was recorded before is lost


GOES_ON = """
import json, shutil, sys
from pathlib import Path
import vitscope
from vitscope.events import Notice, StepsDone
source, place, kept, options = json.loads(sys.argv[1])
filler = Path(place, "runs", "filler")
def watch(event):
    step = event.records[-1].step if isinstance(event, StepsDone) else None
    if step == 4:
        with filler.open("wb", buffering=0) as file:
            try:
                while file.write(bytes(4096)):
                    pass
            except OSError as error:
                print(error)
    if step == 7:
        filler.unlink()
    if isinstance(event, Notice) and "could not be written" in event.text:
        print(event.text)
print(vitscope.train(source, workspace=place, observers=[watch], **options).status)
shutil.copytree(place, kept, symlinks=True)
"""


def test_fault_44_by_option_training_goes_on_and_saves_again_once_there_is_room(
    pictures: Path, tiny: dict, tmp_path: Path
) -> None:
    """The folder of the runs is on a disk that is full from step 4 to step 7, the ends of epochs at 6."""
    options = merge(tiny, EVERY, {"checkpoint": {"if_unwritable": "go-on"}})
    whole = vitscope.train(pictures, workspace=tmp_path / "whole", **options)
    place, kept = tmp_path / "ws", tmp_path / "kept"
    (place / "runs").mkdir(parents=True)
    given = json.dumps([str(pictures), str(place), str(kept), options])
    done = in_namespace(tmpfs("8m", place / "runs"), [sys.executable, "-c", GOES_ON, given])
    assert done.returncode == 0, done.stdout + done.stderr
    full, *told, status = done.stdout.splitlines()
    assert "No space left on device" in full
    assert status == "finished"
    assert len(told) == 3
    for step, text in zip((4, 5, 6), told, strict=True):
        assert text.startswith(f"The checkpoint of step {step} could not be written")
        assert text.endswith(
            "Training goes on and tries again at the next one: make room; the last good checkpoint is step-00000003."
        )
    run = vitscope.Run("latest", kept)
    names = [folder.name for folder in Checkpoints(run.folder / "checkpoints").all()]
    assert names == [f"step-{step:08d}" for step in (1, 2, 3, 7, 8, 9)]
    assert_equal(everything(run)["weights"], everything(whole)["weights"])
    assert_equal(everything(run)["metrics"], everything(whole)["metrics"])
    best = Checkpoints(run.folder / "checkpoints").best
    assert best is not None
    assert best.name in names
