from __future__ import annotations

import pytest

from vitscope.training.horizon import Horizon
from vitscope.training.progress import Progress


def test_without_a_budget_a_step_is_a_step():
    horizon = Horizon(Progress(), 10)
    assert [horizon.position(step) for step in range(11)] == list(range(11))
    assert horizon.share(5) == 0.5
    assert horizon.total_steps == 10


def test_the_end_is_reached_after_the_last_step_and_finished_after_its_epoch():
    progress = Progress(step=10, step_in_epoch=2)
    assert Horizon(progress, 10).is_reached
    assert not Horizon(progress, 10).is_finished
    progress.close_epoch()
    assert Horizon(progress, 10).is_finished


@pytest.mark.parametrize("total", [20, 60, 400])
def test_moving_the_end_keeps_what_is_done_and_reaches_the_whole(total: int):
    progress = Progress(step=25)
    horizon = Horizon(progress, 100)
    horizon.move(25 + total)
    assert horizon.total_steps == 25 + total
    assert horizon.share(25) == pytest.approx(0.25)
    assert horizon.share(25 + total // 2) == pytest.approx(0.25 + 0.75 / 2)
    assert horizon.share(25 + total) == 1.0
    assert horizon.position(25 + total) == pytest.approx(horizon.total_steps)


def test_it_may_be_moved_often_and_never_goes_back():
    progress, shares = Progress(), []
    horizon = Horizon(progress, 100)
    for step in range(60):
        progress.step = step
        if step % 10 == 5:
            horizon.move(60 + step % 7)
        shares.append(horizon.share(step))
    assert shares == sorted(shares)
    assert len(set(shares)) == 60


def test_an_end_that_has_passed_is_now():
    horizon = Horizon(Progress(step=30), 100)
    horizon.move(10)
    assert (horizon.total_steps, horizon.is_reached) == (30, True)
