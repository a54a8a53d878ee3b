"""What is missing is named, with what it means and what to do."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.metadata
import platform
import sqlite3
from collections import namedtuple
from pathlib import Path

import pytest

from vitscope.data.manifest import Manifest, Record
from vitscope.machine import Gpu, Machine, probe
from vitscope.storage import datasets
from vitscope.storage.runs import create_run
from vitscope.storage.workspace import Workspace
from vitscope.visualization import fonts
from vitscope.workflows import doctor
from vitscope.workflows.doctor import Check, examine, is_sound

HERE = probe()
Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setattr(doctor, "probe", lambda: HERE)  # compilers are tried once, not in every test
    return Workspace(tmp_path / "workspace")


def named(workspace: Workspace, name: str) -> Check:
    (check,) = (check for check in examine(workspace) if check.name == name)
    return check


def on(machine: Machine, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, name: str) -> Check:
    monkeypatch.setattr(doctor, "probe", lambda: machine)
    return named(workspace, name)


def test_a_sound_machine_is_called_sound_and_nothing_is_created(workspace: Workspace) -> None:
    checks = examine(workspace)
    assert is_sound(checks)
    assert not workspace.root.exists()
    found = {check.name: check for check in checks}
    assert found["python"].found == platform.python_version()
    for package in ("torch", "numpy", "scikit-learn"):
        assert found[package] == ("software", package, "ok", importlib.metadata.version(package), "", "")
    assert {"cpu", "gpu", "compiler", "folder", "database", "disk", "chinese font", "onnx", "tensorboard"} <= set(found)
    assert len({(check.group, check.name) for check in checks}) == len(checks)


def test_what_is_amiss_says_what_it_means(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = dataclasses.replace(HERE, compiler=None, compiler_problem="none found", memory_bytes=10**9, shm_bytes=1)
    monkeypatch.setattr(doctor, "probe", lambda: bad)
    for check in examine(workspace):
        assert bool(check.meaning) == (check.status != "ok")


def test_a_package_that_is_missing_or_too_old_is_broken_with_its_command(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    declared = ["no-such-package-here>=3", "numpy>=999", "rich>=13", "nothing; extra == 'onnx'"]
    monkeypatch.setattr(importlib.metadata, "requires", lambda _: declared)
    checks = examine(workspace)
    assert not is_sound(checks)
    found = {check.name: check for check in checks}
    assert (found["no-such-package-here"].status, found["numpy"].status, found["rich"].status) == (
        "broken",
        "broken",
        "ok",
    )
    assert found["numpy"].fix == "pip install 'numpy>=999'"
    assert "nothing" not in found


@pytest.mark.parametrize("package", ["torch", "torchvision"])
def test_packages_that_do_not_fit_each_other_are_found_by_importing(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    real = importlib.import_module

    def fake(name: str, *arguments: object) -> object:
        if name == package:
            raise RuntimeError("operator torchvision::nms does not exist\nmore")
        return real(name)

    monkeypatch.setattr(importlib, "import_module", fake)
    checks = examine(workspace)
    assert not is_sound(checks)
    (broken,) = (check for check in checks if check.status == "broken")
    assert broken.name == package
    assert "nms does not exist" in broken.found
    assert "torch torchvision" in broken.fix


def test_without_torch_the_rest_is_looked_at_all_the_same(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent() -> Machine:
        raise ModuleNotFoundError("No module named 'torch'")

    monkeypatch.setattr(doctor, "probe", absent)
    checks = examine(workspace)
    machine = [check for check in checks if check.group == "machine"]
    assert [(check.status, check.found) for check in machine] == [("warning", "not looked at")]
    assert any(check.group == "workspace" for check in checks)


def test_no_compiler_works_uncompiled_and_says_what_brings_one(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = {"compiler_problem": "no C++ compiler was found on PATH", "compiler_fix": "apt-get install g++"}
    without = dataclasses.replace(HERE, compiler=None, has_bf16=True, **problem)
    check = on(without, workspace, monkeypatch, "compiler")
    assert check.status == "warning"
    assert check.found == "no C++ compiler was found on PATH"
    assert "uncompiled" in check.meaning
    assert check.fix == "apt-get install g++"


def test_devices(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = Gpu("NVIDIA A100", 40 * 10**9, has_bf16=True)
    assert (
        on(dataclasses.replace(HERE, gpus=(gpu,)), workspace, monkeypatch, "gpu").found == "NVIDIA A100 (40.0 GB, bf16)"
    )
    slow = on(dataclasses.replace(HERE, has_bf16=False), workspace, monkeypatch, "cpu")
    assert "fp32" in slow.found
    monkeypatch.setattr(doctor.shutil, "which", lambda name: "/usr/bin/nvidia-smi" if name == "nvidia-smi" else None)
    unused = on(dataclasses.replace(HERE, gpus=(), has_mps=False), workspace, monkeypatch, "gpu")
    assert unused.status == "warning"


def test_a_small_shared_memory_is_told(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    check = on(dataclasses.replace(HERE, shm_bytes=64 * 2**20), workspace, monkeypatch, "shared memory")
    assert check.status == "warning"
    assert "--shm-size" in check.fix
    monkeypatch.setattr(doctor, "probe", lambda: dataclasses.replace(HERE, shm_bytes=None))
    assert "shared memory" not in {check.name for check in examine(workspace)}  # macOS has none


def test_a_sound_database_is_told_with_its_schema(workspace: Workspace) -> None:
    create_run(workspace.database, name="r", source="s", model="m")
    assert named(workspace, "database").status == "ok"
    with sqlite3.connect(workspace.root / "vitscope.db") as connection:
        ((version,),) = connection.execute("select version_num from vs_alembic_version").fetchall()
    assert version in named(workspace, "database").found


def test_a_database_of_a_newer_version_is_broken_and_left_alone(workspace: Workspace) -> None:
    workspace.database.close()
    file = workspace.root / "vitscope.db"
    with sqlite3.connect(file) as connection:
        connection.execute("update vs_alembic_version set version_num = '9999'")
    check = named(Workspace(workspace.root), "database")
    assert check.status == "broken"
    assert "newer" in check.meaning
    with sqlite3.connect(file) as connection:
        assert connection.execute("select version_num from vs_alembic_version").fetchall() == [("9999",)]


@pytest.mark.parametrize("damage", ["page", "all"])
def test_a_damaged_database_is_broken(workspace: Workspace, damage: str) -> None:
    for i in range(300):
        create_run(workspace.database, name=f"run {i} {'x' * 100}", source="s", model="m")
    workspace.database.close()
    file = workspace.root / "vitscope.db"
    with sqlite3.connect(file) as connection:
        connection.execute("pragma wal_checkpoint(truncate)")
        (root,) = connection.execute("select rootpage from sqlite_master where name = 'vs_runs'").fetchone()
    content = bytearray(file.read_bytes())
    if damage == "page":
        content[4096 * (root - 1) : 4096 * root] = b"\xff" * 4096
    else:
        content[:] = b"no database at all " * 300
    file.write_bytes(content)
    check = named(Workspace(workspace.root), "database")
    assert check.status == "broken"
    assert check.meaning


def test_a_workspace_that_cannot_be_used_is_broken(tmp_path: Path, workspace: Workspace) -> None:
    (tmp_path / "file").write_text("")
    check = named(Workspace(tmp_path / "file" / "workspace"), "folder")
    assert check.status == "broken"
    assert "--workspace" in check.fix


def test_the_disk_must_hold_three_times_the_largest_data_set(
    tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, size in (("small", 10**6), ("large", 2 * 10**9)):
        records = [Record(str(tmp_path / f"{i}.png"), f"{i}.png", "a", "", size, 0) for i in range(2)]
        manifest = Manifest.from_records(records, ["a"], name)
        file = workspace.datasets_folder / f"{name}.parquet"
        file.parent.mkdir(parents=True, exist_ok=True)
        manifest.save(file)
        row = datasets.DatasetRow(
            name, "s", manifest.fingerprint, 2, ("a",), 0.0, str(file.relative_to(workspace.root))
        )
        datasets.put(workspace.database, row)

    def free(count: float) -> Check:
        monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: Usage(10**12, 0, int(count)))
        return named(workspace, "disk")

    assert free(12.1e9).status == "ok"
    told = free(11.9e9)
    assert told.status == "warning"
    assert "12.0 GB" in told.meaning
    assert free(0.01e9).status == "broken"


def test_a_missing_chinese_font_names_the_package(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fonts, "cover", lambda _: fonts.Cover((fonts.BASE,), "中"))
    check = named(workspace, "chinese font")
    assert (check.status, check.fix) == ("warning", "apt-get install fonts-noto-cjk")
    monkeypatch.setattr(fonts, "cover", lambda _: fonts.Cover((fonts.BASE, "Noto Sans CJK SC"), ""))
    assert named(workspace, "chinese font").found == "Noto Sans CJK SC"


def test_a_missing_extra_names_its_command(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "installed_version", lambda name: None if name == "onnxruntime" else "9999")
    check = named(workspace, "onnx")
    assert check.status == "warning"
    assert check.fix == "pip install 'vitscope[onnx]'"
    assert named(workspace, "hub").found == "datasets 9999"
    monkeypatch.setattr(doctor, "installed_version", lambda name: None if name == "datasets" else "9999")
    assert named(workspace, "hub").fix == "pip install 'vitscope[hub]'"
