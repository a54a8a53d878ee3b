"""Imports point down the rooms of docs/architecture.md, and the check that says so can fail."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def lint(root: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache", "--config", "pyproject.toml"]
    environment = {**os.environ, "PYTHONPATH": str(root / "src")}
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=120)


def copy(to: Path) -> Path:
    shutil.copytree(ROOT / "src", to / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", to)
    return to


def test_imports_point_down(tmp_path: Path):
    done = lint(copy(tmp_path))
    assert done.returncode == 0, done.stdout


def test_a_planted_upward_import_is_found(tmp_path: Path):
    root = copy(tmp_path)
    file = root / "src" / "vitscope" / "data" / "draw.py"
    file.write_text(
        file.read_text() + "\n\ndef planted():\n    from vitscope.training import loop\n\n    return loop\n"
    )
    done = lint(root)
    assert done.returncode != 0
    assert "vitscope.data.draw -> vitscope.training.loop" in done.stdout


def test_every_room_is_named_in_the_architecture():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([a-z_]+)(?:/|\.py)`", page))
    source = ROOT / "src" / "vitscope"
    rooms = {p.name for p in source.iterdir() if p.is_dir() and not p.name.startswith("_")}
    files = {p.stem for p in source.glob("*.py") if not p.name.startswith("_")}
    assert rooms | files <= named


def test_no_file_has_a_name_that_says_nothing():
    names = {p.stem for p in (ROOT / "src").rglob("*.py")}
    assert not names & {"utils", "util", "helpers", "misc", "common"}
