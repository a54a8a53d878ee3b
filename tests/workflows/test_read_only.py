"""Pictures on a disk that can only be read, by root neither (fault 30)."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

from tests.namespaces import TRAIN, in_namespace, read_only

SCRIPT = """
import json, os, sys
from vitscope.cli.app import main
pictures, place, words = json.loads(sys.argv[1])
try:
    open(os.path.join(pictures, "new"), "w")
except OSError as error:
    print(error.strerror)
os.chdir(pictures)  # what writes beside the pictures, or into the folder where it is called, fails here
for line in words:
    try:
        main(["--workspace", place, *line])
        code = 0
    except SystemExit as end:
        code = end.code or 0
    print("exit", code, *line[:2], flush=True)
try:
    main(["train", pictures])
except SystemExit as end:
    print("exit", end.code, "without a workspace")
"""


def content(folder: Path) -> dict[str, str]:
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def test_fault_30_pictures_that_can_only_be_read_are_checked_imported_trained_on_and_evaluated(
    pictures: Path, tmp_path: Path
) -> None:
    before, place = content(pictures), tmp_path / "ws"
    words = [
        ["data", "check", str(pictures)],
        ["data", "import", str(pictures), "--name", "fruits"],
        ["train", "fruits", "--epochs", "1", "--cache", "on", *TRAIN],
        ["evaluate", "latest"],
        ["predict", "latest", str(pictures / "pear")],
    ]
    given = json.dumps([str(pictures), str(place), words])
    done = in_namespace(read_only(pictures), [sys.executable, "-c", SCRIPT, given])
    lines = done.stdout.splitlines()
    assert lines[0] == "Read-only file system"
    assert [line for line in lines if line.startswith("exit")] == [
        *(f"exit 0 {' '.join(line[:2])}" for line in words),
        "exit 2 without a workspace",
    ], done.stdout + done.stderr
    assert "the workspace cannot be created (Read-only file system)" in done.stderr
    assert "--workspace" in done.stderr
    assert "Traceback" not in done.stderr
    assert content(pictures) == before
