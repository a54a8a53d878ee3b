from __future__ import annotations

from pathlib import Path

import pytest

from tests.trained import save_run, tiny_bundle
from vitscope.cli.app import main
from vitscope.dashboard import pages
from vitscope.storage.workspace import Workspace
from vitscope.workflows import inside_page


@pytest.fixture
def place(tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    template = tmp_path / pages.OFFLINE
    template.write_text(f"<body>{inside_page.MARKER}</body>", encoding="utf-8")
    monkeypatch.setattr(pages, "STATIC", tmp_path)
    save_run(Workspace(tmp_path / "workspace"), tiny_bundle(), pictures)
    return tmp_path


def inspect(place: Path, *arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["--workspace", str(place / "workspace"), *map(str, arguments)])
    return int(ended.value.code or 0)


def test_the_page_is_written_and_named(place: Path, pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = place / "model.html"
    assert inspect(place, "inspect", "latest", "--image", pictures / "pear" / "000.png", "-o", target) == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"{target} (")
    assert "Left out of the page" in err
    assert target.read_text(encoding="utf-8").count("data-key=") > 10


def test_quiet_says_only_where(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert inspect(place, "-q", "inspect", "latest", "-o", place / "model.html", "--layers") == 0
    out, err = capsys.readouterr()
    assert (len(out.splitlines()), err) == (1, "")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["inspect", "latest"], "output"),
        (["inspect", "latest", "-o", "x.png"], "ends in .html"),
        (["inspect", "nobody", "-o", "x.html"], "Unknown run"),
        (["inspect", "latest", "--image", "missing.png", "-o", "x.html"], "missing.png"),
    ],
)
def test_a_wrong_request_exits_2(
    place: Path,
    arguments: list[str],
    told: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(place)
    assert inspect(place, *arguments) == 2
    assert told in capsys.readouterr().err
    assert not (place / "x.html").exists()
