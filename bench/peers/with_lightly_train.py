"""LightlyTrain's image classification. As it comes: AdamW 3e-4, batches of 16, bf16, its own augmentation (crop, flips,
colour; it has no RandAugment), 100,000 steps unless epochs are given. At its best: precision and workers to suit.
"""

from __future__ import annotations

import os

os.environ["LIGHTLY_TRAIN_EVENTS_DISABLED"] = "true"  # it would send statistics

import json
import threading
import time
from pathlib import Path

import lightly_train
from work import Clock, Work, pictures

ACCURACY = "val_metric/top1_acc_micro"


def main() -> None:
    work = Work.given()
    clock = Clock(work)
    clock.images = size = work.batch_size or 16
    classes = sorted(p.name for p in (Path(work.data) / "train").iterdir())
    steps_per_epoch = pictures(Path(work.data))["train"] // size
    steps = work.epochs * steps_per_epoch if work.epochs else "auto"
    out = Path(work.scratch) / "lightly"
    options: dict = {"model_args": {}}
    if work.weights:
        options["model_args"]["backbone_weights"] = str(Path(work.weights) / "model.safetensors")
    if work.is_best:
        options |= {"precision": "bf16-mixed" if work.precision == "bf16" else "32-true", "num_workers": work.workers}
        options["torch_compile_args"] = {"disable": not work.is_compiled}
        options["model_args"] |= {"label_smoothing": 0.1, "weight_decay": 0.05}
    if work.task == "accuracy":
        options["logger_args"] = {"val_every_num_steps": max(1, steps_per_epoch)}
        threading.Thread(target=follow, args=(out, clock), daemon=True).start()
    lightly_train.train_image_classification(
        out=str(out),
        overwrite=True,
        model=f"timm/{work.model}",
        data={
            "train": f"{work.data}/train",
            "val": f"{work.data}/test",  # it is evaluated as the others are
            "classes": dict(enumerate(classes)),
        },
        steps=steps if work.task == "accuracy" else work.steps + 1,
        batch_size=size,
        gradient_accumulation_steps=1,
        seed=work.seed,
        transform_args={"image_size": (work.image_size, work.image_size)},
        **options,
    )
    time.sleep(1)  # for the last line
    clock.finish()


def follow(out: Path, clock: Clock) -> None:
    """Tell the clock of each evaluation as it is written down."""
    known = 0
    while True:
        for file in out.rglob("metrics.jsonl"):
            found = [row[ACCURACY] for row in map(json.loads, file.read_text().splitlines()) if ACCURACY in row]
            for accuracy in found[known:]:
                clock.tell(accuracy)
            known = len(found)
        time.sleep(0.3)


if __name__ == "__main__":
    main()
