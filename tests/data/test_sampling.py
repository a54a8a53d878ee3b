from __future__ import annotations

import numpy as np

from vitscope.data.loader import _EpochPlan
from vitscope.data.sampling import balanced

LABELS = np.repeat([0, 1, 3], [100, 7, 1])  # no picture of class 2


def test_each_class_comes_equally_often_and_none_twice_before_all_have_come():
    rows, earlier = balanced(LABELS, 100, seed=4, epoch=0)
    counts = np.bincount(LABELS[rows], minlength=4)
    assert sorted(counts.tolist()) == [0, 33, 33, 34]
    for row in np.unique(rows):
        assert sorted(earlier[rows == row]) == list(range((rows == row).sum()))
    middle = np.bincount(rows[LABELS[rows] == 1])[100:]
    assert set(middle.tolist()) <= {33 // 7, -(-34 // 7)}
    assert len(np.unique(rows[LABELS[rows] == 0])) == counts[0]


def test_drawn_from_seed_and_epoch_alone():
    one, same = balanced(LABELS, 60, 1, 2), balanced(LABELS, 60, 1, 2)
    assert np.array_equal(one.rows, same.rows)
    for other in (balanced(LABELS, 60, 1, 3), balanced(LABELS, 60, 2, 2)):
        assert not np.array_equal(one.rows, other.rows)


def test_the_odd_draws_go_to_other_classes_in_other_epochs():
    first = [int(np.bincount(LABELS[balanced(LABELS, 100, 0, epoch).rows]).argmax()) for epoch in range(12)]
    assert set(first) == {0, 1, 3}


def test_every_view_of_an_epoch_is_another_and_the_rest_of_one_is_its_end():
    plan = _EpochPlan(LABELS, 12, seed=0, repeats=2, sampling="balanced")
    batches = list(plan)
    assert len(batches) == len(plan) == 9
    keys = [key for batch in batches for key in batch]
    assert len(set(keys)) == len(keys) == 108  # augmentation is keyed by them
    counts = np.bincount(LABELS[[key.row for key in keys]], minlength=4)
    assert counts.tolist() == [36, 36, 0, 36]
    plan.start = 5
    assert list(plan) == batches[5:]
