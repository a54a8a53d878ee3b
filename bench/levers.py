"""What a lever is worth: a recipe with and without it, over seeds, judged on a part of the training pictures.

    python bench/levers.py SOURCE [--recipe NAME] [--levers muon,growing,…] [--seeds 3]
                           [--epochs 20 | --time-budget 10m] [--set group.option=value …]

The test split is never looked at: it is set aside, a quarter of the rest chooses, three quarters are trained on. Prints
a table: validation accuracy of the last epoch, its difference to the recipe as it is, images/s. `--levers` takes names
of the table below, or for one of your own `name:option=value;option=value`. Asserts nothing. Each run is kept as it
ends: the same command goes on where it was stopped, as long as the source is the same commit's.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from measuring import RESULTS, facts, write

import vitscope

QUIET = ["record.tensorboard=false", "record.charts=false", "record.snapshots=false"]
CHOOSING = ["data.val_fraction=0.25"]  # of what is not test

LEVERS: dict[str, list[str]] = {
    "muon": ["optim.name=muon"],
    "adamw": ["optim.name=adamw", "optim.lr=1e-3"],
    "schedule-free": ["optim.name=schedulefree", "optim.lr=1e-3"],
    "no-smoothing": ["train.label_smoothing=0"],
    "no-drop-path": ["model.drop_path=0"],
    "ema": ["train.ema_decay=0.99"],
    "mixup": ["augment.mixup=0.4"],
    "cutmix": ["augment.cutmix=1.0"],
    "randaugment": ["augment.policy=randaugment"],
    "trivial": ["augment.policy=trivial"],
    "three": ["augment.policy=three"],
    "erase": ["augment.erase=0.25"],
    "repeats": ["augment.repeats=2"],
    "flip": ["augment.flip=0.5"],
    "no-moves": ["augment.rotate=0", "augment.scale=0", "augment.shear=0", "augment.translate=0"],
    "no-light": ["augment.brightness=0", "augment.contrast=0"],
    "hard-crops": ["augment.crop_scale=[0.35, 1.0]", "augment.crop_ratio=[0.75, 1.33]"],
    "growing": ["schedule.start_size=0.5"],
    "not-growing": ["schedule.start_size=1"],
    "patch-drop": ["model.patch_drop=0.25"],
    "patch-stem": ["model.name=vit_tiny_patch16_224"],
    "conv-stem": ["model.name=vit_tiny_convstem"],
    "wide-mlp": ["model.kwargs.mlp_ratio=4.0"],
    "registers": ["model.registers=4"],
    "class-token": ["model.kwargs.global_pool=token", "model.kwargs.class_token=true"],
    "layer-decay": ["optim.layer_decay=0.75"],
    "class-weights": ["train.class_weights=balanced"],
    "balanced": ["data.sampling=balanced"],
    "tta": ["train.tta=flip"],
    "half-frozen": ["model.frozen=0.5"],
    "pos-embed-antialias": ["model.pos_embed=antialias"],
    "pos-embed-plain": ["model.pos_embed=plain"],
}


def main() -> None:
    a = arguments()
    levers = {"as it is": []} | dict(chosen(text) for text in a.levers.split(",") if text)
    runs: list[dict[str, Any]] = []
    kept = RESULTS / f"levers-{Path(a.source).name}.runs.jsonl"
    commit = facts()["commit"]
    with tempfile.TemporaryDirectory() as place:
        for seed in range(a.seeds):
            for name, assignments in levers.items():
                key = {"commit": commit, "source": a.source, "recipe": a.recipe, "lever": name, "seed": seed}
                key |= {"assignments": [*length(a), *a.set, *assignments]}
                if (run := known(kept, key)) is None:
                    run = key | trained(a, [*a.set, *assignments], seed, Path(place))
                    kept.parent.mkdir(exist_ok=True)
                    with kept.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(run) + "\n")
                runs.append(run)
                print(f"seed {seed}  {name:16} {runs[-1]['val_top1']:.2%}  {runs[-1]['seconds']:.0f} s", flush=True)
    told(a, runs, list(levers))


def chosen(text: str) -> tuple[str, list[str]]:
    """A lever's name and assignments; of the table, or `name:option=value;option=value`."""
    name, colon, own = text.partition(":")
    return (name, own.split(";")) if colon else (name, LEVERS[name])


def known(kept: Path, key: dict[str, Any]) -> dict[str, Any] | None:
    """The run of this key, from an earlier call of the same command; None where there is none."""
    lines = kept.read_text(encoding="utf-8").splitlines() if kept.exists() else []
    return next((run for run in map(json.loads, lines) if {name: run.get(name) for name in key} == key), None)


def length(a: argparse.Namespace) -> list[str]:
    """How long each run is, as an option."""
    return [f"train.time_budget={a.time_budget}"] if a.time_budget else [f"train.epochs={a.epochs}"]


def trained(a: argparse.Namespace, assignments: list[str], seed: int, place: Path) -> dict[str, Any]:
    """One run: accuracy on the pictures that choose, after its last epoch; steps, seconds and images/s."""
    given = {"recipe": a.recipe} if a.recipe else {}
    began = time.monotonic()
    run = vitscope.train(
        a.source, workspace=place, seed=seed, assignments=[*QUIET, *CHOOSING, *length(a), *assignments], **given
    )
    seconds = time.monotonic() - began
    frame = run.metrics()
    val = frame[(frame["split"] == "val") & (frame["name"] == "top1")]["value"]
    speed = frame[frame["name"] == "images_per_s"]["value"]
    return {
        "val_top1": float(val.iloc[-1]),
        "best_val_top1": float(val.max()),
        "steps": int(frame["step"].max()),
        "seconds": seconds,
        "images_per_s": float(speed.median()),
    }


def told(a: argparse.Namespace, runs: list[dict[str, Any]], names: list[str]) -> None:
    """The table and the file of all runs: accuracy in %, differences in points, seed by seed."""
    by_name = {name: [run for run in runs if run["lever"] == name] for name in names}
    base = [run["val_top1"] for run in by_name[names[0]]]
    rows: dict[str, list[float]] = {}
    for name, own in by_name.items():
        rows[f"{name}: validation, %"] = [100 * run["val_top1"] for run in own]
        if name != names[0]:
            rows[f"{name}: difference, points"] = [
                100 * (run["val_top1"] - before) for run, before in zip(own, base, strict=True)
            ]
        rows[f"{name}: images/s"] = [run["images_per_s"] for run in own]
    about = f"recipe {a.recipe or 'auto'}, {a.time_budget or f'{a.epochs} epochs'} {' '.join(a.set)}".rstrip()
    write(f"levers-{Path(a.source).name}", rows, about, arguments=vars(a), runs=runs)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("--recipe")
    parser.add_argument("--levers", default="")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--time-budget")
    parser.add_argument("--set", action="append", default=[])
    return parser.parse_args()


if __name__ == "__main__":
    main()
