"""Time to test accuracy: ViTScope's recipe against the peers' defaults, and against the peers at their best.

    python bench/speedrun.py [--sets sign-digits clothing cifar10] [--data DIR] [--seeds 1 2 3] [--minutes 15]
                             [--thresholds 0.5 0.8 0.9] [--weights FOLDER] [--peers "plain PyTorch" …] [--quick]

Every side gets the same train, val and test pictures (ViTScope's split; a fifth held out where a set has none), its own
recipe, and a process of its own, one after another. A point of a curve is an epoch's test accuracy, and the time since
the process began: imports, compiling and evaluating count. ViTScope's curve is what it records. `--weights` fine-tunes
pretrained ones (a folder for timm's `local-dir:`). The peers' recipes are in `peers/*.py`, each in its first lines.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import sides
from measuring import DATA, arguments, write
from peers.work import Work
from sides.trees import DRAWN, tree

from vitscope.machine import Machine, probe

SETS = ("sign-digits", "clothing", "cifar10")
Curve = Sequence[Sequence[float]]  # seconds, test accuracy


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--sets", nargs="+", default=list(SETS), help="names of folders in --data, or folders")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--thresholds", nargs="+", type=float, default=[0.5, 0.8, 0.9, 0.95])
    parser.add_argument("--minutes", type=float, default=15, help="of one side with one seed")
    parser.add_argument("--epochs", type=int, help="of every side; by default each side's own")
    parser.add_argument("--peers", nargs="*", default=list(sides.PEERS), choices=list(sides.PEERS))
    parser.add_argument("--settings", nargs="+", default=["default", "best"], choices=["default", "best"])
    parser.add_argument("--weights", help="pretrained weights of --model, a folder for timm's local-dir")
    parser.add_argument(
        "--model", default="vit_tiny_patch16_224", help="of the peers; ViTScope's recipe chooses its own"
    )
    parser.add_argument("--image-size", type=int, default=224, help="of the peers")
    parser.add_argument("--set", dest="options", action="append", default=[], help="an option of ViTScope's")
    given = parser.parse_args()
    limit = None
    if given.quick:
        limit, given.sets, given.seeds, given.minutes = 24, given.sets[:1], given.seeds[:1], 3
        given.epochs, given.settings, given.image_size = 1, ["default"], 64
        given.model = "vit_tiny_patch16_224"
    machine = probe()
    for name in given.sets:
        folder = given.data / name if (given.data / name).is_dir() else Path(name)
        with tempfile.TemporaryDirectory() as place:
            data = str(tree(str(folder) if folder.is_dir() else DRAWN, Path(place), limit))
            measure(name, work_of(data, given, machine), given)


def work_of(data: str, given: Any, machine: Machine) -> Work:
    precision = "bf16" if machine.has_bf16 or machine.gpus else "fp32"
    return Work(
        task="accuracy", settings="default", data=data, model=given.model, weights=given.weights,
        image_size=given.image_size, epochs=given.epochs, budget_s=60 * given.minutes, workers=min(4, machine.cores),
        precision=precision, is_compiled=precision == "bf16" and machine.compiler is not None,
    )  # fmt: skip


def measure(name: str, work: Work, given: Any) -> None:
    """All sides on one set; a table of times and accuracies, and the curves as JSON."""
    chosen = {"ViTScope": (sides.OURS, replace(work, options=tuple(given.options)))}
    for settings in given.settings:
        for peer in given.peers:
            chosen[f"{peer}, {settings}"] = (sides.PEERS[peer], replace(work, settings=settings))
    curves: dict[str, dict[int, Curve]] = {side: {} for side in chosen}
    failures: list[str] = []
    for seed in given.seeds:
        for side, (script, one) in chosen.items():
            try:
                found = sides.run(script, replace(one, seed=seed))
            except sides.SideFailed as error:  # hours of the others are not lost for it
                failures.append(f"{side}, seed {seed}: {error}")
                print(f"  {name}, seed {seed}: {failures[-1]}", flush=True)
                continue
            curves[side][seed] = found["curve"]
            final = found["curve"][-1] if found["curve"] else (found["seconds"], float("nan"))
            print(f"  {name}, seed {seed}: {side}: {100 * final[1]:.1f} % after {final[0]:.0f} s", flush=True)
    rows: dict[str, list[float]] = {}
    for side, by_seed in curves.items():
        rows[f"{side}: last accuracy, %"] = [100 * curve[-1][1] for curve in by_seed.values() if curve] or [
            float("nan")
        ]
        for threshold in given.thresholds:
            times = [reached(curve, threshold) for curve in by_seed.values()]
            if len(times) == len(given.seeds) and all(time is not None for time in times):
                rows[f"{side}: seconds to {100 * threshold:g} %"] = [time for time in times if time is not None]
    write(
        f"speedrun-{Path(name).name}", rows, "seconds since the process began, % of the test split, over "
        f"{len(given.seeds)} seeds (a threshold that one of them missed is left out)",
        work=work.__dict__, seeds=given.seeds, thresholds=given.thresholds, curves=curves,
        failures=failures, is_quick=given.quick,
    )  # fmt: skip


def reached(curve: Curve, threshold: float) -> float | None:
    """Seconds to the first epoch whose test accuracy is at least `threshold`; None where none is."""
    return next((seconds for seconds, accuracy in curve if accuracy >= threshold), None)


if __name__ == "__main__":
    main()
