from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.trained import save_run, tiny_bundle
from vitscope.cli.app import main
from vitscope.data.manifest import Manifest
from vitscope.storage.workspace import Workspace
from vitscope.workflows.evaluate import evaluate
from vitscope.workflows.run import Run

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, pictures: Path) -> Run:
    return save_run(Workspace(tmp_path / "workspace"), tiny_bundle(), pictures)


@pytest.fixture
def command(run: Run, capfd: pytest.CaptureFixture[str]) -> Command:
    def execute(*arguments: str | Path) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["--workspace", str(run.workspace.root), "evaluate", *map(str, arguments)])
        return ended.value.code or 0, *capfd.readouterr()  # type: ignore[return-value]

    return execute


def test_the_report_as_text(command: Command, run: Run) -> None:
    code, out, err = command("latest", "--split", "train")
    found = evaluate(run, split="train")
    low, high = found.top1_interval
    assert (code, err) == (0, "")
    assert out.startswith(f"train: {found.count} images\ntop-1 accuracy  {found.top1:.2%}")
    assert f"95 % interval {low:.2%} to {high:.2%}" in out
    rows = [line.split() for line in out.splitlines()]
    for one in found.per_class:
        ratios = [f"{value:.3f}" for value in (one.precision, one.recall, one.f1)]
        assert [one.label, str(one.count), str(one.correct), *ratios] in rows
    for label, counts in zip(found.classes, found.confusion, strict=True):
        assert [label, *(str(n) if n else "·" for n in counts)] in rows


def test_json_holds_the_whole_report_and_nothing_else(command: Command, run: Run) -> None:
    code, out, _ = command("latest", "--json")
    assert code == 0
    assert json.loads(out) == evaluate(run).to_dict()


def test_the_figure_and_the_runs_own_chart(command: Command, run: Run, tmp_path: Path) -> None:
    code, _, _ = command("latest", "-o", tmp_path / "confusion.svg")
    assert code == 0
    assert (
        "true class" in (tmp_path / "confusion.svg").read_text() or (tmp_path / "confusion.svg").stat().st_size > 5000
    )
    assert (run.folder / "charts" / "confusion-test.png").is_file()


def test_fault_02_images_left_out_are_told(command: Command, run: Run) -> None:
    file = Path(Manifest.load(run.folder / "manifest.parquet").of_split("test").sample(0).path)
    file.write_bytes(b"")
    code, out, err = command("latest")
    assert code == 0
    assert out.startswith("test: 7 images, 1 left out")
    assert f"{file}: an empty file (0 bytes). Left out." in err


def test_what_is_wrong_with_the_request_ends_with_2(command: Command, tmp_path: Path) -> None:
    for arguments, reason in (
        (("fruit",), "Did you mean 'fruits'"),
        (("latest", "--split", "tests"), "Did you mean 'test'"),
        (("latest", "--data", tmp_path / "none"), "none"),
        (("latest", "-o", "x.jpg"), "'.jpg' is not a format"),
    ):
        code, out, err = command(*arguments)
        assert (code, out) == (2, "")
        assert reason in err
        assert "Traceback" not in err


def test_many_classes_and_odd_names_stay_in_line(
    tmp_path: Path, make_pictures: Callable[..., Path], command: Command
) -> None:
    classes = tuple(sorted([*(f"class {i:02d}" for i in range(11)), "[red]new\nline", "非常长的类名" * 12]))
    folder = tmp_path / "model"
    folder.mkdir()
    tiny_bundle(classes=classes).save(folder)
    code, out, _ = command(folder, "--data", make_pictures(dict.fromkeys(classes, 2), name="odd"))
    assert code == 0
    assert any(line.startswith("[red]new\\nline ") for line in out.splitlines())
    assert any(line.startswith("非常长的类名" * 12) for line in out.splitlines())
    assert "top-5 accuracy" in out
    assert "taken for" in out
