"""What this machine can do, and the choices made for it: device, precision, attention kernel, compile, threads.

`probe` looks, `choose` decides from what was seen and says why. `choose` is pure, so that any machine can be made up in
a test. Measured on a small ViT: bf16 on a CPU without bf16 instructions runs about 20 times slower than fp32, with them
it is the faster one; there unfused attention wins 1.19×, on AVX2 it loses 0.86×; compiling wins 1.3–1.4× there and
nothing on AVX2.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from vitscope._version import __version__
from vitscope.errors import RequestError

if TYPE_CHECKING:
    from vitscope.config import TrainConfig

# Compiling costs up to a minute before the first step; fewer steps than this do not earn it back.
COMPILE_FROM_STEPS = 2_000

BF16_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})  # the last as ARM's kernels name it
RECORDED_PACKAGES = (
    *("torch", "torchvision", "timm", "accelerate", "safetensors", "numpy", "pandas", "pyarrow", "pillow"),
    *("scikit-learn", "matplotlib", "tensorboard", "pydantic", "sqlalchemy", "onnx", "onnxscript", "onnxruntime"),
)


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


@dataclass(frozen=True)
class Choices:
    """What a run uses. `reasons` has one plain sentence a choice; `warnings` are those to tell even when quiet."""

    device: str
    precision: Literal["fp32", "bf16"]
    attention: Literal["fused", "unfused"]
    compile: bool
    threads: int
    reasons: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    deterministic: bool = False  # torch.use_deterministic_algorithms is to be on
    compiler: str | None = None  # what torch.compile is to call; torch looks for g++ alone by itself


# --------------------------------------------------------------------------------------------- choosing


def choose(train: TrainConfig, machine: Machine, total_steps: int) -> Choices:
    """Resolve every `auto` of `train` for `machine` and a run of `total_steps` optimizer steps.

    Raises `RequestError` for a device that is not here or not known. What cannot be had otherwise is replaced and told.
    """
    device, device_why = _device(train.device, machine)
    precision, precision_why, precision_warning = _precision(train.precision, device, machine)
    attention, attention_why = _attention(train.attention, device, machine)
    compiled, compile_why, compile_warning = _compile(train.compile, device, machine, total_steps)
    threads = train.threads or machine.cores
    if train.threads is None:
        threads_why = f"threads {threads}: as many as physical cores this process may use"
    else:
        threads_why = f"threads {threads}: asked for"
    return Choices(
        device=device,
        precision=precision,
        attention=attention,
        compile=compiled,
        threads=threads,
        reasons=(device_why, precision_why, attention_why, compile_why, threads_why),
        warnings=tuple(w for w in (precision_warning, compile_warning) if w),
        deterministic=train.deterministic,
        compiler=machine.compiler if compiled else None,
    )


def _device(wanted: str, machine: Machine) -> tuple[str, str]:
    if wanted == "auto":
        if machine.gpus:
            return "cuda", f"device cuda: {machine.gpus[0].name} is here"
        if machine.has_mps:
            return "mps", "device mps: no CUDA device, but Apple's GPU is here"
        return "cpu", "device cpu: no GPU is here"
    if not re.fullmatch(r"cpu|mps|cuda(:\d{1,4})?", wanted):
        raise RequestError(f"Unknown device '{wanted}'. Known: auto, cpu, cuda, cuda:N, mps.")
    fallback = "Use '--device auto', which falls back to what there is."
    if wanted.startswith("cuda"):
        if not machine.gpus:
            built = "this torch is built without CUDA" if "+cpu" in machine.torch else "torch finds none"
            raise RequestError(f"--device {wanted}: no CUDA device here ({built}). {fallback}")
        number = int(wanted.partition(":")[2] or 0)
        if number >= len(machine.gpus):
            raise RequestError(f"--device {wanted}: the CUDA devices here are 0 to {len(machine.gpus) - 1}. {fallback}")
    elif wanted == "mps" and not machine.has_mps:
        raise RequestError(f"--device mps: no Apple GPU that torch can use here. {fallback}")
    return wanted, f"device {wanted}: asked for"


def _gpu(device: str, machine: Machine) -> Gpu:
    return machine.gpus[int(device.partition(":")[2] or 0)]


def _precision(wanted: str, device: str, machine: Machine) -> tuple[Literal["fp32", "bf16"], str, str]:
    if device == "cpu":
        has_bf16, owner = machine.has_bf16, "this CPU"
    elif device == "mps":
        has_bf16, owner = False, "Apple's GPU"
    else:
        has_bf16, owner = _gpu(device, machine).has_bf16, _gpu(device, machine).name
    if wanted == "auto":
        if has_bf16:
            return "bf16", f"precision bf16: {owner} computes in it", ""
        why = "not measured to be faster on" if device == "mps" else "no bf16 instructions on"
        return "fp32", f"precision fp32: {why} {owner}", ""
    if wanted == "fp32":
        return "fp32", "precision fp32: asked for", ""
    warning = ""
    if device == "cpu" and not has_bf16:
        warning = (
            "--precision bf16: this CPU has no bf16 instructions, so it is emulated, about 20 times slower than fp32. "
            "Use '--precision auto' unless the slow run is what you want."
        )
    elif device.startswith("cuda") and not has_bf16:
        warning = f"--precision bf16: {owner} has no bf16 units, so it is emulated, slowly. '--precision auto' is fp32."
    return "bf16", "precision bf16: asked for", warning


def _attention(wanted: str, device: str, machine: Machine) -> tuple[Literal["fused", "unfused"], str]:
    if wanted == "fused":
        return "fused", "attention fused: asked for"
    if wanted == "unfused":
        return "unfused", "attention unfused: asked for"
    if device == "cpu" and machine.has_bf16:
        return "unfused", "attention unfused: the faster one on CPUs with bf16"
    return "fused", f"attention fused: the faster one on {'CPUs without bf16' if device == 'cpu' else 'GPUs'}"


def _compile(wanted: str, device: str, machine: Machine, total_steps: int) -> tuple[bool, str, str]:
    if wanted == "off":
        return False, "compile off: asked for", ""
    if wanted == "on":
        if machine.compiler is None:
            warning = f"Training uncompiled: {machine.compiler_problem}."
            warning += f" Get it: '{machine.compiler_fix}'." if machine.compiler_fix else ""
            return False, "compile off: asked for, but there is no C++ compiler to use", warning
        return True, "compile on: asked for", ""
    if not (device.startswith("cuda") or (device == "cpu" and machine.has_bf16)):
        return False, f"compile off: it wins nothing on {'CPUs without bf16' if device == 'cpu' else 'this device'}", ""
    if machine.compiler is None:
        return False, "compile off: there is no C++ compiler to use (see 'vitscope doctor')", ""
    if total_steps < COMPILE_FROM_STEPS:
        return False, f"compile off: {total_steps:,} steps are too few to earn back the time it takes", ""
    return True, f"compile on: {total_steps:,} steps earn back the time it takes", ""


# ---------------------------------------------------------------------------------------------- probing


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


class Compiler(NamedTuple):
    """Path of a usable C++ compiler, or None with what is wrong and the command that puts it right, where known."""

    path: str | None
    problem: str = ""
    fix: str = ""


def find_compiler() -> Compiler:
    """A C++ compiler that finds what torch.compile's code includes: $CXX where it is set, else g++, clang++ or c++.

    It is tried, not only looked for: without Python's headers (python3-dev) or OpenMP's the first compiled step fails.
    """
    asked = os.environ.get("CXX")
    found = [path for name in ([asked] if asked else ["g++", "clang++", "c++"]) if (path := shutil.which(name))]
    if found:
        tried = [_try(path) for path in found]
        return next((c for c in tried if c.path), tried[0])
    if asked:
        return Compiler(None, f"$CXX names '{asked}', which is not a program here", "unset CXX")
    bring = "xcode-select --install" if sys.platform == "darwin" else "apt-get install g++"
    return Compiler(None, "no C++ compiler was found on PATH", bring)


def _try(compiler: str) -> Compiler:
    includes, flags = "#include <vector>\n#include <Python.h>\n", []
    if sys.platform != "darwin":  # there torch brings OpenMP itself
        includes, flags = includes + "#include <omp.h>\n", ["-fopenmp"]
    command = [compiler, "-E", *flags, "-I", sysconfig.get_path("include"), "-x", "c++", "-"]
    try:
        done = subprocess.run(command, input=includes, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Compiler(None, f"{compiler} does not run ({error})")
    if done.returncode == 0:
        return Compiler(compiler)
    packages = {"Python.h": f"python{sys.version_info.major}.{sys.version_info.minor}-dev", "omp.h": "libomp-dev"}
    for header in (h for h in packages if h in done.stderr):
        return Compiler(None, f"{compiler} does not find {header}", f"apt-get install {packages[header]}")
    return Compiler(None, f"{compiler} does not work ({(done.stderr.strip().splitlines() or ['no message'])[-1]})")


def environment(machine: Machine | None = None) -> dict[str, Any]:
    """What a run's environment.json records: versions, machine, threads, and the command with passwords left out."""
    import torch

    machine = machine or probe()
    return {
        "vitscope": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: version for name in RECORDED_PACKAGES if (version := installed_version(name))}
        | {"torch": torch.__version__},  # with its build, such as +cpu
        "machine": {
            "kind": machine.kind,
            "cpu": machine.cpu,
            "cores": machine.cores,
            "gpus": [gpu.name for gpu in machine.gpus],
            "memory_bytes": machine.memory_bytes,
        },
        "threads": torch.get_num_threads(),
        "command": [_without_password(argument) for argument in sys.argv],
    }


def _without_password(argument: str) -> str:
    hidden = re.sub(r"(?<=://)([^/@:\s]*):[^/\s]*@", r"\1:…@", argument)
    return re.sub(r"(?i)(password=)[^&\s]+", r"\1…", hidden)


def installed_version(package: str) -> str | None:
    """Version of an installed distribution, without importing it."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
