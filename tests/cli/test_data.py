"""`vitscope data …`: what is printed where, JSON keys and exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from vitscope.cli.app import main


class Result(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def vitscope(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """Run a command in a workspace of the test's own."""

    def run(*arguments: str | Path) -> Result:
        with pytest.raises(SystemExit) as stopped:
            main(["--workspace", str(tmp_path / "workspace"), *map(str, arguments)])
        return Result(int(stopped.value.code or 0), *capsys.readouterr())

    return run


def test_import_list_show(vitscope: Callable[..., Result], pictures: Path) -> None:
    (pictures / "README.md").write_text("about")
    imported = vitscope("data", "import", pictures, "--name", "fruit")
    assert imported.code == 0 and "Imported 'fruit': 40 images in 3 classes." in imported.out
    assert "1 file left out" in imported.err
    listed = vitscope("data", "list")
    assert listed.out.splitlines()[0].split() == ["name", "images", "classes", "imported", "source"]
    assert listed.out.splitlines()[1].split()[:3] == ["fruit", "40", "3"]
    shown = vitscope("data", "show", "fruit").out
    assert "40 images in 3 classes" in shown
    assert [line.split() for line in shown.splitlines()[-3:]] == [["apple", "16"], ["pear", "14"], ["plum", "10"]]


def test_json_of_list_and_show(vitscope: Callable[..., Result], pictures: Path) -> None:
    assert json.loads(vitscope("data", "list", "--json").out) == []
    vitscope("data", "import", pictures, "--name", "fruit")
    (row,) = json.loads(vitscope("data", "list", "--json").out)
    assert set(row) == {"name", "source", "count", "classes", "fingerprint", "created_at"}
    assert row["classes"] == ["apple", "pear", "plum"] and row["count"] == 40
    described = json.loads(vitscope("data", "show", "fruit", "--json").out)
    assert (
        described["name"] == "fruit"
        and described["splits"] == {"": 40}
        and described["fingerprint"] == row["fingerprint"]
    )
    assert described["classes"][0] == {"name": "apple", "count": 16, "splits": {"": 16}}
    assert set(described) == {
        *("name", "source", "imported_at", "fingerprint", "count", "splits", "classes", "checked", "bad", "notices")
    }


def test_an_empty_list_says_what_to_do(vitscope: Callable[..., Result]) -> None:
    result = vitscope("data", "list")
    assert (
        result.code == 0
        and "No data set is imported yet" in result.out
        and "data import FOLDER --name NAME" in result.out
    )


def test_check_of_a_clean_set_exits_0(vitscope: Callable[..., Result], pictures: Path) -> None:
    result = vitscope("data", "check", pictures)
    assert result.code == 0 and result.out == "pictures: 40 images, 0 bad.\n"


def test_faults_01_02_03_17_check_names_every_bad_file_one_a_line_unwrapped(
    vitscope: Callable[..., Result], pictures: Path
) -> None:
    names = ["zero.jpg", "two words " * 20 + ".jpg", "line\nbreak.jpg", "[red]x.jpg", ":cat:.jpg", "花.jpg"]
    for name in names:
        (pictures / "apple" / name).write_text("" if name == "zero.jpg" else "notes")
    whole = (pictures / "pear/000.png").read_bytes()
    (pictures / "pear/000.png").write_bytes(whole[: len(whole) // 2])
    result = vitscope("data", "check", pictures)
    assert result.code == 1
    lines = result.out.splitlines()
    assert lines[-1] == "pictures: 46 images, 7 bad."
    folder = pictures.resolve()
    bad = dict(line.rsplit(": ", 1) for line in lines if line.startswith(str(folder)))
    assert len(bad) == 7
    assert bad[f"{folder}/apple/zero.jpg"] == "an empty file (0 bytes)"
    for name in ("two words " * 20 + ".jpg", r"line\nbreak.jpg", "[red]x.jpg", ":cat:.jpg", "花.jpg"):
        assert bad[f"{folder}/apple/{name}"] == "not an image (5 bytes)"
    assert "damaged" in next(line for line in lines if line.startswith(f"{folder}/pear/000.png: "))


def test_check_writes_a_table_of_what_may_be_trained_on(vitscope: Callable[..., Result], pictures: Path) -> None:
    (pictures / "apple/text.jpg").write_text("notes")
    (pictures / "apple/copy.png").write_bytes((pictures / "apple/000.png").read_bytes())
    table = pictures.parent / "clean.csv"
    result = vitscope("data", "check", pictures, "--write", table)
    assert result.code == 1  # the folder is still what it was
    assert f"Left out: {pictures.resolve()}/apple/text.jpg: not an image (5 bytes)" in result.out
    assert f"{table}: 40 images, 2 left out. Train on it: vitscope --workspace" in result.out
    clean = vitscope("data", "check", table, "--json")
    assert clean.code == 0
    report = json.loads(clean.out)
    assert (report["count"], report["bad"], report["copies"], report["written"]) == (40, [], [], None)
    again = vitscope("data", "check", pictures, "--write", table)
    assert again.code == 2 and "there is such a file already" in again.err


def test_check_json(vitscope: Callable[..., Result], pictures: Path) -> None:
    (pictures / "apple/text.jpg").write_text("notes")
    (pictures / "pear/copy.png").write_bytes((pictures / "apple/000.png").read_bytes())
    result = vitscope("data", "check", pictures, "--json")
    report = json.loads(result.out)
    assert result.code == 1 and report["ok"] is False and report["count"] == 42
    assert report["bad"] == [{"path": str(pictures.resolve() / "apple/text.jpg"), "reason": "not an image (5 bytes)"}]
    (group,) = report["copies"]
    assert (group["leak"], group["contradiction"]) == (False, True)
    assert [(Path(f["path"]).name, f["class"]) for f in group["files"]] == [("000.png", "apple"), ("copy.png", "pear")]
    assert set(report) == {
        *("name", "ok", "count", "splits", "bad", "copies", "animated", "odd_sizes", "refusal", "notices", "written")
    }


def test_check_tells_leaks_frames_sizes_and_refusals(
    vitscope: Callable[..., Result], make_pictures: Callable[..., Path]
) -> None:
    from PIL import Image

    for split in ("train", "test"):
        folder = make_pictures({"a": 12}, split=split, size=20 if split == "test" else 24)
    (folder / "test/a/leak.png").write_bytes((folder / "train/a/000.png").read_bytes())
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "green")]
    frames[0].save(folder / "train/a/moving.gif", save_all=True, append_images=frames[1:])
    Image.new("RGB", (1, 300)).save(folder / "train/a/line.png")
    result = vitscope("data", "check", folder)
    assert result.code == 1
    assert "The same picture in more than one split:" in result.out and "leak.png (test a)" in result.out
    assert "1 picture of several frames, of which the first is used" in result.out
    assert "1 picture very small or very long" in result.out and "line.png 1 × 300" in result.out
    assert "Training would refuse this: 'pictures' holds one class only" in result.out


def test_wrong_requests_exit_2(vitscope: Callable[..., Result], pictures: Path) -> None:
    for arguments in (
        ("show", "nothing"),
        ("check", "hf:x y"),
        ("check", "torchvision:x"),
        ("import", pictures, "--name", "../up"),
        ("import", pictures),
    ):
        result = vitscope("data", *arguments)
        assert result.code == 2 and result.out == "" and result.err


def test_a_source_that_looks_like_an_option_is_reachable(
    vitscope: Callable[..., Result], make_pictures: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(make_pictures({"a": 3, "b": 3}, name="-rf").parent)
    assert "6 images in 2 classes" in vitscope("data", "show", "--", "-rf").out


def test_columns_stay_aligned_with_wide_characters(
    vitscope: Callable[..., Result], make_pictures: Callable[..., Path]
) -> None:
    lines = vitscope("data", "show", make_pictures({"花": 3, "ab": 12})).out.splitlines()[-2:]
    assert lines == ["ab         12", "花          3"]


def test_decoded_pictures_are_listed_and_cleared(
    vitscope: Callable[..., Result], pictures: Path, tiny: dict, tmp_path: Path
) -> None:
    assert vitscope("data", "cache").out == "No decoded pictures, unpacked archives or fetched sets are kept.\n"
    import vitscope as package

    package.train(pictures, workspace=tmp_path / "workspace", **(tiny | {"data": {"cache": "on"}}))
    [found] = json.loads(vitscope("data", "cache", "--json").out)
    assert (found["source"], found["side"], found["slots"]) == ("pictures", 48, 40)
    assert " 48 " in vitscope("data", "cache").out
    assert vitscope("data", "cache", "--clear").out.startswith("Removed 1 cache, ")
    assert json.loads(vitscope("data", "cache", "--json").out) == []


def test_unpacked_archives_are_listed_and_cleared(vitscope: Callable[..., Result], pictures: Path) -> None:
    import shutil

    packed = shutil.make_archive(str(pictures.parent / "fruit"), "gztar", pictures)
    assert "fruit: 40 images, 0 bad." in vitscope("data", "check", packed).out
    [found] = json.loads(vitscope("data", "cache", "--json").out)
    assert set(found) == {"kind", "folder", "source", "side", "slots", "bytes", "used_at"}
    assert (found["kind"], found["source"], found["side"], found["slots"]) == ("unpacked", packed, None, 40)
    assert found["bytes"] == sum(file.stat().st_size for file in pictures.rglob("*.png"))
    assert "unpacked" in vitscope("data", "cache").out
    assert vitscope("data", "cache", "--clear").out.startswith("Removed 1 cache, ")
    assert not Path(found["folder"]).exists()


def test_wrong_tables_and_archives_exit_2(vitscope: Callable[..., Result], tmp_path: Path) -> None:
    for name, content in (("t.csv", "id,breed\n1,x\n"), ("x.zip", "no archive"), ("y.tar.gz", "")):
        (tmp_path / name).write_text(content)
        result = vitscope("data", "show", tmp_path / name)
        assert result.code == 2 and result.out == "" and name in result.err and "Traceback" not in result.err
