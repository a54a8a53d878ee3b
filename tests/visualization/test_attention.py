"""The figure of attention: what stands where, and which colour a patch gets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.text import Text

from vitscope.visualization import attention, style

PICTURE = np.full((32, 32, 3), 128, np.uint8)


def drawn(layers: int, heads: int, **more: Any):
    maps = np.random.default_rng(0).random((layers, heads, 4, 4))
    made = attention.figure(
        PICTURE, maps, more.pop("rollout", maps[0, 0]), layers=range(layers), heads=range(heads), **more
    )
    made.draw_without_rendering()
    return made


def texts(made: Any) -> list[str]:
    return [text.get_text() for text in made.findobj(Text) if text.get_visible()]


def titled(made: Any, title: str) -> Any:
    (axes,) = [axes for axes in made.axes if axes.get_title(loc="left") == title]
    return axes


def test_a_patch_has_the_colour_of_its_share_of_the_largest_over_grey() -> None:
    values = np.zeros((4, 4))
    values[1, 2], values[3, 0] = 0.2, 0.1
    shown = attention.over(PICTURE, values)
    viridis = mpl.colormaps["viridis"]
    for (row, column), share in {(1, 2): 1.0, (3, 0): 0.5, (0, 0): 0.0}.items():
        patch = shown[row * 8 : row * 8 + 8, column * 8 : column * 8 + 8].reshape(-1, 3)
        assert (patch == patch[0]).all()  # a patch stays a square
        alpha = 0.35 + 0.45 * share
        expected = np.array(viridis(share)[:3]) * 255 * alpha + 128 * (1 - alpha)
        assert patch[0] == pytest.approx(expected, abs=3)


def test_a_map_of_zeros_and_another_size_are_drawn() -> None:
    assert attention.over(PICTURE, np.zeros((4, 4)), side=16).shape == (16, 16, 3)


def test_layers_stand_side_by_side_and_heads_below_each_other() -> None:
    made = drawn(12, 6, title="Attention · mine", told="predicted star", whose="the class token")
    axes = titled(made, "attention of the class token")
    assert [t.get_text() for t in axes.get_xticklabels()] == [str(n) for n in range(12)]
    assert [t.get_text() for t in axes.get_yticklabels()] == [str(n) for n in range(6)]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("layer", "head")
    assert {"Attention · mine", "predicted star", "picture", "rollout, all layers"} <= set(texts(made))


def test_each_map_stands_at_its_layer_and_head() -> None:
    maps = np.zeros((3, 2, 2, 2))
    for layer, head in np.ndindex(3, 2):
        maps[layer, head].flat[(layer + 2 * head) % 4] = 1.0
    made = attention.figure(PICTURE, maps, layers=[0, 1, 2], heads=[0, 1])
    made.draw_without_rendering()
    (image,) = titled(made, "attention of the class token").images
    canvas = np.asarray(image.get_array(), float)
    step_y, step_x = canvas.shape[0] / 2, canvas.shape[1] / 3
    yellow = np.array(mpl.colormaps["viridis"](1.0)[:3]) * 255 * 0.8 + 128 * 0.2
    for layer, head in np.ndindex(3, 2):
        small = canvas[int(head * step_y) : int((head + 1) * step_y), int(layer * step_x) : int((layer + 1) * step_x)]
        half = int(len(small) / 2 * 0.9)
        means = [np.abs(small[y : y + 5, x : x + 5] - yellow).mean() for y in (2, half + 6) for x in (2, half + 6)]
        assert int(np.argmin(means)) == (layer + 2 * head) % 4


@pytest.mark.parametrize(("heads", "words"), [(6, "layer 7, heads 0 to 5, row by row"), (1, "layer 7, head 0")])
def test_one_layer_is_drawn_large(heads: int, words: str) -> None:
    maps = np.random.default_rng(0).random((1, heads, 4, 4))
    made = attention.figure(PICTURE, maps, layers=[7], heads=range(heads))
    made.draw_without_rendering()
    assert titled(made, "attention of the class token").get_xlabel() == words


def test_a_mask_is_outlined_and_missing_heads_stay_white() -> None:
    maps = np.random.default_rng(0).random((2, 2, 4, 4))
    maps[1, 1] = np.nan
    mask = np.zeros((32, 32), np.uint8)
    mask[8:20, 8:20] = 255
    made = attention.figure(PICTURE, maps, maps[0, 0], layers=[0, 1], heads=[0, 1], mask=mask)
    made.draw_without_rendering()
    assert len(titled(made, "picture").collections) == len(titled(made, "rollout, all layers").collections) == 1
    (image,) = titled(made, "attention of the class token").images
    canvas = np.asarray(image.get_array())
    height, width = canvas.shape[:2]
    assert (canvas[height * 3 // 4, width * 3 // 4] == 255).all() and (canvas[height // 4, width // 4] < 255).any()


def test_many_layers_and_heads_keep_the_figure_within_bounds() -> None:
    width, height = drawn(24, 16).get_size_inches()
    assert width < 16 and height < 10


def test_chinese_class_names_are_drawn_where_a_font_has_them(install_font: Callable[[str, str], Path]) -> None:
    maps = np.ones((1, 1, 2, 2))
    assert style.plain_text(attention.figure(PICTURE, maps, layers=[0], heads=[0], told="predicted 苹果")) != []
    install_font("Noto Sans SC", "苹果")
    assert style.plain_text(attention.figure(PICTURE, maps, layers=[0], heads=[0], told="predicted 苹果")) == []
