"""Waiting for data is told by its median over a hundred steps, with what to do on this machine."""

from __future__ import annotations

import pytest
from tests.training.alerts.curves import SITUATION, steps

from vitscope.training.alerts import Onset, StarvingLoader
from vitscope.training.alerts.starving import CACHE_OPTION, SKIPPED, STEPS

LONG = [1.0] * (STEPS + SKIPPED)


@pytest.mark.parametrize(("workers", "hint"), [(0, "--workers 2"), (2, "smaller pictures")])
def test_it_is_told_with_share_processes_and_cores(workers: int, hint: str):
    (alert,) = steps(StarvingLoader(SITUATION._replace(workers=workers), Onset()), LONG * 5, data_wait=0.67)
    assert (alert.step, alert.kind) == (STEPS + SKIPPED, "starving-loader")
    assert alert.text.startswith("67% of each step waits for data")
    assert "on 2 cores" in alert.text
    assert hint in alert.text
    assert CACHE_OPTION in alert.text


def test_the_pass_that_decodes_what_is_kept_does_not_count():
    kept = SITUATION._replace(is_cached=True)
    assert steps(StarvingLoader(kept, Onset()), LONG * 3, data_wait=0.9) == []
    (alert,) = steps(StarvingLoader(kept, Onset()), LONG, data_wait=0.9, epoch=1)
    assert alert.text.endswith("Next time: --workers 2.")
    (alert,) = steps(StarvingLoader(kept._replace(workers=2), Onset()), LONG, data_wait=0.9, epoch=1)
    assert alert.text.endswith("Next time: smaller pictures.")


def test_a_start_that_waits_and_a_share_that_is_usual_are_not():
    detector = StarvingLoader(SITUATION, Onset())
    told = steps(detector, [1.0] * (STEPS // 2), data_wait=0.99) + steps(detector, LONG * 3, data_wait=0.1)
    assert told + steps(StarvingLoader(SITUATION, Onset()), LONG * 3, data_wait=0.35) == []


def test_it_is_told_again_only_after_it_was_over():
    detector = StarvingLoader(SITUATION, Onset())
    told = [len(steps(detector, LONG, data_wait=share)) for share in (0.6, 0.3, 0.6, 0.1, 0.6)]
    assert told == [1, 0, 0, 0, 1]
    assert steps(StarvingLoader(SITUATION, Onset(is_told=True)), LONG * 2, data_wait=0.6) == []
