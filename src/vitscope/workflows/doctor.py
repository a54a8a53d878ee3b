"""What is here, what is missing, what that means and the command that brings it."""

from __future__ import annotations

import importlib
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from importlib import metadata
from typing import TYPE_CHECKING, Literal, NamedTuple

from vitscope._version import __version__
from vitscope.errors import ViTScopeError
from vitscope.machine import Machine, installed_version, probe
from vitscope.storage.workspace import DATA_COPIES
from vitscope.text import size

if TYPE_CHECKING:
    from vitscope.storage.database import Database
    from vitscope.storage.workspace import Workspace

OLDEST_PYTHON = (3, 11)
LOW_MEMORY_BYTES = 4e9
LOW_SHM_BYTES = 0.5e9
LOW_DISK_BYTES = 1e9  # a run's checkpoints, charts and exports with a small model
FULL_DISK_BYTES = 0.1e9
LOADED = ("torch", "torchvision", "timm")  # that they can be imported together is known only by doing it
ONNX = ("onnx", "onnxscript", "onnxruntime")

Status = Literal["ok", "warning", "broken"]


class Check(NamedTuple):
    """One thing looked at. `meaning` and `fix` are empty where all is well; `broken` is what nothing works without."""

    group: str
    name: str
    status: Status
    found: str
    meaning: str = ""
    fix: str = ""


def examine(workspace: Workspace) -> list[Check]:
    """Look at everything; nothing is created, and a database of an older version is brought up to date as always."""
    checks = [_python(), *_packages(), *(check for check in map(_loads, LOADED) if check.status != "ok")]
    looks: list[tuple[str, Callable[[], Iterable[Check]]]] = [
        ("machine", lambda: _machine(probe())),
        ("workspace", lambda: _workspace(workspace)),
        ("extras", lambda: (_font(), _onnx(), _lora(), _hub(), _tensorboard(workspace))),
    ]
    for group, look in looks:
        try:
            checks += list(look())
        except ImportError as error:  # the package is among those named above
            checks.append(
                Check(group, group, "warning", "not looked at", f"A package that this needs is missing: {error}.")
            )
    return checks


def is_sound(checks: list[Check]) -> bool:
    """True when nothing needed is broken."""
    return all(check.status != "broken" for check in checks)


# ------------------------------------------------------------------------------------ Python and packages


def _python() -> Check:
    version = platform.python_version()
    if sys.version_info >= OLDEST_PYTHON:
        return Check("software", "python", "ok", version)
    needed = ".".join(map(str, OLDEST_PYTHON))
    return Check(
        "software", "python", "broken", version, f"ViTScope needs {needed} or newer.", f"apt-get install python{needed}"
    )


def _packages() -> Iterator[Check]:
    """Each package that ViTScope needs, with its version."""
    from packaging.requirements import Requirement

    yield Check("software", "vitscope", "ok", __version__)
    try:
        declared = metadata.requires("vitscope") or []
    except metadata.PackageNotFoundError:
        meaning = "It runs from its source, so which versions of other packages it needs is not known."
        yield Check("software", "packages", "warning", "vitscope is not installed", meaning, "pip install -e .")
        return
    for needed in map(Requirement, declared):
        if needed.marker is not None and not needed.marker.evaluate({"extra": ""}):
            continue
        version = installed_version(needed.name)
        fix = f"pip install '{needed.name}{needed.specifier}'"
        if version is None:
            yield Check("software", needed.name, "broken", "not installed", "ViTScope needs it.", fix)
        elif not needed.specifier.contains(version, prereleases=True):
            yield Check("software", needed.name, "broken", version, f"ViTScope needs {needed.specifier}.", fix)
        else:
            yield Check("software", needed.name, "ok", version)


def _loads(package: str) -> Check:
    try:
        importlib.import_module(package)
    except Exception as error:  # whatever a package that does not fit the others does
        reason = f"cannot be imported ({type(error).__name__}: {str(error).partition(chr(10))[0]})"
        meaning = "It is damaged or does not fit the others; torch and torchvision must be of the same release."
        return Check(
            "software", package, "broken", reason, meaning, "pip install --force-reinstall torch torchvision timm"
        )
    return Check("software", package, "ok", installed_version(package) or "")


# -------------------------------------------------------------------------------------------- the machine


def _machine(machine: Machine) -> Iterator[Check]:
    group = "machine"
    bf16 = "bf16" if machine.has_bf16 else "no bf16: computes in fp32"
    cores = "1 core" if machine.cores == 1 else f"{machine.cores} cores"
    yield Check(group, "cpu", "ok", f"{machine.cpu}, {cores}, {machine.capability}, {bf16}")
    yield _gpu(machine)
    if machine.memory_bytes < LOW_MEMORY_BYTES:
        meaning = "Small models train; for larger ones lower --batch-size or raise --accumulation."
        yield Check(group, "memory", "warning", size(machine.memory_bytes), meaning)
    else:
        yield Check(group, "memory", "ok", size(machine.memory_bytes))
    if machine.compiler is None:
        gain = "1.3 to 1.4 times faster" if machine.gpus or machine.has_bf16 else "no faster on this CPU"
        meaning = f"Everything works, uncompiled. Compiled, training would be {gain}."
        yield Check(group, "compiler", "warning", machine.compiler_problem, meaning, machine.compiler_fix)
    else:
        yield Check(group, "compiler", "ok", machine.compiler)
    if machine.shm_bytes is not None:
        yield _shm(machine.shm_bytes)


def _gpu(machine: Machine) -> Check:
    if machine.gpus:
        told = [f"{g.name} ({size(g.memory_bytes)}{', bf16' if g.has_bf16 else ''})" for g in machine.gpus]
        return Check("machine", "gpu", "ok", ", ".join(told))
    if machine.has_mps:
        return Check("machine", "gpu", "ok", "Apple's, through Metal (mps)")
    if shutil.which("nvidia-smi"):
        meaning = f"An NVIDIA driver is here, but torch {machine.torch} does not find its GPU: training uses the CPU."
        return Check(
            "machine", "gpu", "warning", "not usable", meaning, "pip install --force-reinstall torch torchvision"
        )
    return Check("machine", "gpu", "ok", "none; models train on the CPU")


def _shm(shm_bytes: int) -> Check:
    if shm_bytes >= LOW_SHM_BYTES:
        return Check("machine", "shared memory", "ok", f"{size(shm_bytes)} in /dev/shm")
    meaning = "Loader processes hand over pictures through it; large batches may not fit."
    fix = "docker run --shm-size=1g … for a container, or train with --workers 0"
    return Check("machine", "shared memory", "warning", f"{size(shm_bytes)} in /dev/shm", meaning, fix)


# ------------------------------------------------------------------------------------------ the workspace


def _workspace(workspace: Workspace) -> Iterator[Check]:
    yield _writable(workspace)
    database, check = _database(workspace)
    yield check
    yield _disk(workspace, database)


def _writable(workspace: Workspace) -> Check:
    root = workspace.root
    choose = "vitscope --workspace FOLDER …, or set VITSCOPE_WORKSPACE"
    try:
        if root.is_dir():
            with tempfile.TemporaryFile(dir=root):
                return Check("workspace", "folder", "ok", str(root))
        parent = workspace.existing_folder
        if parent.is_dir() and os.access(parent, os.W_OK | os.X_OK):
            return Check("workspace", "folder", "ok", f"{root} (made when first used)")
        reason = f"{parent} cannot be written" if parent.is_dir() else f"{parent} is not a folder"
    except OSError as error:
        reason = error.strerror or str(error)
    return Check("workspace", "folder", "broken", f"{root}: {reason}", "Runs and data sets are kept there.", choose)


def _database(workspace: Workspace) -> tuple[Database | None, Check]:
    try:
        database = workspace.existing_database
        if database is None:
            return None, Check("workspace", "database", "ok", "none yet (made by the first run)")
        problem = _damage(database)
    except ViTScopeError as error:
        return None, Check("workspace", "database", "broken", "cannot be used", str(error))
    from vitscope.storage.network import network_file_system
    from vitscope.storage.schema import HEAD

    if problem is not None:
        meaning = "Parts of it cannot be read. Keep a copy of the file before anything else."
        file = database.url.database
        fix = f"sqlite3 '{file}' '.recover' | sqlite3 recovered.db"
        return None, Check("workspace", "database", "broken", f"damaged ({problem})", meaning, fix)
    if (shared := network_file_system(workspace.root)) is not None and database.url.get_backend_name() == "sqlite":
        meaning = "Reading and writing wait for each other there: SQLite's write-ahead log is off, being unsafe."
        fix = "vitscope --workspace FOLDER …, on a disk of this machine; --database postgresql://… for several machines"
        return database, Check("workspace", "database", "warning", f"sound, on {shared}", meaning, fix)
    return database, Check("workspace", "database", "ok", f"sound, schema {HEAD}")


def _damage(database: Database) -> str | None:
    if database.url.get_backend_name() != "sqlite":
        return None
    with database.reading() as connection:
        said = str(connection.exec_driver_sql("PRAGMA quick_check(1)").scalar())
    return None if said == "ok" else " ".join(said.split())


def _disk(workspace: Workspace, database: Database | None) -> Check:
    free = workspace.free_bytes
    largest = _largest_data_bytes(workspace, database) if database is not None else 0
    needed = max(LOW_DISK_BYTES, DATA_COPIES * largest)
    found = f"{size(free)} free"
    if free >= needed:
        return Check("workspace", "disk", "ok", found)
    if free < FULL_DISK_BYTES:
        return Check(
            "workspace",
            "disk",
            "broken",
            found,
            "Checkpoints will not fit.",
            "vitscope --workspace FOLDER …, on another disk",
        )
    meaning = f"{size(needed)} would be safe"
    meaning += (
        f": {DATA_COPIES} times the largest data set ({size(largest)})." if largest else " for checkpoints and exports."
    )
    return Check("workspace", "disk", "warning", found, meaning, "vitscope --workspace FOLDER …, on another disk")


def _largest_data_bytes(workspace: Workspace, database: Database) -> int:
    from vitscope.data.manifest import Manifest
    from vitscope.storage import datasets

    sizes = [0]
    for row in datasets.list(database):
        try:
            sizes.append(sum(Manifest.load(workspace.root / row.manifest).table["size_bytes"].to_pylist()))
        except ViTScopeError:  # a manifest that was taken away says nothing of the disk
            continue
    return max(sizes)


# ------------------------------------------------------------------------------------------------- extras


def _font() -> Check:
    from vitscope.visualization import fonts

    covered = fonts.cover(["中文图表"])
    if not covered.missing:
        return Check("extras", "chinese font", "ok", covered.families[-1])
    meaning = "Charts show boxes for names in Chinese, Japanese or Korean."
    return Check("extras", "chinese font", "warning", "none", meaning, "apt-get install fonts-noto-cjk")


def _onnx() -> Check:
    versions = {name: installed_version(name) for name in ONNX}
    if all(versions.values()):
        return Check("extras", "onnx", "ok", ", ".join(f"{name} {version}" for name, version in versions.items()))
    missing = ", ".join(name for name, version in versions.items() if version is None)
    return Check(
        "extras",
        "onnx",
        "warning",
        f"{missing} missing",
        "Needed for 'export --to onnx' alone.",
        "pip install 'vitscope[onnx]'",
    )


def _lora() -> Check:
    if (version := installed_version("peft")) is not None:
        return Check("extras", "lora", "ok", f"peft {version}")
    return Check(
        "extras", "lora", "warning", "peft missing", "Needed for '--lora' alone.", "pip install 'vitscope[lora]'"
    )


def _hub() -> Check:
    if (version := installed_version("datasets")) is not None:
        return Check("extras", "hub", "ok", f"datasets {version}")
    meaning = "Needed for 'hf:OWNER/NAME' as a data set alone."
    return Check("extras", "hub", "warning", "datasets missing", meaning, "pip install 'vitscope[hub]'")


def _tensorboard(workspace: Workspace) -> Check:
    try:
        importlib.import_module("torch.utils.tensorboard")
    except Exception as error:  # whatever a package that does not fit the others does
        meaning = "Metrics are not mirrored to TensorBoard files; they are in the database all the same."
        return Check(
            "extras",
            "tensorboard",
            "warning",
            f"cannot be imported ({error})",
            meaning,
            "pip install --force-reinstall tensorboard",
        )
    return Check(
        "extras",
        "tensorboard",
        "ok",
        f"{installed_version('tensorboard')}; tensorboard --logdir {workspace.runs_folder}",
    )
