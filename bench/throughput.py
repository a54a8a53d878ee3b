"""Training throughput: the same work for ViTScope and the bare step, and for ViTScope and every peer, in turns.

    python bench/throughput.py [--data FOLDER] [--turns 12] [--settings default best] [--quick]

Photos, RandomResizedCrop + flip + RandAugment, two workers, `vit_tiny_patch16_224`, batch 32 (on a GPU also ViT-S/16
and ViT-B/16, batch 256). Each peer as it comes and at its best; the ratio is to the best of all. FLOPs use: FLOPs of a
training step, as `torch.utils.flop_counter` counts them, over the measured peak of a matrix product.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import sides
from measuring import DATA, Spread, arguments, matrix_peak, ratios, write
from peers.work import Work
from sides.trees import DRAWN, tree
from sides.turns import in_turns

from vitscope.machine import Machine, probe


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--data", help=f"a folder of photos; by default {DATA / 'clothing'}, else drawn ones")
    parser.add_argument("--turns", type=int, default=12, help="of each side of a pair, some steps each")
    parser.add_argument("--settings", nargs="+", default=["default", "best"], choices=["default", "best"])
    given = parser.parse_args()
    source = given.data or (str(DATA / "clothing") if (DATA / "clothing").is_dir() else DRAWN)
    if given.quick:
        given.turns, given.settings = 2, ["best"]
    machine = probe()
    precision = "bf16" if machine.has_bf16 or machine.gpus else "fp32"
    is_compiled = precision == "bf16" and machine.compiler is not None
    with tempfile.TemporaryDirectory() as place:
        data = str(tree(source, Path(place), limit=40 if given.quick else None))
        work = Work(
            task="throughput", settings="best", data=data, batch_size=8 if given.quick else 32, workers=2,
            warmup=1 if given.quick else 3, precision=precision, is_compiled=is_compiled,
            policy="randaugment", workspace=str(Path(place) / "workspace"),
        )  # fmt: skip
        models = {"vit_tiny_patch16_224": work}
        if machine.gpus and not given.quick:
            large = replace(work, batch_size=256, workers=machine.cores)
            models |= {name: replace(large, model=name) for name in ("vit_small_patch16_224", "vit_base_patch16_224")}
        for name, one in models.items():
            measure(name, one, given, machine, source)


def measure(name: str, work: Work, given: argparse.Namespace, machine: Machine, source: str) -> None:
    settled = sides.settled(replace(work, steps=4), is_quick=given.quick)
    others = {"bare step": (sides.BARE, settled)}
    for peer, script in sides.PEERS.items():
        others |= {f"{peer}, {settings}": (script, replace(work, settings=settings)) for settings in given.settings}
    rates: dict[str, list[float]] = {"ViTScope": []}
    shares: dict[str, list[float]] = {}
    failures: list[str] = []
    for other, side in others.items():
        try:
            found = in_turns({"ViTScope": (sides.OURS, settled), other: side}, given.turns)
        except sides.SideFailed as error:  # what the others gave is not lost for it
            failures.append(f"{other}: {error}")
            print(f"  {failures[-1]}", flush=True)
            continue
        rates["ViTScope"] += found["ViTScope"]
        rates[other] = found[other]
        shares[f"ViTScope / {other}"] = ratios(found["ViTScope"], found[other])
        print(f"  ViTScope / {other}: {Spread.of(shares[f'ViTScope / {other}'])}", flush=True)
    best = min(
        (side for side in others if side != "bare step" and side in rates),
        key=lambda s: Spread.of(shares[f"ViTScope / {s}"]).median,
    )
    flops = float(sides.run(sides.BARE, replace(work, steps=2, warmup=0))["flops_an_image"])
    peak = matrix_peak("cuda" if machine.gpus else "cpu", work.precision) * 1e9
    use = {"ViTScope, FLOPs use": [flops * rate / peak for rate in rates["ViTScope"]]}
    write(
        f"throughput-{name}", rates | shares | use, "images/s (ratios are shares of 1)",
        work=settled.__dict__, source=source, flops_an_image=flops, best_peer=best, failures=failures,
        is_quick=given.quick,
    )  # fmt: skip


if __name__ == "__main__":
    main()
