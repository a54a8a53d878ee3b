"""What the README tells people to type works, and what is documented is complete."""

from __future__ import annotations

import ast
import contextlib
import io
import json
import os
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import draw_folder
from vitscope.cli.app import COMMANDS, load, main

ROOT = Path(__file__).parent.parent
LANGUAGES = ("README.md", "README.zh-CN.md")


def blocks(file: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", file.read_text(encoding="utf-8"), re.M | re.S)


def commands(file: Path) -> list[list[str]]:
    lines = [line for block in blocks(file, "console") for line in block.splitlines()]
    assert all(line.startswith("$ ") for line in lines)
    return [shlex.split(line[2:]) for line in lines]


def test_both_languages_tell_the_same_commands():
    english, chinese = (commands(ROOT / name) for name in LANGUAGES)
    assert english == chinese
    assert len(english) > 10


@pytest.fixture
def somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VITSCOPE_WORKSPACE", raising=False)
    return tmp_path


def test_the_readmes_commands_work_in_their_order(somewhere: Path):
    draw_folder(somewhere / "photos", {"cat": 9, "dog": 9}, size=40)
    for i, file in enumerate((somewhere / "photos" / "cat").glob("*.png")):
        from PIL import Image

        Image.open(file).save(file.with_name(f"{i}.jpg"))
        file.unlink()
    for words in commands(ROOT / "README.md"):
        if words[0] != "vitscope":
            continue
        with pytest.raises(SystemExit) as exit_:
            main(words[1:])
        assert (exit_.value.code or 0) == 0, words
    assert_keys_documented(somewhere)
    assert (somewhere / "curves.png").stat().st_size > 10_000
    assert {p.name for p in (somewhere / "exported").iterdir()} >= {
        "model.onnx",
        "model.onnx.parity.json",
        "config.json",
    }


def assert_keys_documented(place: Path) -> None:
    """Every key that a `--json` really holds is in its row of docs/cli.md."""
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8").partition("## `--json`")[2]
    for words in (
        ["runs", "list"],
        ["runs", "show", "first"],
        ["runs", "compare", *run_ids()],
        ["data", "list"],
        ["data", "show", "photos"],
        ["data", "check", "photos"],
        ["evaluate", "first"],
        ["predict", "first", "photos/cat"],
        ["models", "available", "--family", "eva"],
        ["models", "families"],
        ["models", "show", "test_vit"],
        ["doctor"],
    ):
        out = io.StringIO()
        with pytest.raises(SystemExit), contextlib.redirect_stdout(out):
            main([*words, "--json"])
        name = " ".join(words[:2]) if words[0] in ("runs", "data", "models") else words[0]
        (row,) = re.findall(rf"^\| `{name}` \| (.*) \|$", page, re.M)
        documented = set(re.findall(r"\w+", " ".join(re.findall(r"`([^`]*)`", row))))
        if name in ("runs show", "runs compare"):
            documented |= set(
                re.findall(r"\w+", " ".join(re.findall(r"^\| `runs list` \| a list of `([^`]*)`", page, re.M)))
            )
        missing = {key for key in keys(json.loads(out.getvalue())) if key.isidentifier()} - documented
        assert not missing, (name, missing)


def run_ids() -> list[str]:
    out = io.StringIO()
    with pytest.raises(SystemExit), contextlib.redirect_stdout(out):
        main(["runs", "list", "--json"])
    return [run["id"] for run in json.loads(out.getvalue())]


def keys(value: Any) -> set[str]:
    """All keys of nested JSON; those of `splits` and the like are names of the data's own."""
    if isinstance(value, list):
        return set().union(*(keys(item) for item in value))
    if not isinstance(value, dict):
        return set()
    return set(value) | set().union(*(keys(item) for name, item in value.items() if name != "splits"))


def test_the_readmes_python_works(somewhere: Path):
    names: dict[str, Any] = {}
    for code in blocks(ROOT / "README.md", "python"):
        exec(compile(code, "README.md", "exec"), names)
    assert names["export"].passed
    assert list(names["run"].metrics().columns) == ["step", "epoch", "split", "name", "value", "time"]
    names["run"].log("my_number", 0.5)
    assert names["run"].metrics().query("name == 'my_number'")["value"].tolist() == [0.5]
    assert names["vitscope"].evaluate(names["own"]).classes == ("dark", "light")


def test_links_between_documents_lead_somewhere():
    for file in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", file.read_text(encoding="utf-8")):
            assert (file.parent / target).exists(), f"{file.name}: {target}"


FAULTS_BUILT = {*range(1, 61)} - {48} | {*range(66, 78)} - {75}  # of those that docs/reliability.md is about


def test_every_fault_is_in_the_table_with_tests_that_exist():
    page = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    rows = {int(row): cell for row, cell in re.findall(r"^\| (\d+) \|[^|]*\|(.*)\|$", page, re.M)}
    assert rows.keys() >= FAULTS_BUILT
    functions: dict[str, set[str]] = {}
    tested: set[int] = set()
    for file in sorted((ROOT / "tests").rglob("test_*.py")):
        nodes = ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        names = {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
        functions[file.relative_to(ROOT).as_posix()] = names
        for numbers in re.findall(r"test_faults?((?:_\d\d)+)_", " ".join(names)):
            tested |= {int(number) for number in numbers.strip("_").split("_")}
    assert tested <= rows.keys()
    for row, cell in rows.items():
        named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", cell)
        assert named, row
        assert cell.count("`") == 2 * len(named), row  # nothing that this test would pass over
        for place, name in named:
            assert name in functions.get(place, set()), f"{row}: {place}::{name}"


def test_every_command_is_in_the_reference():
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert all(f"`{name}" in page for name in COMMANDS)
    groups = {name: getattr(load(name), "commands", {}) for name in COMMANDS}
    assert all(f"`{name} {sub}" in page for name, subs in groups.items() for sub in subs)


def test_make_help_names_every_target():
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = re.search(r"^\.PHONY: (.*)$", text, re.M)
    assert phony is not None
    documented = set(re.findall(r"^([a-z-]+):.*## ", text, re.M))
    assert set(phony.group(1).split()) == documented


def test_no_address_of_a_registry_is_committed():
    """Pins are names and versions, so that any index can serve them."""
    for name in ("constraints.txt", "pyproject.toml", "Makefile", "scripts/setup.sh", ".ci/run"):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert not re.findall(r"https?://(?!…)\S+", text), name


@pytest.mark.skipif(os.name == "nt", reason="a shell script")
def test_setup_says_what_is_missing(tmp_path: Path):
    import subprocess

    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "setup.sh").write_text((ROOT / "scripts" / "setup.sh").read_text())
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in ("bash", "dirname", "cat"):
        (tools / tool).symlink_to(f"/bin/{tool}" if Path(f"/bin/{tool}").exists() else f"/usr/bin/{tool}")
    done = subprocess.run(
        ["/bin/bash", "scripts/setup.sh"], cwd=tmp_path, env={"PATH": str(tools)}, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "Python 3.11 or newer is needed" in done.stderr
    assert "install" in done.stderr
