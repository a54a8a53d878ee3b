"""What this machine is and can do: processor, cores, GPUs, memory, compiler."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from vitscope.machine.compilers import find_compiler

BF16_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})  # the last as ARM's kernels name it


@dataclass(frozen=True)
class Gpu:
    """A CUDA (or ROCm) device."""

    name: str
    memory_bytes: int
    has_bf16: bool


@dataclass(frozen=True)
class Machine:
    """What was found. `cores` are physical ones that this process may use; `capability` is torch's vector kernels."""

    cpu: str
    cores: int
    capability: str
    has_bf16: bool
    compiler: str | None = None  # a C++ compiler that torch.compile can use
    compiler_problem: str = ""  # why there is none
    compiler_fix: str = ""  # the command that brings it
    gpus: tuple[Gpu, ...] = ()
    has_mps: bool = False
    memory_bytes: int = 0
    shm_bytes: int | None = None  # size of /dev/shm, through which loader processes hand over pictures
    torch: str = ""

    @property
    def kind(self) -> str:
        """Machines of equal kind, with equal threads and choices, compute the same bits."""
        cores = "1 core" if self.cores == 1 else f"{self.cores} cores"
        text = f"{self.capability}, {cores}, {'bf16' if self.has_bf16 else 'no bf16'}"
        names = [gpu.name for gpu in self.gpus] or (["Apple GPU"] if self.has_mps else [])
        return "; ".join([text, *(f"{names.count(n)}× {n}" for n in dict.fromkeys(names))])


def probe() -> Machine:
    """Look at this machine. Takes a moment: torch is imported, a compiler is tried. What is missing is no error."""
    import psutil
    import torch

    cpuinfo = Path("/proc/cpuinfo")
    name, flags = cpu_facts(cpuinfo.read_text(errors="replace")) if cpuinfo.is_file() else ("", frozenset())
    if not flags and hasattr(torch.cpu, "get_capabilities"):
        flags = frozenset(k for k, v in torch.cpu.get_capabilities().items() if v is True)
    capability = torch.backends.cpu.get_cpu_capability()
    compiler = find_compiler()
    shm = Path("/dev/shm")
    memory = psutil.virtual_memory().total
    return Machine(
        cpu=name or platform.processor() or platform.machine(),
        cores=_available_cores(),
        capability=platform.machine() if capability == "DEFAULT" else capability,
        has_bf16=bool(flags & BF16_FLAGS),
        compiler=compiler.path,
        compiler_problem=compiler.problem,
        compiler_fix=compiler.fix,
        gpus=_gpus(),
        has_mps=torch.backends.mps.is_available(),
        memory_bytes=min(memory, _cgroup_memory() or memory),
        shm_bytes=shutil.disk_usage(shm).total if shm.is_dir() else None,
        torch=torch.__version__,
    )


def cpu_facts(cpuinfo: str) -> tuple[str, frozenset[str]]:
    """Name and instruction flags of the first processor in the text of /proc/cpuinfo (x86: flags, ARM: Features)."""
    fields: dict[str, str] = {}
    for line in cpuinfo.splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    return fields.get("model name", ""), frozenset((fields.get("flags") or fields.get("Features") or "").split())


def physical_cores(cpus: Iterable[int], topology: Path = Path("/sys/devices/system/cpu")) -> int:
    """How many physical cores the logical `cpus` belong to; each counts alone where Linux does not tell siblings."""

    def siblings(cpu: int) -> str:
        try:
            return (topology / f"cpu{cpu}" / "topology" / "thread_siblings_list").read_text().strip()
        except OSError:
            return str(cpu)

    return max(1, len({siblings(cpu) for cpu in cpus}))


def _available_cores() -> int:
    import psutil

    if hasattr(os, "sched_getaffinity"):
        cores = physical_cores(os.sched_getaffinity(0))
    else:
        cores = psutil.cpu_count(logical=False) or os.cpu_count() or 1
    # A container's limit of processor time: more threads than it would only be throttled.
    quota, _, period = _first_line("/sys/fs/cgroup/cpu.max").partition(" ")
    return max(1, min(cores, int(quota) // int(period))) if quota.isdigit() and period.isdigit() else cores


def _cgroup_memory() -> int | None:
    limit = _first_line("/sys/fs/cgroup/memory.max")
    return int(limit) if limit.isdigit() else None


def _first_line(path: str) -> str:
    try:
        return Path(path).read_text().partition("\n")[0]
    except OSError:
        return ""


def _gpus() -> tuple[Gpu, ...]:
    import torch

    if not torch.cuda.is_available():
        return ()
    properties = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
    is_rocm = torch.version.hip is not None  # bf16 on every ROCm device that torch supports; on NVIDIA from Ampere on
    return tuple(Gpu(p.name, p.total_memory, is_rocm or p.major >= 8) for p in properties)
