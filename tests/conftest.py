"""Drawn pictures and tiny models: what most tests need, in milliseconds."""

from __future__ import annotations

import copy
import os
import signal
from collections.abc import Callable
from pathlib import Path

# Tests run beside each other: one thread each, and no spinning while it waits. Set before torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Started in the background, a shell has its children ignore Ctrl-C, and they theirs: here it is to be heard.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

import numpy as np
import pytest
from PIL import Image

TINY: dict[str, dict[str, object]] = {
    "model": {"image_size": 32, "kwargs": {"patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 2}},
    "train": {"epochs": 2, "batch_size": 8, "threads": 1, "device": "cpu"},
    "record": {"tensorboard": False, "charts": False, "snapshots": False},
    "data": {"workers": 0},
}


@pytest.fixture
def tiny() -> dict:
    """Options of a run that takes a second: a ViT of two blocks, two epochs, nothing drawn, mirrored or looked into."""
    return copy.deepcopy(TINY)


def draw_folder(root: Path, classes: dict[str, int], size: int = 24, split: str = "") -> Path:
    """`class/NNN.png` with `classes[name]` pictures each: noise around a colour of the class's own."""
    for label, (name, count) in enumerate(classes.items()):
        folder = root / split / name
        folder.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng([label, len(split)])
        colour = np.array([(label * 97) % 256, (label * 57 + 80) % 256, (label * 151 + 160) % 256])
        for i in range(count):
            pixels = np.clip(rng.normal(colour, 25, (size, size + 4, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"{i:03d}.png")
    return root


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of three classes, 40 pictures."""
    return draw_folder(tmp_path / "pictures", {"apple": 16, "pear": 14, "plum": 10})


@pytest.fixture
def make_pictures(tmp_path: Path) -> Callable[..., Path]:
    def make(classes: dict[str, int], name: str = "pictures", split: str = "", size: int = 24) -> Path:
        return draw_folder(tmp_path / name, classes, size, split)

    return make
