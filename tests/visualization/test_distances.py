"""Dots a head, means a layer, and what would be the same everywhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from matplotlib.text import Text

from vitscope.visualization import distances
from vitscope.visualization.distances import Panel, Reference

VALUES = np.array([[10.0, 20.0, 30.0], [40.0, 50.0, np.nan]])


def drawn(*panels: Panel, **more: str) -> Any:
    made = distances.figure(list(panels), **more)
    made.draw_without_rendering()
    return made


def panel_of(made: Any, title: str) -> Any:
    (axes,) = [axes for axes in made.axes if axes.get_title(loc="left") == title]
    return axes


def test_a_dot_a_head_and_a_line_through_the_means() -> None:
    axes = panel_of(drawn(Panel("Distance", "pixels", VALUES)), "Distance")
    dots, means = axes.lines
    assert dots.get_ydata().tolist()[:5] == [10, 20, 30, 40, 50]
    assert np.round(dots.get_xdata()).tolist() == [0, 0, 0, 1, 1, 1]  # at its layer, a little apart
    assert len(set(dots.get_xdata())) == 6
    assert means.get_ydata().tolist() == [20, 45]
    assert axes.get_ylim()[0] == 0 and (axes.get_xlabel(), axes.get_ylabel()) == ("layer", "pixels")


def test_spread_scale_and_reference() -> None:
    made = drawn(
        Panel("Share", "%", VALUES / 100, np.full((2, 3), 0.05), Reference("the same everywhere", 0.25), scale=100),
        title="Attention",
        told="over 32 pictures",
    )
    axes = panel_of(made, "Share")
    (segments,) = [c.get_segments() for c in axes.collections]
    assert segments[1][:, 1] == pytest.approx([15, 25])
    assert axes.lines[-1].get_ydata() == pytest.approx([25, 25])
    found = {text.get_text() for text in made.findobj(Text)}
    assert {"the same everywhere", "Attention", "over 32 pictures", "standard deviation over the pictures"} <= found


def test_one_head_and_one_layer() -> None:
    axes = panel_of(drawn(Panel("Distance", "pixels", np.array([[3.0]]))), "Distance")
    assert axes.lines[0].get_xdata().tolist() == [0]


def test_a_reference_may_differ_from_layer_to_layer() -> None:
    made = drawn(
        Panel("Distance", "pixels", VALUES, reference=Reference("the same everywhere", np.array([14.0, 28.0])))
    )
    axes = panel_of(made, "Distance")
    (segments,) = [c.get_segments() for c in axes.collections]
    assert [segment[:, 1].tolist() for segment in segments] == [[14, 14], [28, 28]]
    assert [round(float(segment[:, 0].mean())) for segment in segments] == [0, 1]
    (told,) = [text for text in axes.texts if text.get_text() == "the same everywhere"]
    assert told.xy == (1, 28)
