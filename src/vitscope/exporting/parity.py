"""The proof that an export does what the model did in training: on real pictures, from the image *file* on.

Three ways are held against each other: ours in torch; the exported file as its receiver runs it; and a preprocessing
that is not ours (`reference.py`), then torch. Probabilities alone would not do: a weak model answers alike whatever it
is shown. So the pixels that reach the model are compared too, and pictures that try each step are added (`probes.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import torch

from vitscope.errors import BadImage
from vitscope.exporting import probes, reference
from vitscope.exporting.formats import Exported
from vitscope.inference.predictor import batches
from vitscope.inference.torch_runtime import TorchPredictor
from vitscope.models.bundle import ModelBundle
from vitscope.preprocess import Preprocess, decode

PICTURES = 64  # real ones, or all of a smaller split
BATCH_SIZE = 16

# Largest differences in fp32. Pixels: as a share of the range that 0–255 becomes after mean and std.
LIMITS = {
    "probability": 1e-4,
    "probability_reference": 1e-4,
    "pixels": 1e-3,
    "pixels_reference": 1e-3,
}
TIE = 2e-4  # two classes whose probabilities are no further apart may change places

MEANING = {
    "probability": "probabilities of the export and of the model in torch differ",
    "probability_reference": "probabilities of the export and of the model after the reference preprocessing differ",
    "pixels": "the pixels that the export and this program feed to the model differ",
    "pixels_reference": "the pixels that this program and the reference preprocessing feed to the model differ",
}


class Measured(NamedTuple):
    """What was found for one picture: the largest differences, by the names in `LIMITS`, and whether top-1 agrees."""

    picture: str
    differences: dict[str, float]
    same_top1: bool

    @property
    def passed(self) -> bool:
        # Written so that NaN, which compares false with everything, fails.
        return self.same_top1 and all(self.differences[name] <= limit for name, limit in LIMITS.items())

    @property
    def badness(self) -> float:
        """Largest difference in units of its limit; infinite for what is no number."""
        return max(float(np.nan_to_num(self.differences[name] / limit, nan=np.inf)) for name, limit in LIMITS.items())


@dataclass(frozen=True)
class Parity:
    """The outcome over `images` real pictures and the probes."""

    images: int
    measured: list[Measured]
    left_out: list[str] = field(default_factory=list)
    wanted: int = 1  # real pictures without which the proof says too little

    @property
    def passed(self) -> bool:
        return self.images >= max(1, self.wanted) and all(one.passed for one in self.measured)

    @property
    def worst(self) -> dict[str, float]:
        """The largest difference of each kind."""
        return {name: float(np.max([one.differences[name] for one in self.measured], initial=0.0)) for name in LIMITS}

    @property
    def failures(self) -> list[str]:
        """What differs, in words; empty when all is well."""
        found = [
            f"{MEANING[name]} by up to {value:.2g} (limit {LIMITS[name]:g})"
            for name, value in self.worst.items()
            if not value <= LIMITS[name]
        ]
        if self.images < max(1, self.wanted):
            found.append(f"only {self.images} of {self.wanted} pictures could be compared")
        if changed := sum(not one.same_top1 for one in self.measured):
            found.append(f"the most probable class changes for {changed} of {len(self.measured)} pictures")
        return found

    def to_dict(self) -> dict[str, Any]:
        """JSON values; the pictures worst first. What is no number becomes null."""
        ordered = sorted(self.measured, key=lambda one: (one.passed, -one.badness))
        return {
            "passed": self.passed,
            "failures": self.failures,
            "images": self.images,
            "images_wanted": self.wanted,
            "probes": len(self.measured) - self.images,
            "left_out": self.left_out,
            "limits": {**LIMITS, "tie": TIE},
            "measured": {name: _finite(value) for name, value in self.worst.items()},
            "files": [
                {
                    "picture": one.picture,
                    "passed": one.passed,
                    "same_top1": one.same_top1,
                    **{name: _finite(value) for name, value in one.differences.items()},
                }
                for one in ordered
            ],
        }


class _Shown(NamedTuple):
    """A picture as this program decodes it, and the (3, S, S) pixels that the reference makes of its file."""

    name: str
    picture: np.ndarray
    reference: torch.Tensor


def prove(bundle: ModelBundle, exported: Exported, files: Iterable[Path], count: int = PICTURES) -> Parity:
    """Compare on the first `count` of `files` that are pictures, and on probes made from the first of them."""
    every = list(files)
    bad: dict[Path, BadImage] = {}
    real = _real(every, bundle.preprocess, bad)
    first = next(real, None)
    if first is None:
        return Parity(0, [], _told(bad), min(count, len(every)))
    with TemporaryDirectory() as scratch:
        tried = probes.make(first.picture, bundle.preprocess.size, Path(scratch))
        shown = chain([first], islice(real, count - 1), (_show(name, file, bundle.preprocess) for name, file in tried))
        measured = [
            one
            for batch in batches(shown, BATCH_SIZE, lambda item: item.picture.nbytes)
            for one in _compare(bundle, exported, batch)
        ]
    # Files that are no pictures are forgiven, up to a half of all; files that are gone are not.
    forgiven = min(sum(file.exists() for file in bad), len(every) // 2)
    return Parity(len(measured) - len(tried), measured, _told(bad), min(count, len(every) - forgiven))


def _real(files: Iterable[Path], p: Preprocess, bad: dict[Path, BadImage]) -> Iterator[_Shown]:
    for file in files:
        try:
            reference.check_shape(decode(file), p)
        except BadImage as reason:
            bad[file] = reason
        else:
            yield _show(str(file), file, p)


def _told(bad: dict[Path, BadImage]) -> list[str]:
    return [f"{file}: {reason}" for file, reason in bad.items()]


def _show(name: str, file: Path, p: Preprocess) -> _Shown:
    return _Shown(name, decode(file), reference.pixels(reference.decode(file), p))


def _compare(bundle: ModelBundle, exported: Exported, batch: Sequence[_Shown]) -> Iterator[Measured]:
    pictures = [item.picture for item in batch]
    model = TorchPredictor(bundle)
    device = next(bundle.module.parameters()).device
    fed, fed_by_reference, fed_by_export = (
        model.pixels(pictures),
        torch.stack([item.reference for item in batch]),
        exported.pixels(pictures),
    )
    ours, theirs = model(pictures), exported(pictures)
    by_reference = bundle.probabilities(fed_by_reference.to(device)).cpu().numpy()
    for i, item in enumerate(batch):
        differences = {
            "probability": _largest(theirs[i] - ours[i]),
            "probability_reference": _largest(theirs[i] - by_reference[i]),
            "pixels": _share_of_range(fed_by_export[i] - fed[i], bundle.preprocess),
            "pixels_reference": _share_of_range(fed[i] - fed_by_reference[i], bundle.preprocess),
        }
        same = _same_top1(ours[i], theirs[i]) and _same_top1(by_reference[i], theirs[i])
        yield Measured(item.name, differences, same)


def _largest(difference: np.ndarray) -> float:
    return float(np.abs(difference).max())


def _share_of_range(difference: torch.Tensor, p: Preprocess) -> float:
    """0–255 becomes a range of 1 / std after normalising."""
    return float((difference.abs() * torch.tensor(p.std).view(3, 1, 1)).max())


def _same_top1(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether the most probable class agrees, or `one` itself holds the two for a tie."""
    return bool(one.max() - one[other.argmax()] <= TIE)


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
