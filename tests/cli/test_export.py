from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.trained import save_run, tiny_bundle
from vitscope.cli.app import main
from vitscope.exporting.formats import safetensors
from vitscope.storage.workspace import Workspace
from vitscope.workflows.run import Run

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, pictures: Path) -> Run:
    return save_run(Workspace(tmp_path / "workspace"), tiny_bundle(depth=1), pictures)


@pytest.fixture
def command(run: Run, capfd: pytest.CaptureFixture[str]) -> Command:
    def execute(*arguments: str | Path) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["--workspace", str(run.workspace.root), *map(str, arguments)])
        return ended.value.code or 0, *capfd.readouterr()  # type: ignore[return-value]

    return execute


def test_each_export_is_told_with_its_proof(command: Command, run: Run) -> None:
    code, out, err = command("export", "latest", "--to", "safetensors")
    assert (code, err) == (0, "")
    assert str(run.folder / "exports" / "model.safetensors") in out
    assert "8 images and 14 probes" in out
    assert "model.safetensors.parity.json" in out


def test_quiet_leaves_the_results(command: Command, run: Run, tmp_path: Path) -> None:
    _, out, _ = command("-q", "export", "latest", "--to", "safetensors", "-o", tmp_path / "out")
    assert out.startswith(str(tmp_path / "out" / "model.safetensors"))


def test_fault_62_a_failed_proof_ends_with_1(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    write = safetensors.write
    monkeypatch.setattr(safetensors, "write", lambda bundle, folder: write(tiny_bundle(depth=1, seed=7), folder))
    code, _, err = command("export", "latest", "--to", "safetensors")
    assert code == 1
    assert "Error: The safetensors export is not the model: probabilities" in err
    assert "Traceback" not in err


def test_a_wrong_format_ends_with_2(command: Command, run: Run) -> None:
    code, out, err = command("export", "latest", "--to", "onnx,safetensor")
    assert (code, out) == (2, "")
    assert "Did you mean 'safetensors'" in err
    assert not (run.folder / "exports").exists()
