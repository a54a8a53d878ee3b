"""The table of export formats, by name. A format is one file: a module with what `Format` lists."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from vitscope.exporting.formats import onnx, safetensors
from vitscope.inference.predictor import Predictor
from vitscope.models.bundle import ModelBundle


class Exported(Predictor, Protocol):
    """An export as its receiver runs it, open for the proof."""

    def pixels(self, pictures: Sequence[np.ndarray]) -> torch.Tensor:
        """(N, 3, S, S) float32: what the exported model is fed for these pictures."""
        ...


class Format(Protocol):
    """One way to hand a model on."""

    FILE: str  # the file that is proven; whatever else is written belongs to it

    def require(self) -> None:
        """Raise `RequestError` when an optional package is missing."""
        ...

    def write(self, bundle: ModelBundle, folder: Path) -> None:
        """Write the export into an existing folder. Raises `WorkFailed`."""
        ...

    def read(self, folder: Path) -> Exported:
        """Open what `write` wrote, from the files alone."""
        ...


FORMATS: dict[str, Format] = {"onnx": onnx, "safetensors": safetensors}
