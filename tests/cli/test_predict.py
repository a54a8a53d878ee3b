from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.trained import save_run, tiny_bundle
from vitscope.cli.app import main
from vitscope.storage.workspace import Workspace
from vitscope.workflows.predict import predict

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(tmp_path: Path, pictures: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> Command:
    """Runs `vitscope predict …` on a workspace with one run: exit code, standard output, standard error."""
    save_run(Workspace(tmp_path / "workspace"), tiny_bundle(), pictures)

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["--workspace", str(tmp_path / "workspace"), "predict", *map(str, arguments)])
        out, err = capfdbinary.readouterr()
        return ended.value.code or 0, os.fsdecode(out), os.fsdecode(err)  # type: ignore[return-value]

    return run


def test_one_line_an_image(command: Command, pictures: Path) -> None:
    code, out, err = command("latest", pictures / "apple", pictures / "plum" / "003.png")
    expected = predict(tiny_bundle(), [pictures / "apple", pictures / "plum" / "003.png"])
    assert (code, err) == (0, "")
    assert out.splitlines() == [f"{one.path}\t{one.label}\t{one.probability:.3f}" for one in expected]


def test_further_classes_follow_when_asked(command: Command, pictures: Path) -> None:
    file = pictures / "pear" / "000.png"
    _, out, _ = command("latest", file, "--top", "2")
    (one,) = predict(tiny_bundle(), file)
    (a, b, _) = one.top
    assert out == f"{file}\t{a.label}\t{a.probability:.3f}\t{b.label}\t{b.probability:.3f}\n"
    code, _, err = command("latest", file, "--top", "0")
    assert code == 2
    assert "--top" in err


def test_json_is_a_list_of_objects(command: Command, pictures: Path) -> None:
    code, out, _ = command("latest", "--json", pictures / "pear")
    told = json.loads(out)
    assert code == 0
    assert told == [one.to_dict() for one in predict(tiny_bundle(), pictures / "pear")]
    assert list(told[0]) == ["path", "label", "probability", "top", "tta"]
    assert list(told[0]["top"][0]) == ["label", "probability"]


def test_fault_78_a_bad_image_is_told_after_the_others_were_answered(
    command: Command, pictures: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.png"
    bad.touch()
    good = pictures / "apple" / "000.png"
    code, out, err = command("latest", good, bad, good)
    assert code == 1
    assert len(out.splitlines()) == 2
    assert f"{bad}: an empty file (0 bytes)." in err
    assert "Error: 1 of 3 images could not be used" in err
    code, out, _ = command("latest", "--json", good, bad)
    assert code == 1
    assert [one["path"] for one in json.loads(out)] == [str(good)]


def test_nothing_found_is_a_wrong_request(command: Command, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for images, reason in (("empty", "no images in this folder"), ("none.png", "no such file")):
        code, out, err = command("latest", tmp_path / images)
        assert (code, out) == (2, "")
        assert reason in err
    code, _, err = command("fruit", tmp_path / "empty")
    assert code == 2


def test_paths_from_standard_input(command: Command, pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [pictures / "apple" / "001.png", pictures / "plum" / "002.png"]
    stdin = io.TextIOWrapper(io.BytesIO("".join(f"{path}\r\n\n" for path in paths).encode()))
    monkeypatch.setattr(sys, "stdin", stdin)
    code, out, _ = command("latest", "-")
    assert code == 0
    assert [line.split("\t")[0] for line in out.splitlines()] == [str(path) for path in paths]


def test_names_that_people_did_not_choose_for_a_table(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    odd = [folder / name for name in ("图 片.png", "-dash.png", "tab\tand\nline.png", os.fsdecode(b"latin-\xe9.png"))]
    for file in odd:
        Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(file, format="png")
    code, out, _ = command("latest", *odd)
    assert code == 0
    assert [line.split("\t")[0] for line in out.splitlines()] == [
        *(str(odd[i]) for i in (0, 1)),
        str(odd[2]).replace("\t", "\\t").replace("\n", "\\n"),
        str(odd[3]),
    ]
    monkeypatch.chdir(folder)
    code, out, _ = command("latest", "--", "-dash.png")
    assert (code, out.split("\t")[0]) == (0, "-dash.png")


def test_what_a_folder_holds_beside_images_is_told(command: Command, pictures: Path) -> None:
    (pictures / "plum" / "list.txt").touch()
    code, out, err = command("latest", pictures / "plum")
    assert (code, len(out.splitlines())) == (0, 10)
    assert "1 file left out" in err
