"""Made-up curves, told to a detector as the loop tells them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import numpy as np

from vitscope.events import Alert, EpochDone, Metric, Replanned, RunStarted, StepRecord, StepsDone
from vitscope.training.alerts import Detector, Situation

SITUATION = Situation(classes=10, validation=500, precision="fp32", workers=0, cores=2)


def steps(
    detector: Detector, losses: Iterable[float], first: int = 1, data_wait: float = 0.0, epoch: int = 0
) -> list[Alert]:
    """What is told of these losses, a step each."""
    records = [StepRecord(first + i, epoch, loss, 1e-3, 1.0, 100.0, data_wait) for i, loss in enumerate(losses)]
    return [alert for record in records if (alert := detector(StepsDone((record,)))) is not None]


def epochs(
    detector: Detector,
    train: Iterable[float],
    loss: Iterable[float] = (),
    top1: Iterable[float] = (),
    planned: int | None = None,
) -> list[Alert]:
    """What is told of a run of these epochs, ten steps each; `loss` and `top1` are validation's.

    `planned` epochs at first, until a time budget says how many there are.
    """
    train = list(train)
    detector(RunStarted(0, 10 * (planned or len(train)), planned or len(train), 10))
    if planned is not None:
        detector(Replanned(3, 10 * len(train), len(train), 1.0, 100.0))
    told = []
    for i, (of_train, of_val, right) in enumerate(itertools.zip_longest(train, loss, top1), 1):
        metrics = [Metric("train", "epoch_loss", of_train)]
        if of_val is not None:
            metrics += [Metric("val", "loss", of_val), Metric("val", "top1", right)]
        told.append(detector(EpochDone(10 * i, i, tuple(metrics), False)))
    return [alert for alert in told if alert is not None]


def falling(count: int, start: float, end: float, noise: float, seed: int = 0) -> np.ndarray:
    """(count,) losses that fall as they do in training, with lognormal noise of `noise`."""
    rng = np.random.default_rng(seed)
    course = end + (start - end) * np.exp(-4 * np.arange(count) / count)
    return course * np.exp(noise * rng.standard_normal(count))
