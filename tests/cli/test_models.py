from __future__ import annotations

import json

import pytest

from vitscope.cli.app import main


def models(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["models", *arguments])
    return int(ended.value.code or 0)


def test_families_are_listed_with_what_is_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert models("families") == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert lines["swin"].split()[1] == "9"
    assert "windows that shift" in lines["swin"]
    assert models("families", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert {row["name"] for row in told} == lines.keys() - {"family"}


def test_names_of_a_family(capsys: pytest.CaptureFixture[str]) -> None:
    assert models("available", "--family", "pit") == 0
    names = capsys.readouterr().out.split()
    assert len(names) == 8
    assert all(name.startswith("pit_") for name in names)
    assert models("available", "--family", "swim") == 2
    assert "Did you mean 'swin'" in capsys.readouterr().err


def test_what_a_model_can_do_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert models("show", "shvit_s1") == 0
    out = capsys.readouterr().out
    assert "--drop-path is refused" in out
    assert "no batch of 1" in out
    assert models("show", "test_vit", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["family"], told["attention"], told["image_size"], told["reads"]) == (
        "vit", "global", 160, "class token",
    )  # fmt: skip
    assert 224 in told["image_sizes"]
    assert 56 not in told["image_sizes"]  # patches of 16
    assert models("show", "resnet18") == 2
    assert "not of a family supported here" in capsys.readouterr().err
