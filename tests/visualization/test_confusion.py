from __future__ import annotations

import numpy as np
import pytest
from matplotlib.text import Text

from vitscope.visualization import confusion

COUNTS = np.array([[8, 2, 0], [0, 0, 0], [1, 0, 3]])


def texts(counts: np.ndarray, classes: list[str]) -> list[str]:
    made = confusion.figure(counts, classes, "test: 79% right")
    made.draw_without_rendering()
    return [text.get_text() for text in made.findobj(Text)]  # type: ignore[attr-defined]


def test_colours_are_shares_of_the_true_class() -> None:
    axes = confusion.figure(COUNTS, ["a", "b", "c"]).axes[0]
    (image,) = axes.images
    shown = np.ma.asarray(image.get_array())
    assert shown[0].tolist() == [0.8, 0.2, 0]
    assert shown[2].tolist() == [0.25, 0, 0.75]
    assert shown.mask[1].all()  # no image of b: no share either
    assert not shown.mask[[0, 2]].any()
    assert (axes.get_ylabel(), axes.get_xlabel()) == ("true class", "predicted class")


def test_cells_tell_their_counts_and_axes_their_classes() -> None:
    found = texts(COUNTS * 1000, ["apple", "pear", "plum"])
    assert {"8,000", "2,000", "1,000", "3,000", "apple", "pear", "plum", "test: 79% right"} <= set(found)
    assert found.count("0") == 0  # an empty cell stays empty


@pytest.mark.parametrize(("classes", "named", "numbered"), [(20, True, True), (21, True, False), (61, False, False)])
def test_what_would_not_be_readable_is_left_out(classes: int, named: bool, numbered: bool) -> None:
    found = texts(np.eye(classes, dtype=int) * 777, [f"class {i}" for i in range(classes)])
    assert ("class 3" in found) == named
    assert ("777" in found) == numbered
