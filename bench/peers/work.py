"""The work that ViTScope and every peer are given, the clock that times them, and the answer they print.

Runs in the environment of the peers as well as in ViTScope's own: torch, torchvision and timm are all it needs.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

BEGAN = time.perf_counter()  # of the process, but for the interpreter's own start
MARK = "ANSWER "  # before the JSON that a side prints; trainers print much else
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Work:
    """One training, given as JSON on the command line.

    `data` is a folder with train, val and test folders of class folders. `settings`: the peer as it comes (`default`),
    or with `precision`, `is_compiled` and `workers` that suit the machine (`best`). Throughput ends after `steps`
    optimizer steps, of which the first `warmup` do not count; accuracy after `epochs`, or the peer's own number of
    them. Either ends after `budget_s`. With `turn` the process stops itself, its workers too, after so many steps, each
    time until it is continued: so two sides share a machine by turns of some seconds (`sides/turns.py`).
    """

    task: str  # throughput or accuracy
    settings: str  # default or best
    data: str
    model: str = "vit_tiny_patch16_224"
    weights: str | None = None  # a folder for timm's local-dir, with pretrained weights of the model
    image_size: int = 224
    batch_size: int | None = None  # None: the peer's own
    epochs: int | None = None
    steps: int = 0
    warmup: int = 0
    turn: int = 0
    workers: int = 2
    precision: str = "fp32"
    is_compiled: bool = False
    policy: str | None = None  # randaugment
    seed: int = 0
    budget_s: float = 3600.0
    scratch: str = ""  # a folder to write in
    options: tuple[str, ...] = ()  # ViTScope's own, as `--set` takes them
    workspace: str = ""  # ViTScope's, where a dashboard looks

    @property
    def is_best(self) -> bool:
        return self.settings == "best"

    @classmethod
    def given(cls) -> Work:
        told = json.loads(sys.argv[1])
        return cls(**{**told, "options": tuple(told.get("options", ()))})


class Clock:
    """Notes the time of every optimizer step in this process, whoever takes it, and ends the process when it is time.

    `images` a step must be set before the first one.
    """

    def __init__(self, work: Work):
        from torch.optim.optimizer import register_optimizer_step_post_hook

        self.work, self.images = work, work.batch_size or 0
        self.times: list[float] = []
        self.turn_began = 0.0
        self.curve: list[tuple[float, float]] = []  # seconds since the start of the process, test accuracy
        register_optimizer_step_post_hook(self._step)

    def tell(self, test_accuracy: float) -> None:
        """Note a point of the curve; `test_accuracy` as a share of 1."""
        self.curve.append((time.perf_counter() - BEGAN, float(test_accuracy)))

    def finish(self) -> NoReturn:
        """Print the answer and end, with the workers."""
        images_per_s = 0.0
        if len(self.times) > self.work.warmup + 1:
            first, *_, last = self.times[self.work.warmup :]
            images_per_s = self.images * (len(self.times) - self.work.warmup - 1) / (last - first)
        answer = {
            "images_per_s": images_per_s,
            "seconds": time.perf_counter() - BEGAN,
            "steps": len(self.times),
            "images_a_step": self.images,
            "curve": self.curve,
            "test": self.curve[-1][1] if self.curve else None,
            "pictures": pictures(Path(self.work.data)),
        }
        print(f"\n{MARK}{json.dumps(answer)}", flush=True)
        for child in multiprocessing.active_children():
            child.kill()
        os._exit(0)  # no farewell of the trainer counts

    def _step(self, *_: Any) -> None:
        is_last = self.work.task == "throughput" and len(self.times) + 1 == self.work.steps
        if is_last or len(self.times) == self.work.warmup:
            _wait_for_device()
        self.times.append(time.perf_counter())
        if self.work.turn and len(self.times) >= self.work.warmup:
            self._take_turns()
        elif is_last or time.perf_counter() - BEGAN > self.work.budget_s:
            self.finish()

    def _take_turns(self) -> None:
        if (len(self.times) - self.work.warmup) % self.work.turn:
            return
        _wait_for_device()
        rate = self.images * self.work.turn / (time.perf_counter() - self.turn_began)
        print(f'\n{MARK}{{"turn": {rate if self.turn_began else 0.0}}}', flush=True)
        os.killpg(0, signal.SIGSTOP)
        self.turn_began = time.perf_counter()


def _wait_for_device() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def pictures(data: Path) -> dict[str, int]:
    """The number of files of each split."""
    return {split.name: sum(p.is_file() for p in split.rglob("*")) for split in sorted(data.iterdir())}


# ---------------------------------------------------------------------------------------------- parts of a trainer


def training_transform(work: Work, *, is_plain: bool = False) -> Any:
    """RandomResizedCrop and flip, RandAugment where the work asks for it; `is_plain`: resized and no more."""
    from torchvision.transforms import v2

    size, normal = (work.image_size, work.image_size), [v2.ToTensor(), v2.Normalize(MEAN, STD)]
    if is_plain:
        return v2.Compose([v2.Resize(size), *normal])
    policy = [v2.RandAugment()] if work.policy == "randaugment" else []
    return v2.Compose([v2.RandomResizedCrop(size), v2.RandomHorizontalFlip(), *policy, *normal])


def evaluation_transform(work: Work) -> Any:
    """Resize to 256 for 224, and the centre of it."""
    from torchvision.transforms import v2

    side = work.image_size
    return v2.Compose([v2.Resize(round(side * 256 / 224)), v2.CenterCrop(side), v2.ToTensor(), v2.Normalize(MEAN, STD)])


def folder(work: Work, split: str, transform: Any) -> Any:
    """The split as torchvision reads it."""
    from torchvision.datasets import ImageFolder

    return ImageFolder(Path(work.data) / split, transform)


def model(work: Work, classes: int) -> Any:
    """timm's model with a new head, from `weights` or from random ones."""
    import timm

    if work.weights:
        return timm.create_model(
            f"local-dir:{work.weights}", pretrained=True, num_classes=classes, img_size=work.image_size
        )
    return timm.create_model(work.model, num_classes=classes, img_size=work.image_size)
