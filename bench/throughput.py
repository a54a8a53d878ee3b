"""Training throughput: the same work for ViTScope, the bare step and every peer, alternated in one run.

    python bench/throughput.py [--data FOLDER] [--rounds 5] [--settings default best] [--quick]

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
from measuring import DATA, Spread, alternate, arguments, matrix_peak, ratios, write
from peers.work import Work
from sides.trees import DRAWN, tree

from vitscope.machine import Machine, probe


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--data", help=f"a folder of photos; by default {DATA / 'clothing'}, else drawn ones")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=24, help="of a round; the first quarter does not count")
    parser.add_argument("--budget-s", type=float, default=240, help="of one side in one round")
    parser.add_argument("--settings", nargs="+", default=["default", "best"], choices=["default", "best"])
    given = parser.parse_args()
    source = given.data or (str(DATA / "clothing") if (DATA / "clothing").is_dir() else DRAWN)
    if given.quick:
        given.rounds, given.steps, given.budget_s, given.settings = 2, 4, 60, ["best"]
    machine = probe()
    precision = "bf16" if machine.has_bf16 or machine.gpus else "fp32"
    is_compiled = precision == "bf16" and machine.compiler is not None
    with tempfile.TemporaryDirectory() as place:
        data = str(tree(source, Path(place), limit=40 if given.quick else None))
        work = Work(
            task="throughput", settings="best", data=data, batch_size=8 if given.quick else 32, workers=2,
            steps=given.steps, warmup=max(1, given.steps // 4), precision=precision, is_compiled=is_compiled,
            policy="randaugment", budget_s=given.budget_s, workspace=str(Path(place) / "workspace"),
        )  # fmt: skip
        models = {"vit_tiny_patch16_224": work}
        if machine.gpus and not given.quick:
            large = replace(work, batch_size=256, workers=machine.cores, steps=4 * given.steps)
            models |= {name: replace(large, model=name) for name in ("vit_small_patch16_224", "vit_base_patch16_224")}
        for name, one in models.items():
            measure(name, one, given, machine, source)


def measure(name: str, work: Work, given: argparse.Namespace, machine: Machine, source: str) -> None:
    settled = sides.settled(work, is_quick=given.quick)
    chosen = {
        "ViTScope": lambda: sides.images_per_s(sides.OURS, settled),
        "bare step": lambda: sides.images_per_s(sides.BARE, settled),
    }
    for peer, script in sides.PEERS.items():
        for settings in given.settings:
            one = replace(work, settings=settings)
            chosen[f"{peer}, {settings}"] = lambda script=script, one=one: sides.images_per_s(script, one)
    found = alternate(chosen, given.rounds)
    peers = [side for side in found if side not in ("ViTScope", "bare step")]
    best = max(peers, key=lambda side: Spread.of(found[side]).median)
    shares = {
        f"ViTScope / {best}": ratios(found["ViTScope"], found[best]),
        "ViTScope / bare step": ratios(found["ViTScope"], found["bare step"]),
    }
    flops = float(sides.run(sides.BARE, replace(work, steps=2, warmup=0))["flops_an_image"])
    peak = matrix_peak("cuda" if machine.gpus else "cpu", work.precision) * 1e9
    use = {"ViTScope, FLOPs use": [flops * rate / peak for rate in found["ViTScope"]]}
    write(
        f"throughput-{name}", found | shares | use, "images/s (ratios are shares of 1)",
        work=settled.__dict__, source=source, flops_an_image=flops, best_peer=best, is_quick=given.quick,
    )  # fmt: skip


if __name__ == "__main__":
    main()
