"""What recording costs: the training thread's share of a step, and a million points written and read back whole.

    python bench/recording.py [--points 1000000] [--steps 1000] [--database URL]

Prints a table and writes `bench/results/recording.json`. It asserts nothing about time: machines differ.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from vitscope import events
from vitscope.metrics import query
from vitscope.metrics.mirrors.tensorboard import TensorBoardMirror
from vitscope.metrics.recorder import Recorder
from vitscope.storage import runs
from vitscope.storage.database import Database
from vitscope.storage.workspace import Workspace

SCALARS = 20  # numbers a step
STEP_S = 0.010  # a quick training step
RESULTS = Path(__file__).parent / "results"


def told_at(step: int) -> events.MetricsLogged:
    return events.MetricsLogged(
        step, step / 100, tuple(events.Metric("train", f"metric_{i}", step + i / 7) for i in range(SCALARS))
    )


def busy(seconds: float) -> None:
    """Stands for a training step: Python at work all the time, the worst case beside another thread."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        sum(range(200))


def cost(observer: events.Observer, steps: int) -> dict[str, float]:
    """Time inside the observer a step; and by how much a fixed amount of work takes longer beside its thread.

    The latter compares short stretches with and without the observer, taken in turns: the machine may be busy.
    """
    spent: list[float] = []
    for event in [told_at(step) for step in range(1, steps + 1)]:
        busy(STEP_S)
        begun = time.perf_counter()
        observer(event)
        spent.append(time.perf_counter() - begun)
    ratios: list[float] = []
    for stretch in range(max(4, steps // 50)):
        with_observer, without = (
            stretch_s(told, first_step=steps + 50 * stretch) for told in (observer, lambda event: None)
        )
        ratios.append(with_observer / without)
    return {
        "median_us": statistics.median(spent) * 1e6,
        "p99_us": sorted(spent)[int(0.99 * len(spent))] * 1e6,
        "share_of_step_percent": 100 * statistics.median(spent) / STEP_S,
        "slowdown_percent": 100 * (statistics.median(ratios) - 1),
    }


def stretch_s(observer: events.Observer, first_step: int) -> float:
    """Seconds that 50 steps of equal work take."""
    begun = time.perf_counter()
    for step in range(first_step, first_step + 50):
        sum(range(400_000))
        observer(told_at(step))
    return time.perf_counter() - begun


def new_recorder(database: Database) -> tuple[str, Recorder]:
    run = runs.create_run(database, name="bench", source="bench", model="none")
    return run.id, Recorder(database, run.id, runs.begin_attempt(database, run.id, 0))


def million(database: Database, points: int) -> dict[str, float]:
    """Write `points` numbers as fast as they can be told, then read them back and count them."""
    run_id, recorder = new_recorder(database)
    begun = time.perf_counter()
    for step in range(1, points // SCALARS + 1):
        recorder(told_at(step))
    told_s = time.perf_counter() - begun
    if not recorder.flush(timeout_s=600):
        raise SystemExit("the rows were not committed within 10 minutes")
    written_s = time.perf_counter() - begun
    recorder.close()
    begun = time.perf_counter()
    frame = query.frame(database, run_id)
    read_s = time.perf_counter() - begun
    if len(frame) != points // SCALARS * SCALARS or frame["value"].to_numpy().min() < 1:
        raise SystemExit(f"{len(frame)} rows came back of {points}")
    begun = time.perf_counter()
    query.latest(database, run_id)
    latest_s = time.perf_counter() - begun
    return {"told_s": told_s, "written_s": written_s, "read_s": read_s, "latest_s": latest_s}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=1_000_000)
    parser.add_argument("--steps", type=int, default=1_000)
    parser.add_argument("--database", help="URL; else SQLite in a temporary folder")
    args = parser.parse_args()
    results: dict[str, Any] = {"machine": {"cpu": platform.processor() or platform.machine(), "cores": os.cpu_count()}}
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(folder, args.database)
        database = workspace.database
        _, recorder = new_recorder(database)
        results["recorder"] = cost(recorder, args.steps)
        recorder.close()
        mirror = TensorBoardMirror(Path(folder) / "tensorboard", 0)
        results["tensorboard"] = cost(mirror, args.steps)
        mirror.close()
        results["million"] = {"points": args.points, **million(database, args.points)}
        database.close()
        if args.database is None:
            results["million"]["file_mb"] = sum(f.stat().st_size for f in Path(folder).glob("vitscope.db*")) / 1e6
    for group in ("recorder", "tensorboard", "million"):
        print(group)
        for name, value in results[group].items():
            print(f"  {name:24} {value:12,.2f}")
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "recording.json").write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
