"""How good a classifier is on a labelled split: accuracy with its interval, per class, confusion.

`Tally` takes the answers batch by batch (a million images fit in C × C numbers) and gives the finished `Evaluation`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import numpy as np

from vitscope.models.tta import TTA

Z_95 = 1.959963984540054  # two-sided 95 % quantile of the normal distribution


class Interval(NamedTuple):
    """Bounds of a 95 % confidence interval."""

    low: float
    high: float


@dataclass(frozen=True)
class ClassResult:
    """One class: images of it, how many were recognised, and the usual ratios (0 where nothing is divided)."""

    label: str
    count: int
    correct: int
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class Skipped:
    """An image that could not be used, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class Evaluation:
    """A report over `count` images. Accuracies lie in 0–1; `top5` is None where there are five classes or fewer."""

    split: str
    count: int
    loss: float  # mean cross-entropy, nats
    top1: float
    top1_interval: Interval  # Wilson, 95 %
    top5: float | None
    per_class: list[ClassResult]
    confusion: np.ndarray  # (C, C) int64: rows are the true classes, columns the predicted ones
    classes: tuple[str, ...]
    problems: list[Skipped] = field(default_factory=list)  # images left out
    notices: list[str] = field(default_factory=list)  # what a reader of the numbers should know
    tta: TTA = "none"  # whether each image was looked at alone or averaged with its mirror image

    @property
    def skipped(self) -> int:
        """How many images could not be used and were left out."""
        return len(self.problems)

    def to_dict(self) -> dict[str, Any]:
        """JSON values with stable keys, those of the attributes."""
        return {
            "split": self.split,
            "count": self.count,
            "loss": self.loss,
            "top1": self.top1,
            "top1_interval": list(self.top1_interval),
            "top5": self.top5,
            "per_class": [asdict(result) for result in self.per_class],
            "confusion": self.confusion.tolist(),
            "classes": list(self.classes),
            "skipped": self.skipped,
            "problems": [asdict(problem) for problem in self.problems],
            "notices": list(self.notices),
            "tta": self.tta,
        }


class Tally:
    """Counts answers as they come."""

    def __init__(self, classes: Sequence[str]):
        self.classes = tuple(classes)
        self.confusion = np.zeros((len(self.classes), len(self.classes)), np.int64)
        self.loss = 0.0
        self.top5 = 0

    def add(self, labels: np.ndarray, probabilities: np.ndarray) -> None:
        """(B,) true labels and (B, C) float probabilities. The first of equal probabilities counts as predicted."""
        np.add.at(self.confusion, (labels, probabilities.argmax(axis=1)), 1)
        given = probabilities[np.arange(len(labels)), labels]
        smallest = np.finfo(np.float32).tiny  # a probability that softmax rounds to 0 is not impossible
        self.loss -= float(np.log(np.maximum(given, smallest).astype(np.float64)).sum())
        ahead = (probabilities > given[:, None]).sum(axis=1)
        self.top5 += int((ahead < 5).sum())

    def evaluation(self, split: str, problems: Sequence[Skipped] = (), notices: Sequence[str] = ()) -> Evaluation:
        """The report of what was added; at least one image must have been."""
        count = int(self.confusion.sum())
        correct = int(np.trace(self.confusion))
        return Evaluation(
            split=split,
            count=count,
            loss=self.loss / count,
            top1=correct / count,
            top1_interval=wilson(correct, count),
            top5=self.top5 / count if len(self.classes) > 5 else None,
            per_class=_per_class(self.classes, self.confusion),
            confusion=self.confusion,
            classes=self.classes,
            problems=list(problems),
            notices=list(notices),
        )


def wilson(correct: int, count: int, z: float = Z_95) -> Interval:
    """Confidence interval of a proportion after Wilson (1927); sound near 0 and 1 and for few images."""
    share = correct / count
    scale = 1 + z * z / count
    centre = (share + z * z / (2 * count)) / scale
    half = z / scale * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    # At the ends the bound is exact; rounding must not push it past them.
    return Interval(0.0 if correct == 0 else centre - half, 1.0 if correct == count else centre + half)


def most_confused(evaluation: Evaluation, limit: int = 10) -> list[tuple[str, str, int]]:
    """(true class, predicted class, images) of the most frequent mistakes, most frequent first."""
    mistakes = evaluation.confusion.copy()
    np.fill_diagonal(mistakes, 0)
    order = np.argsort(-mistakes, axis=None, kind="stable")[:limit]
    rows, columns = np.unravel_index(order, mistakes.shape)
    names = evaluation.classes
    return [(names[r], names[c], int(mistakes[r, c])) for r, c in zip(rows, columns, strict=True) if mistakes[r, c] > 0]


def _per_class(classes: Sequence[str], confusion: np.ndarray) -> list[ClassResult]:
    correct = np.diagonal(confusion)
    count, predicted = confusion.sum(axis=1), confusion.sum(axis=0)
    precision, recall = correct / np.maximum(predicted, 1), correct / np.maximum(count, 1)
    f1 = 2 * correct / np.maximum(count + predicted, 1)
    return [
        ClassResult(label, int(count[i]), int(correct[i]), float(precision[i]), float(recall[i]), float(f1[i]))
        for i, label in enumerate(classes)
    ]
