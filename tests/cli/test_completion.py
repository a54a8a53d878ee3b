"""Completion as shells ask for it: the protocol, in a process of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from vitscope.cli import completion
from vitscope.cli.app import COMMANDS
from vitscope.data.sources import SOURCES
from vitscope.storage import datasets, runs
from vitscope.storage.workspace import Workspace
from vitscope.training.recipes import RECIPES


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with runs `first` (twice), `second` and one whose name no shell would take; a data set; a program."""
    root = tmp_path_factory.mktemp("completion")
    workspace = Workspace(root / "ws")
    for name in ("first", "second", "first", "$(touch oops) [/red]"):
        runs.create_run(workspace.database, name=name, source="digits", model="vit")
    datasets.put(workspace.database, datasets.DatasetRow("photos", "/photos", "f", 3, ("a",), 1.0, "m.parquet"))
    (root / "bin").mkdir()
    program = root / "bin" / "vitscope"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m vitscope "$@"\n')
    program.chmod(0o755)
    return root


def ids(place: Path, name: str) -> list[str]:
    return [row.id for row in runs.list_runs(Workspace(place / "ws").database) if row.name == name]


def ask(place: Path, shell: str, *words: str, workspace: str = "ws") -> list[str]:
    """What is offered in place of the last of `words`: the lines that the shell would be given."""
    environment = {**os.environ, "VITSCOPE_WORKSPACE": str(place / workspace)}
    environment["_VITSCOPE_COMPLETE"] = f"complete_{shell}"
    if shell == "bash":
        environment |= {"COMP_WORDS": "\n".join(["vitscope", *words]), "COMP_CWORD": str(len(words))}
    else:
        environment |= {"_TYPER_COMPLETE_ARGS": " ".join(["vitscope", *words])}
        environment |= {"_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    code = "import sys; from vitscope.cli.app import main\ntry: main([])\n"
    code += "finally: print(*{'torch', 'pandas', 'numpy', 'pyarrow'} & {*sys.modules}, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=place)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "\n"  # nothing is said, and nothing heavy imported
    return [line for line in done.stdout.splitlines() if line]


def test_commands_and_options(place: Path) -> None:
    assert ask(place, "bash", "") == list(COMMANDS)
    assert ask(place, "bash", "ru") == ["runs"]
    assert {"compare", "export", "import"} <= {*ask(place, "bash", "runs", "")}
    assert ask(place, "bash", "train", "photos", "--epo") == ["--epochs"]
    ask(place, "bash", "nonsense", "x", "")  # says nothing


def test_runs(place: Path) -> None:
    first = ids(place, "first")
    (odd,) = ids(place, "$(touch oops) [/red]")
    assert ask(place, "bash", "runs", "show", "") == ["latest", "second", odd, *first]
    for words in (["resume"], ["evaluate"], ["plot", "latest"], ["runs", "compare", "latest"], ["export"]):
        assert "second" in ask(place, "bash", *words, "")
    assert ask(place, "bash", "runs", "delete", first[0][:7]) == [first[0]]
    assert ask(place, "bash", "runs", "restore", "") == []
    assert ask(place, "bash", "train", "digits", "--init", "sec") == ["second"]


def test_the_workspace_that_was_typed_is_asked_and_none_is_made(place: Path) -> None:
    typed = ["--workspace", str(place / "ws")]
    assert ask(place, "bash", *typed, "runs", "show", "sec", workspace="none") == ["second"]
    assert ask(place, "bash", "runs", "show", *typed, "sec", workspace="none") == ["second"]
    assert ask(place, "bash", "runs", "show", "", workspace="none") == []
    assert not (place / "none").exists()
    (place / "broken").mkdir(exist_ok=True)
    (place / "broken" / "vitscope.db").write_text("not a database")
    assert ask(place, "bash", "runs", "show", "", workspace="broken") == []


def test_data_sets_recipes_and_choices(place: Path) -> None:
    assert ask(place, "bash", "train", "") == ["digits", "shapes", "photos"]
    assert ask(place, "bash", "data", "check", "ph") == ["photos"]
    assert ask(place, "bash", "evaluate", "latest", "--data", "s") == ["shapes"]
    assert ask(place, "bash", "train", "digits", "--val", "p") == ["photos"]
    assert ask(place, "bash", "train", "digits", "--recipe", "") == list(RECIPES)
    assert ask(place, "bash", "train", "digits", "--precision", "") == ["auto", "fp32", "bf16"]
    assert set(completion.BUILTIN) == set(SOURCES)


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_show_what_it_is_about(place: Path, shell: str) -> None:
    offered = "\n".join(ask(place, shell, "runs", "show", ""))
    for word in ("latest", "second", "the newest run", "created", *ids(place, "first")):
        assert word in offered
    assert "oops" not in offered


def test_bash_completes(place: Path) -> None:
    script = 'eval "$(vitscope --show-completion)"; COMP_WORDS=(vitscope runs show sec); COMP_CWORD=3\n'
    script += '_vitscope_completion vitscope; printf "%s\\n" "${COMPREPLY[@]}"; complete -p vitscope'
    assert in_shell(place, "bash", script)[0] == "second"


def test_fish_completes(place: Path) -> None:
    script = "vitscope --show-completion | source; complete -C 'vitscope runs show sec'"
    assert in_shell(place, "fish", script)[0].split() == ["second", "created"]


def test_zsh_takes_the_script(place: Path) -> None:
    script = 'autoload -Uz compinit; compinit -D; eval "$(vitscope --show-completion)"; print $_comps[vitscope]'
    assert in_shell(place, "zsh", script) == ["_vitscope_completion"]


def in_shell(place: Path, shell: str, script: str) -> list[str]:
    """The lines that a script prints in a shell, to which the program and its workspace are known."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    file = place / f"script.{shell}"
    file.write_text(script)
    path = f"{place / 'bin'}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "VITSCOPE_WORKSPACE": str(place / "ws"), "PATH": path}
    done = subprocess.run([shell, file], capture_output=True, text=True, env=environment, cwd=place)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()
