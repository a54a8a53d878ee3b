"""Alerts: what goes wrong in a training, or wastes its time, told once in plain words with what to do.

A detector is one file: a class with a `KIND` that is given every event and returns an `Alert` where something begins.
Detectors are deterministic and change nothing; thresholds are set so that a healthy run is quiet, late being better
than wrong (48 recorded runs on digits, shapes, clothes and CIFAR-10 give none).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from vitscope.events import Alert, Event, Notice, Observer
from vitscope.training.alerts.dead import DeadLayers, gradients
from vitscope.training.alerts.finite import NotFinite
from vitscope.training.alerts.onset import Onset, Situation
from vitscope.training.alerts.overfitting import Overfitting
from vitscope.training.alerts.plateau import Plateau
from vitscope.training.alerts.spike import LossSpike
from vitscope.training.alerts.starving import StarvingLoader

__all__ = [
    "Alerts",
    "DeadLayers",
    "Detector",
    "LossSpike",
    "NotFinite",
    "Onset",
    "Overfitting",
    "Plateau",
    "Situation",
    "StarvingLoader",
    "detectors",
    "gradients",
]

Detector = Callable[[Event], Alert | None]


def detectors(
    situation: Situation, layers: Callable[[], Mapping[str, float]], told: Collection[str] = ()
) -> list[Detector]:
    """One of each kind. `told` are the kinds that an earlier attempt has told: they are not told again until over."""
    return [
        NotFinite(situation),
        LossSpike(situation),
        Plateau(situation, Onset(Plateau.KIND in told)),
        Overfitting(situation, Onset(Overfitting.KIND in told)),
        DeadLayers(layers, Onset(DeadLayers.KIND in told)),
        StarvingLoader(situation, Onset(StarvingLoader.KIND in told)),
    ]


class Alerts:
    """Observer that tells what its detectors see. One that fails is left out from then on, told; training goes on."""

    def __init__(self, detectors: Sequence[Detector], tell: Observer):
        self.detectors, self._tell = list(detectors), tell

    def __call__(self, event: Event) -> None:
        for detector in list(self.detectors):
            try:
                alert = detector(event)
            except Exception as error:  # a wrong number is never worth a run
                self.detectors.remove(detector)
                name = type(detector).__name__
                self._tell(Notice(f"{name} failed ({type(error).__name__}: {error}); its alerts are off.", "warning"))
                continue
            if alert is not None:
                self._tell(alert)
