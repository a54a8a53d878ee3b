"""`vitscope plot` as a person meets it."""

from __future__ import annotations

from pathlib import Path

import pytest

from vitscope.cli.app import main
from vitscope.storage.runs import create_run
from vitscope.storage.workspace import Workspace


def vitscope(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return int(ended.value.code or 0)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VITSCOPE_WORKSPACE", str(tmp_path / "workspace"))
    create_run(Workspace().database, name="mine", source="digits", model="vit")
    return tmp_path


def test_the_file_is_written_and_named(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert vitscope("plot", "mine", "-o", "a picture.svg", "--x", "time", "--log") == 0
    assert (here / "a picture.svg").is_file()
    assert capsys.readouterr().out == "Drawn: a picture.svg\n"


def test_the_default_name_is_told(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert vitscope("plot", "latest") == 0
    (file,) = here.glob("curves-*.png")
    assert capsys.readouterr().out == f"Drawn: {file.name}\n"


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["latest", "--figure", "curve"], "Did you mean 'curves'?"),
        (["latest", "-o", "a.jpeg"], "Known: .png, .svg, .pdf."),
        (["nothing"], "nothing"),
        (["latest", "--figure", "attention"], "no checkpoint yet"),
        (["latest", "--figure", "weights", "--layer", "x"], "--layer"),
        (["latest", "--x", "hour"], "step, epoch, time"),
    ],
)
def test_a_wrong_request_exits_2_and_says_what_is_known(
    here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], part: str
) -> None:
    assert vitscope("plot", *arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert part in said.err
    assert "Traceback" not in said.err
    assert [file.name for file in here.iterdir()] == ["workspace"]
