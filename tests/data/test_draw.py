from __future__ import annotations

import hashlib

import numpy as np

from vitscope.data import draw


def test_a_key_always_gives_the_same_stream_and_others_give_others():
    first = draw.generator("augment", 0, 3, "abc").random(4)
    assert np.array_equal(first, draw.generator("augment", 0, 3, "abc").random(4))
    others = [("augment", 0, 4, "abc"), ("augment", 1, 3, "abc"), ("augment", 0, 3, "abd"), ("mix", 0, 3, "abc")]
    assert all(not np.array_equal(first, draw.generator(*key).random(4)) for key in others)


def test_a_stream_is_that_of_philox_with_a_hash_as_its_key():
    digest = hashlib.blake2b(b"augment\0000\0003\000abc", digest_size=16).digest()
    expected = np.random.Generator(np.random.Philox(key=np.frombuffer(digest, dtype=np.uint64)))
    found = draw.generator("augment", 0, 3, "abc")
    assert np.array_equal(found.random(9), expected.random(9))
    assert found.integers(1000) == expected.integers(1000)
    assert found.beta(0.4, 0.4) == expected.beta(0.4, 0.4)


def test_parts_of_a_key_cannot_be_shifted_into_each_other():
    assert draw.generator("a", 1, 23).random() != draw.generator("a", 12, 3).random()


def test_the_order_is_a_permutation_of_its_epoch():
    orders = [draw.order(100, 7, epoch) for epoch in range(3)]
    assert all(sorted(o) == list(range(100)) for o in orders)
    assert not np.array_equal(orders[0], orders[1])
    assert np.array_equal(orders[2], draw.order(100, 7, 2))


def test_streams_are_uniform_and_independent_enough():
    firsts = np.array([draw.generator("augment", 0, 0, f"sample-{i}").random() for i in range(4000)])
    assert abs(firsts.mean() - 0.5) < 0.02  # about four standard errors
    assert abs(np.corrcoef(firsts[:-1], firsts[1:])[0, 1]) < 0.06
