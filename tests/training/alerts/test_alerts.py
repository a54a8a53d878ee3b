"""The observer: nothing of a detector's reaches training, and every kind has a name of its own."""

from __future__ import annotations

from tests.training.alerts.curves import SITUATION

from vitscope.events import Alert, Event, Notice, RunEnded
from vitscope.training.alerts import Alerts, detectors


def test_a_detector_that_fails_is_left_out_and_told():
    def broken(event: Event) -> Alert | None:
        raise ZeroDivisionError("a mean of nothing")

    told: list[Event] = []
    watch = Alerts([broken, lambda event: Alert(1, "plateau", "text")], told.append)
    for _ in range(2):
        watch(RunEnded(1, "finished"))
    assert [type(event) for event in told] == [Notice, Alert, Alert]
    assert "a mean of nothing" in getattr(told[0], "text", "")


def test_kinds():
    kinds = [getattr(d, "KIND", None) for d in detectors(SITUATION, dict)]
    assert kinds == ["not-finite", "loss-spike", "plateau", "overfitting", "dead-layers", "starving-loader"]
