"""What recording costs: the training thread's share of a step, and a million points written and read back whole.

    python bench/recording.py [--points 1000000] [--steps 1000] [--rounds 5] [--database URL] [--quick]

The share is of a step of 10 ms that tells 20 numbers; the slowdown, that of fixed work beside the writer's thread.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from measuring import arguments, write

from vitscope import events
from vitscope.metrics import query
from vitscope.metrics.mirrors.tensorboard import TensorBoardMirror
from vitscope.metrics.recorder import Recorder
from vitscope.storage import runs
from vitscope.storage.database import Database
from vitscope.storage.workspace import Workspace

SCALARS = 20  # numbers a step
STEP_S = 0.010  # a quick training step


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
    parser = arguments(__doc__)
    parser.add_argument("--points", type=int, default=1_000_000)
    parser.add_argument("--steps", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=5, help="of the million points")
    parser.add_argument("--database", help="URL; else SQLite in a temporary folder")
    given = parser.parse_args()
    if given.quick:
        given.points, given.steps, given.rounds = 100_000, 100, 1
    rows: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(folder, given.database)
        database = workspace.database
        _, recorder = new_recorder(database)
        mirror = TensorBoardMirror(Path(folder) / "tensorboard", 0)
        for name, observer in {"recorder": recorder, "TensorBoard": mirror}.items():
            rows |= {f"{name}: {what}": [value] for what, value in cost(observer, given.steps).items()}
            observer.close()
        for _ in range(given.rounds):
            for what, value in million(database, given.points).items():
                rows.setdefault(f"{given.points:,} points: {what}", []).append(value)
        database.close()
        if given.database is None:
            rows["file_mb"] = [sum(f.stat().st_size for f in Path(folder).glob("vitscope.db*")) / 1e6]
    write("recording", rows, "as each row says", points=given.points, steps=given.steps, is_quick=given.quick)


if __name__ == "__main__":
    main()
