from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from vitscope.cli.app import COMMANDS, globals_first, load, main


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as exit_:
        main(list(arguments))
    return int(exit_.value.code or 0)


def test_help_lists_every_command_and_imports_none(capfd: Any):
    assert run("--help") == 0
    out = capfd.readouterr().out
    assert all(f"  {name} " in out for name in COMMANDS)
    code = "import sys\nfrom vitscope.cli.app import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    code += "sys.exit(bool({'torch', 'pydantic', 'sqlalchemy', 'rich', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60).returncode == 0


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str, capfd: Any):
    assert load(name).help == COMMANDS[name].help
    assert run(name, "--help") == 0
    assert "Usage: vitscope " + name in capfd.readouterr().out


def test_an_unknown_command_is_told_with_the_closest(capfd: Any):
    assert run("trian") == 2
    assert "Unknown command 'trian'. Did you mean 'train'?" in capfd.readouterr().err
    assert run("train", "--epohcs", "3") == 2
    assert "--epochs" in capfd.readouterr().err


def test_errors_are_one_paragraph_without_power_over_the_terminal(capfd: Any, tmp_path: Path):
    assert run("--workspace", str(tmp_path), "evaluate", "no\x1b[31mne") == 2
    err = capfd.readouterr().err
    assert err.startswith("Error: ")
    assert "\x1b" not in err
    assert "Traceback" not in err


def test_dry_run_says_what_it_would_cost_and_makes_no_run(pictures: Path, tmp_path: Path, capfd: Any):
    sizes = "model.kwargs={patch_size: 8, embed_dim: 32, depth: 2, num_heads: 2}"
    place = tmp_path / "ws"
    arguments = ("--image-size", "32", "--epochs", "3", "--batch-size", "8", "--set", sizes, "--dry-run")
    assert run("--workspace", str(place), "train", str(pictures), *arguments) == 0
    out = capfd.readouterr().out
    for word in ("epochs: 3", "parameters", "GFLOP", "9 steps of 8 images", "Memory", "Disk", "Time", "Machine"):
        assert word in out, word
    assert not (place / "runs").exists()


def test_config_show_validate_and_schema(tmp_path: Path, capfd: Any):
    file = tmp_path / "run.yaml"
    file.write_text("train: {epochs: 4}\noptim: {name: sgd}\n")
    assert run("config", "validate", str(file)) == 0
    assert run("config", "show", str(file), "--lr", "0.5", "--set", "seed=9") == 0
    out = capfd.readouterr().out
    assert all(text in out for text in ("epochs: 4", "name: sgd", "lr: 0.5", "seed: 9", "recipe: scratch"))
    assert run("config", "schema") == 0
    assert '"RunConfig"' in capfd.readouterr().out
    file.write_text("optim: {name: sdg}\n")
    assert run("config", "validate", str(file)) == 2
    assert "Did you mean 'sgd'" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (["runs", "list", "--workspace", "w"], ["--workspace", "w", "runs", "list"]),
        (["ui", "--workspace=w", "--no-browser"], ["--workspace=w", "ui", "--no-browser"]),
        (
            ["-q", "train", "x", "--database", "d", "--epochs", "3"],
            ["--database", "d", "-q", "train", "x", "--epochs", "3"],
        ),
        (["predict", "latest", "--", "--workspace", "w"], ["predict", "latest", "--", "--workspace", "w"]),
        (["runs", "list", "--workspace"], ["runs", "list", "--workspace"]),  # typer says what is missing
    ],
)
def test_the_workspace_may_be_named_after_the_command(typed: list[str], meant: list[str]) -> None:
    assert globals_first(typed) == meant
