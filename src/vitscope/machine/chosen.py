"""Every `auto` decided for a machine, with the reason: device, precision, attention kernel, compile, threads.

`choose` is pure, so that any machine can be made up in a test. Measured on a small ViT: bf16 on a CPU without bf16
instructions runs about 20 times slower than fp32, with them it is the faster one; there unfused attention wins 1.19×,
on AVX2 it loses 0.86×; compiling takes 40–90 s there, wins 1.05–1.15×, and loses 0.76× to a convolutional stem's
channels last; on AVX2 it wins nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from vitscope.errors import RequestError
from vitscope.machine.found import Gpu, Machine
from vitscope.text import seconds_of

if TYPE_CHECKING:
    from vitscope.config import TrainConfig

# Compiling costs up to a minute for each size of pictures; fewer steps or seconds than these do not earn it back.
COMPILE_FROM_STEPS, COMPILE_FROM_BUDGET_S = 2_000, 240.0


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


def choose(train: TrainConfig, machine: Machine, total_steps: int, sizes: int = 1) -> Choices:
    """Resolve every `auto` of `train` for `machine` and a run of `total_steps` optimizer steps.

    The pictures have `sizes` sizes, one after another. How many steps fit into a time budget is not known before.

    Raises `RequestError` for a device that is not here or not known. What cannot be had otherwise is replaced and told.
    """
    device, device_why = _device(train.device, machine)
    precision, precision_why, precision_warning = _precision(train.precision, device, machine)
    attention, attention_why = _attention(train.attention, device, machine)
    compiled, compile_why, compile_warning = _compile(train, device, machine, total_steps, sizes)
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


def _compile(train: TrainConfig, device: str, machine: Machine, total_steps: int, sizes: int) -> tuple[bool, str, str]:
    if train.compile == "off":
        return False, "compile off: asked for", ""
    if train.compile == "on":
        if machine.compiler is None:
            warning = f"Training uncompiled: {machine.compiler_problem}."
            warning += f" Get it: '{machine.compiler_fix}'." if machine.compiler_fix else ""
            return False, "compile off: asked for, but there is no C++ compiler to use", warning
        return True, "compile on: asked for", ""
    if not device.startswith("cuda"):
        return False, "compile off: it wins little or nothing where there is no CUDA device", ""
    if machine.compiler is None:
        return False, "compile off: there is no C++ compiler to use (see 'vitscope doctor')", ""
    each = f" for each of {sizes} sizes" if sizes > 1 else ""
    if train.time_budget is not None:
        if seconds_of(train.time_budget) < sizes * COMPILE_FROM_BUDGET_S:
            return False, f"compile off: {train.time_budget} is too short to earn back the time it takes{each}", ""
        return True, f"compile on: {train.time_budget} earns back the time it takes{each}", ""
    if total_steps < sizes * COMPILE_FROM_STEPS:
        return False, f"compile off: {total_steps:,} steps are too few to earn back the time it takes{each}", ""
    return True, f"compile on: {total_steps:,} steps earn back the time it takes{each}", ""
