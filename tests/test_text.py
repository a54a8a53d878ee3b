from __future__ import annotations

import pytest

from vitscope import text


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1_500, "1.5 kB"),
        (25.3e9, "25.3 GB"),
        (2.4e12, "2.4 TB"),
        (3e15, "3000.0 TB"),
    ],
)
def test_sizes_are_in_powers_of_a_thousand(number: float, said: str):
    assert text.size(number) == said


def test_what_is_shown_has_no_power_over_a_terminal():
    assert text.shown("a\x1b[2Jb\nc\u202ed") == "a\\x1b[2Jb\\nc\\u202ed"
    assert text.shown("猫 👩‍🚀 [red]") == "猫 👩‍🚀 [red]"
    assert text.shown(b"\xff.png".decode("utf-8", "surrogateescape")) == "\\xff.png"


def test_lists_and_counts():
    assert text.some(["a", "b"]) == "'a', 'b'"
    assert text.some("abcde") == "'a', 'b', 'c' and 2 more"
    assert text.count(1, "image") == "1 image"
    assert text.count(1204, "class", "classes") == "1,204 classes"
