"""What every benchmark needs: the machine's facts, sides taken in turns, median and spread, a table, one JSON file."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "bench" / "results"
LIBRARIES = ("torch", "torchvision", "timm", "numpy", "pyarrow")
DATA = Path.home() / ".cache" / "vitscope-data"  # where the sets of `--data` lie, unless told otherwise

Rounds = dict[str, list[float]]  # by side, in the order of the rounds


def arguments(doc: str | None) -> argparse.ArgumentParser:
    """A parser with what all have: `--quick`."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a short form that shows that it runs; no figures to keep")
    return parser


# ---------------------------------------------------------------------------------------------- the machine


def facts() -> dict[str, Any]:
    """Machine, versions, commit and time of a result; measures the peak of a matrix product, some seconds."""
    import torch

    from vitscope import __version__
    from vitscope.machine import probe

    machine = probe()
    devices = ["cpu", *(["cuda"] if machine.gpus else [])]
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _git("rev-parse", "--short=10", "HEAD"),
        "is_committed": not _git("status", "--porcelain", "--untracked-files=no"),
        "vitscope": __version__,
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in LIBRARIES},
        "machine": machine.kind,
        "cpu": machine.cpu,
        "cores": machine.cores,
        "capability": torch.backends.cpu.get_cpu_capability(),
        "has_bf16": machine.has_bf16,
        "compiler": machine.compiler,
        "gpus": [gpu.name for gpu in machine.gpus],
        "load": os.getloadavg()[0],
        "peak_gflops": {
            f"{device} {precision}": round(matrix_peak(device, precision))
            for device in devices
            for precision in ("fp32", *(["bf16"] if device == "cuda" or machine.has_bf16 else []))
        },
    }


def matrix_peak(device: str = "cpu", precision: str = "fp32", seconds: float = 1.0) -> float:
    """GFLOP/s of a square matrix product, the best of so many as fit into `seconds` (2 FLOPs a multiply-add)."""
    import torch

    side = 8192 if device == "cuda" else 2048
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    best, end = float("inf"), time.perf_counter() + seconds
    while best == float("inf") or time.perf_counter() < end:
        began = time.perf_counter()
        torch.mm(a, b)
        if device == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - began)
    return 2 * side**3 / best / 1e9


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else "unknown"


# ---------------------------------------------------------------------------------------------- rounds


@dataclass(frozen=True)
class Spread:
    """The middle of some rounds, their smallest and their largest."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(statistics.median(values), min(values), max(values))

    def __str__(self) -> str:
        return f"{self.median:10,.3f}  ({self.low:,.3f} to {self.high:,.3f})"


def alternate(sides: Mapping[str, Callable[[], float]], rounds: int) -> Rounds:
    """Every side once a round, in turns: what disturbs the machine for a while disturbs them all."""
    found: Rounds = {name: [] for name in sides}
    for number in range(rounds):
        names = list(sides)
        for name in names if number % 2 == 0 else names[::-1]:
            found[name].append(sides[name]())
            print(f"  round {number + 1}: {name} {found[name][-1]:,.3f}", file=sys.stderr, flush=True)
    return found


def ratios(over: Sequence[float], under: Sequence[float]) -> list[float]:
    """Round by round."""
    return [a / b for a, b in zip(over, under, strict=True)]


# ---------------------------------------------------------------------------------------------- results


def write(name: str, rows: Mapping[str, Sequence[float]], unit: str, **more: Any) -> None:
    """Print the table of `rows` (values by label) and write `results/NAME.json` with facts, raw values and `more`."""
    print(f"\n{name}: {unit}, median (lowest to highest)")
    for label, values in rows.items():
        print(f"  {label:44} {Spread.of(values)}")
    told = {**facts(), "unit": unit, "rounds": {label: list(values) for label, values in rows.items()}}
    told["summary"] = {label: asdict(Spread.of(values)) for label, values in rows.items()}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps({**told, **more}, indent=1) + "\n", encoding="utf-8")
    print(f"  {told['machine']}, commit {told['commit']}, load {told['load']:.1f}: bench/results/{name}.json")
