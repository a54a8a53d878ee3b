"""What stays in memory: by bytes, the least recently used first to go."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from vitscope.workflows.kept import Kept, size_of


def test_what_takes_too_much_room_goes() -> None:
    kept, made = Kept(2500), []

    def get(name: str, floats: int = 100) -> np.ndarray:
        return kept.get(name, lambda: made.append(name) or np.zeros(floats))

    get("a"), get("b"), get("c")
    get("a")  # now b is the oldest
    assert made == ["a", "b", "c"]
    get("d")
    get("a"), get("c"), get("d")
    assert made == ["a", "b", "c", "d"]
    get("b")
    assert made[-1] == "b"
    get("large", 10_000)  # alone, whatever its size
    assert [len(value) for value in kept.values()] == [10_000]


class Pair(NamedTuple):
    name: str
    values: np.ndarray


class Thing:
    def __init__(self) -> None:
        self.inside = {"x": [torch.zeros(1000), Pair("n", np.zeros(500, np.float64))]}


def test_size_is_that_of_all_arrays_inside() -> None:
    assert 8000 <= size_of(Thing()) < 9000
    assert 100_000 <= size_of({"data": "x" * 100_000}) < 101_000
