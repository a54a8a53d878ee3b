"""What was computed and may be asked for again: the last of it stays in memory, as far as there is room."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from typing import Any

import numpy as np
import torch


class Kept:
    """By key. The least recently used goes when all together take more than `most_bytes`; the last asked for stays."""

    def __init__(self, most_bytes: float):
        self._most_bytes = most_bytes
        self._by_key: OrderedDict[Hashable, Any] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """What is kept under `key`, made now where nothing is."""
        if key not in self._by_key:
            self._by_key[key] = make()
            sizes = {name: size_of(value) for name, value in self._by_key.items()}
            total = sum(sizes.values())
            while total > self._most_bytes and len(self._by_key) > 1:
                oldest, _ = self._by_key.popitem(last=False)
                total -= sizes[oldest]
        self._by_key.move_to_end(key)
        return self._by_key[key]

    def values(self) -> list[Any]:
        return list(self._by_key.values())

    def clear(self) -> None:
        self._by_key.clear()


def size_of(value: Any) -> int:
    """Bytes of the arrays, tensors and texts in a value, and about what holds them together."""
    match value:
        case np.ndarray() | torch.Tensor():
            return value.nbytes
        case str() | bytes():
            return len(value) + 50
        case Mapping():
            return 100 + sum(size_of(part) + 100 for part in value.values())
        case list() | tuple():
            return 50 + sum(map(size_of, value))
        case _:
            return size_of(vars(value)) if hasattr(value, "__dict__") else 30
