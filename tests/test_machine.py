"""Choices by capability on made-up machines, and the probe against what the system says of itself."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
import platform
import stat
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import torch

from vitscope import machine
from vitscope.config import TrainConfig
from vitscope.errors import RequestError
from vitscope.machine import Gpu, Machine, choose

AVX2 = Machine("Some AVX2 CPU", 2, "AVX2", has_bf16=False, compiler="/usr/bin/g++", torch="2.14.1+cpu")
BF16 = Machine("Some bf16 CPU", 16, "AVX512", has_bf16=True, compiler="/usr/bin/g++", torch="2.14.1+cpu")
A100 = dataclasses.replace(BF16, gpus=(Gpu("NVIDIA A100", 40 * 10**9, has_bf16=True),), torch="2.14.1+cu130")
V100 = dataclasses.replace(BF16, gpus=(Gpu("NVIDIA V100", 16 * 10**9, has_bf16=False),), torch="2.14.1+cu130")
MAC = Machine("Apple M2", 8, "arm64", has_bf16=False, compiler="/usr/bin/c++", has_mps=True)

LONG, SHORT = 2_000, 1_999  # steps


@pytest.mark.parametrize(
    ("here", "steps", "expected"),
    [
        (AVX2, LONG, ("cpu", "fp32", "fused", False, 2)),
        (BF16, LONG, ("cpu", "bf16", "unfused", False, 16)),
        (BF16, SHORT, ("cpu", "bf16", "unfused", False, 16)),
        (A100, LONG, ("cuda", "bf16", "fused", True, 16)),
        (A100, SHORT, ("cuda", "bf16", "fused", False, 16)),
        (V100, LONG, ("cuda", "fp32", "fused", True, 16)),
        (MAC, LONG, ("mps", "fp32", "fused", False, 8)),
        (dataclasses.replace(BF16, compiler=None), LONG, ("cpu", "bf16", "unfused", False, 16)),
        (dataclasses.replace(A100, compiler=None), LONG, ("cuda", "bf16", "fused", False, 16)),
    ],
)
def test_auto_is_resolved_by_capability(here: Machine, steps: int, expected: tuple) -> None:
    got = choose(TrainConfig(), here, steps)
    assert (got.device, got.precision, got.attention, got.compile, got.threads) == expected
    assert got.warnings == ()
    assert [reason.split()[0] for reason in got.reasons] == ["device", "precision", "attention", "compile", "threads"]
    assert got.compiler == (here.compiler if got.compile else None)


@pytest.mark.parametrize(
    ("budget", "steps", "sizes", "is_compiled"),
    [
        (None, 3 * LONG, 3, True),
        (None, 3 * LONG - 1, 3, False),
        ("4m", 1, 1, True),
        ("239s", 10**6, 1, False),
        ("12m", 1, 3, True),
        ("11m", 10**6, 3, False),
    ],
)
def test_each_size_of_pictures_must_earn_back_being_compiled(
    budget: str | None, steps: int, sizes: int, is_compiled: bool
) -> None:
    got = choose(TrainConfig(time_budget=budget), A100, steps, sizes)
    assert got.compile is is_compiled
    assert got.reasons[3].startswith("compile on: " if is_compiled else "compile off: ")
    assert ("for each of 3 sizes" in got.reasons[3]) == (sizes == 3)
    assert choose(TrainConfig(time_budget=budget), BF16, steps, sizes).compile is False


@pytest.mark.parametrize("here", [AVX2, BF16, A100, MAC])
def test_what_is_asked_for_is_taken(here: Machine) -> None:
    asked = TrainConfig(device="cpu", precision="fp32", attention="fused", compile="on", threads=3, deterministic=True)
    got = choose(asked, here, total_steps=1)
    assert (got.device, got.precision, got.attention, got.compile, got.threads) == ("cpu", "fp32", "fused", True, 3)
    assert got.deterministic
    assert choose(TrainConfig(compile="off", attention="unfused"), here, LONG).compile is False


def test_equal_requests_on_equal_machines_give_equal_choices() -> None:
    assert choose(TrainConfig(), BF16, 5_000) == choose(TrainConfig(), dataclasses.replace(BF16), 5_000)


def test_fault_49_cuda_asked_for_and_absent_tells_of_auto() -> None:
    with pytest.raises(RequestError, match="--device auto") as told:
        choose(TrainConfig(device="cuda"), AVX2, LONG)
    assert "built without CUDA" in str(told.value)
    assert choose(TrainConfig(device="auto"), AVX2, LONG).device == "cpu"


@pytest.mark.parametrize(
    ("device", "here", "part"),
    [
        ("cuda:1", A100, "0 to 0"),
        ("mps", A100, "Apple"),
        ("gpu", A100, "Known: auto"),
        ("cuda:", AVX2, "Unknown device"),
    ],
)
def test_other_devices_that_are_not_here_are_told(device: str, here: Machine, part: str) -> None:
    with pytest.raises(RequestError, match=part):
        choose(TrainConfig(device=device), here, LONG)
    assert choose(TrainConfig(device="cuda:0"), A100, LONG).device == "cuda:0"


def test_fault_49_a_cpu_without_bf16_computes_in_fp32_and_bf16_that_is_asked_for_is_told() -> None:
    assert choose(TrainConfig(), AVX2, LONG).precision == "fp32"
    assert choose(TrainConfig(), BF16, LONG).precision == "bf16"
    got = choose(TrainConfig(precision="bf16"), AVX2, LONG)
    assert got.precision == "bf16"
    assert any("20 times slower" in text for text in got.warnings)
    assert choose(TrainConfig(precision="bf16"), BF16, LONG).warnings == ()
    assert any("V100" in text for text in choose(TrainConfig(precision="bf16"), V100, LONG).warnings)


def test_fault_49_compile_without_a_compiler_is_uncompiled_and_told() -> None:
    without = dataclasses.replace(
        BF16, compiler=None, compiler_problem="none found", compiler_fix="apt-get install g++"
    )
    got = choose(TrainConfig(compile="on"), without, LONG)
    assert got.compile is False
    assert any("apt-get install g++" in text for text in got.warnings)


def test_kind_names_what_decides_the_bits() -> None:
    assert AVX2.kind == "AVX2, 2 cores, no bf16"
    assert dataclasses.replace(BF16, cores=1).kind == "AVX512, 1 core, bf16"
    assert dataclasses.replace(A100, gpus=A100.gpus * 2).kind == "AVX512, 16 cores, bf16; 2× NVIDIA A100"


# ------------------------------------------------------------------------------------------------- probe


def test_probe_agrees_with_the_system() -> None:
    found = machine.probe()
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    assert 1 <= found.cores <= allowed
    assert found.torch == torch.__version__
    assert 0 < found.memory_bytes <= psutil.virtual_memory().total
    assert len(found.gpus) == (torch.cuda.device_count() if torch.cuda.is_available() else 0)
    if (info := Path("/proc/cpuinfo")).is_file():
        words = set(info.read_text().split())
        assert found.has_bf16 == bool({"avx512_bf16", "amx_bf16", "bf16"} & words)


def test_cpuinfo_of_both_families() -> None:
    x86 = (
        "processor\t: 0\nmodel name\t: Intel(R) Xeon(R) 8480\nflags\t\t: fpu avx2 avx512_bf16 amx_bf16\n\nflags\t: x\n"
    )
    assert machine.cpu_facts(x86) == ("Intel(R) Xeon(R) 8480", {"fpu", "avx2", "avx512_bf16", "amx_bf16"})
    arm = "processor\t: 0\nBogoMIPS\t: 243.75\nFeatures\t: fp asimd bf16 i8mm\n"
    assert machine.cpu_facts(arm) == ("", {"fp", "asimd", "bf16", "i8mm"})


def test_hyperthreads_count_as_one_core(tmp_path: Path) -> None:
    for cpu, siblings in enumerate(["0,4", "1,5", "2,6", "3,7"] * 2):
        folder = tmp_path / f"cpu{cpu}" / "topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text(siblings + "\n")
    assert machine.physical_cores(range(8), tmp_path) == 4
    assert machine.physical_cores([0, 4], tmp_path) == 1
    assert machine.physical_cores([0, 1, 5], tmp_path) == 2
    assert machine.physical_cores(range(3), tmp_path / "nothing") == 3


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all of PATH, for programs that a test makes up."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("CXX", raising=False)
    return folder


def make_program(file: Path, script: str) -> str:
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    return str(file)


def test_a_hidden_compiler_is_none_with_the_command_that_brings_it(programs: Path) -> None:
    found = machine.find_compiler()
    assert found.path is None
    assert "install" in found.fix
    assert machine.probe().compiler is None


def test_cxx_wins_and_is_not_replaced(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gxx = make_program(programs / "g++", "exit 0")
    assert machine.find_compiler().path == gxx
    monkeypatch.setenv("CXX", "my-cxx")
    assert machine.find_compiler().path is None
    assert "my-cxx" in machine.find_compiler().problem
    mine = make_program(programs / "my-cxx", "exit 0")
    assert machine.find_compiler().path == mine


def test_a_compiler_without_headers_is_passed_over_and_told(programs: Path) -> None:
    make_program(programs / "g++", "echo 'fatal error: Python.h: No such file or directory' >&2; exit 1")
    found = machine.find_compiler()
    assert found.path is None
    assert f"python{sys.version_info.major}.{sys.version_info.minor}-dev" in found.fix
    clang = make_program(programs / "clang++", "exit 0")
    assert machine.find_compiler().path == clang


def test_environment_holds_versions_and_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    command = ["vitscope", "--database", "postgresql://me:s3cret@host/db?password=s3cret", "train", "digits"]
    monkeypatch.setattr(sys, "argv", command)
    found = machine.environment(AVX2)
    assert "s3cret" not in str(found)
    assert found["command"][0] == "vitscope"
    assert found["command"][2].startswith("postgresql://me:")
    assert found["packages"]["numpy"] == importlib.metadata.version("numpy")
    assert found["packages"]["torch"] == torch.__version__
    assert found["machine"]["kind"] == AVX2.kind
    assert found["threads"] == torch.get_num_threads()


def test_importing_is_light() -> None:
    code = "import sys, vitscope.machine; sys.exit(bool({'torch', 'psutil', 'pydantic'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc keeps memory this way")
def test_kept_memory_is_given_back_when_it_is_needed_and_not_kept_where_somebody_said_otherwise() -> None:
    program = """
import os, psutil, torch
from vitscope.machine import give_back_freed_memory, keep_freed_memory
assert keep_freed_memory()
blocks = [torch.ones(2**20) for _ in range(50)]
more = torch.ones(2**18)  # above them, so that the heap cannot simply shrink
taken = psutil.Process().memory_info().rss
del blocks
kept = psutil.Process().memory_info().rss
give_back_freed_memory()
left = psutil.Process().memory_info().rss
os.environ["MALLOC_TRIM_THRESHOLD_"] = "1000"
print(taken, kept, left, int(keep_freed_memory()))
"""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    done = subprocess.run([sys.executable, "-c", program], env=plain, capture_output=True, text=True, check=True)
    taken, kept, left, is_kept_again = map(int, done.stdout.split())
    assert taken - kept < 20e6
    assert kept - left > 150e6  # of 200 MB
    assert not is_kept_again
