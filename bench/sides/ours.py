"""ViTScope with the same work, timed by the same clock; everything is recorded, as it is by default."""

from __future__ import annotations

from typing import Any

from peers.work import Clock, Work  # first: its clock starts here

import vitscope
from vitscope.events import EpochDone, Event


def same_work(work: Work) -> dict[str, Any]:
    """The peers' crops, flips and policy, one long epoch."""
    return {
        "recipe": "scratch",
        "model": {"name": work.model, "image_size": work.image_size, "drop_path": 0.0},
        "data": {"workers": work.workers},
        "augment": {"crop_scale": [0.08, 1.0], "flip": 0.5, "policy": work.policy},
        "train": {"batch_size": work.batch_size, "epochs": 1000},
    }


def own_recipe(work: Work) -> dict[str, Any]:
    """What `auto` chooses, or what the options say."""
    asked: dict[str, Any] = {"train": {"epochs": work.epochs}} if work.epochs else {}
    if work.weights:
        asked["model"] = {"name": f"local-dir:{work.weights}", "pretrained": True}
    return asked


def main() -> None:
    work = Work.given()
    clock = Clock(work)

    def watch(event: Event) -> None:
        if isinstance(event, EpochDone):
            found = {(m.split, m.name): m.value for m in event.metrics}
            if ("test", "top1") in found:  # some epochs of a short run are not evaluated
                clock.tell(found["test", "top1"])

    asked = same_work(work) if work.task == "throughput" else own_recipe(work)
    clock.images = work.batch_size or 0
    vitscope.train(
        work.data,
        workspace=work.workspace or work.scratch,
        seed=work.seed,
        observers=[watch],
        assignments=work.options,
        **asked,
    )
    clock.finish()


if __name__ == "__main__":
    main()
