"""timm's own `train.py`, which is in its repository and not on PyPI: the variable TIMM_TRAIN says where the file is.

As it comes: SGD by its rule for the rate, batches of 128, colour jitter, 300 epochs, 5 of them warm-up. At its best:
AdamW 1e-3 (1e-4 from given weights), weight decay 0.05, RandAugment, 60 epochs, batches of 64, with precision and
workers to suit. Throughput: the crops, flips and policy of the work, AdamW.
"""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path
from typing import Any

import torch
from timm import utils
from work import Clock, Work

SCRIPT = os.environ.get("TIMM_TRAIN", "")


def arguments(work: Work, classes: int, size: int) -> list[str]:
    """Of the command line."""
    asked: dict[str, Any] = {
        "data-dir": work.data,
        "train-split": "train",
        "val-split": "test",
        "model": f"local-dir:{work.weights}" if work.weights else work.model,
        "num-classes": classes,
        "img-size": work.image_size,
        "model-kwargs": f"img_size={work.image_size}",
        "device": "cuda" if torch.cuda.is_available() else "cpu",
        "batch-size": size,
        "output": work.scratch,
        "seed": work.seed,
    }
    if work.is_best or work.task == "throughput":
        asked |= {"opt": "adamw", "lr": 1e-4 if work.weights else 1e-3, "weight-decay": 0.05}
    if work.policy == "randaugment" or (work.is_best and work.task == "accuracy"):
        asked["aa"] = "rand-m9-mstd0.5"
    if work.is_best:
        asked |= {"workers": work.workers, "epochs": 60}
        if work.is_compiled:
            asked["torchcompile"] = "inductor"
    if work.epochs:
        asked["epochs"] = work.epochs
    words = [word for name, value in asked.items() for word in (f"--{name}", str(value))]
    words += ["--pretrained"] if work.weights else []
    return words + (["--amp", "--amp-dtype", "bfloat16"] if work.is_best and work.precision == "bf16" else [])


def main() -> None:
    if not Path(SCRIPT).is_file():
        raise SystemExit("TIMM_TRAIN names no file: set it to the train.py of a clone of timm's repository.")
    work = Work.given()
    clock = Clock(work)
    clock.images = size = work.batch_size or (64 if work.is_best else 128)

    def noted(epoch: int, train: Any, evaluated: dict[str, float] | None, *_: Any, **__: Any) -> None:
        if evaluated and work.task == "accuracy":
            clock.tell(evaluated["top1"] / 100)

    utils.update_summary = noted  # what the script calls after each epoch
    classes = sum(folder.is_dir() for folder in (Path(work.data) / "train").iterdir())
    sys.argv = [SCRIPT, *arguments(work, classes, size)]
    runpy.run_path(SCRIPT, run_name="__main__")
    clock.finish()


if __name__ == "__main__":
    main()
