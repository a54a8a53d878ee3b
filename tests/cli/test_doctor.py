"""`vitscope doctor` as a person and a script meet it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vitscope.cli.app import main
from vitscope.workflows import doctor
from vitscope.workflows.doctor import Check

FINE = Check("machine", "cpu", "ok", "Some CPU, 2 cores")
TORCH = Check("software", "torch", "ok", "2.14.1")
COMPILER = Check("machine", "compiler", "warning", "none", "Everything works, uncompiled.", "apt-get install g++")
DATABASE = Check(
    "workspace", "database", "broken", "damaged", "Parts of it cannot be read. " * 10, "restore [a] backup"
)


def vitscope(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return int(ended.value.code or 0)


def with_checks(monkeypatch: pytest.MonkeyPatch, *checks: Check) -> None:
    monkeypatch.setattr(doctor, "examine", lambda _: list(checks))


def test_here_it_runs_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VITSCOPE_WORKSPACE", raising=False)
    assert vitscope("doctor") == 0
    out = capsys.readouterr().out
    assert "✓ python" in out
    assert "torch 2." in out
    assert "\x1b" not in out  # no colour where it is not a terminal
    assert list(tmp_path.iterdir()) == []
    assert vitscope("doctor", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert set(told) == {"sound", "checks"}
    assert told["sound"] is True
    assert {tuple(check) for check in told["checks"]} == {("group", "name", "status", "found", "meaning", "fix")}
    assert {check["status"] for check in told["checks"]} <= {"ok", "warning", "broken"}


def test_a_warning_is_marked_explained_and_exits_0(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with_checks(monkeypatch, TORCH, FINE, COMPILER)
    assert vitscope("doctor") == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert "✓ packages      torch 2.14.1" in lines
    assert "! compiler      none" in lines
    assert lines[lines.index("! compiler      none") + 1 :][:2] == [
        "Everything works, uncompiled.",
        "→ apt-get install g++",
    ]
    assert lines[-1] == "ViTScope works here; 1 thing could be better."


def test_what_is_broken_exits_1_as_text_and_as_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with_checks(monkeypatch, FINE, DATABASE)
    assert vitscope("doctor") == 1
    out = capsys.readouterr().out
    assert "✗ database" in out
    assert "→ restore [a] backup" in out  # not taken for markup
    assert max(map(len, out.splitlines())) <= 100
    assert vitscope("doctor", "--json") == 1
    assert json.loads(capsys.readouterr().out)["sound"] is False


def test_all_well(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with_checks(monkeypatch, FINE)
    assert vitscope("doctor") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "All is well."
