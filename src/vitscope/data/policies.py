"""Policies of augmentation: what is done to a view beside cropping and flipping, by name.

Each takes a view, a picture of S × S pixels in RGB, and a generator, from which all that is random is drawn, and gives
a view of the same kind. The operations are torchvision's on Pillow's pictures, three times as fast on a CPU as those on
tensors of bytes; which of them, and how strongly, is chosen here, since torchvision's own classes draw from torch's
global generator, whose history a resumed run would not have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional

F: Any = functional  # takes Pillow's pictures too, which its types do not say

View = Image.Image
Policy = Callable[[View, np.random.Generator], View]

LEVELS = 31  # of strength, 0 to 30, as the papers count them
BILINEAR = InterpolationMode.BILINEAR


class Operation(NamedTuple):
    """`apply(view, amount)`; the amount runs from `least` (no change) to `most`, and is negated half the time."""

    apply: Callable[[View, float], View]
    least: float
    most: float
    is_signed: bool


def _affine(view: View, **change: Any) -> View:
    still = {"angle": 0.0, "translate": [0, 0], "scale": 1.0, "shear": [0.0, 0.0]}
    return F.affine(view, **(still | change), interpolation=BILINEAR, fill=[128.0])


def _slanted(view: View, x: float, y: float) -> View:
    return _affine(view, shear=[float(np.degrees(np.arctan(x))), float(np.degrees(np.arctan(y)))])


def _moved(view: View, x: float, y: float) -> View:
    height, width = F.get_size(view)
    return _affine(view, translate=[round(x * width), round(y * height)])


def _space(shear: float, move: float, angle: float, colour: float, bits: float) -> dict[str, Operation]:
    """The fourteen operations that RandAugment and TrivialAugment share, with their largest amounts."""
    return {
        "identity": Operation(lambda view, _: view, 0, 0, False),
        "shear x": Operation(lambda view, a: _slanted(view, a, 0), 0, shear, True),
        "shear y": Operation(lambda view, a: _slanted(view, 0, a), 0, shear, True),
        "translate x": Operation(lambda view, a: _moved(view, a, 0), 0, move, True),
        "translate y": Operation(lambda view, a: _moved(view, 0, a), 0, move, True),
        "rotate": Operation(lambda view, a: F.rotate(view, a, interpolation=BILINEAR, fill=[128.0]), 0, angle, True),
        "brightness": Operation(lambda view, a: F.adjust_brightness(view, 1 + a), 0, colour, True),
        "saturation": Operation(lambda view, a: F.adjust_saturation(view, 1 + a), 0, colour, True),
        "contrast": Operation(lambda view, a: F.adjust_contrast(view, 1 + a), 0, colour, True),
        "sharpness": Operation(lambda view, a: F.adjust_sharpness(view, 1 + a), 0, colour, True),
        "posterize": Operation(lambda view, a: F.posterize(view, round(a)), 8, bits, False),
        "solarize": Operation(lambda view, a: F.solarize(view, a), 255, 0, False),
        "autocontrast": Operation(lambda view, _: F.autocontrast(view), 0, 0, False),
        "equalize": Operation(lambda view, _: F.equalize(view), 0, 0, False),
    }


GENTLE = _space(shear=0.3, move=0.45, angle=30, colour=0.9, bits=4)
WIDE = _space(shear=0.99, move=0.45, angle=135, colour=0.99, bits=2)


def _applied(view: View, operation: Operation, level: int, draw: np.random.Generator) -> View:
    amount = operation.least + (operation.most - operation.least) * level / (LEVELS - 1)
    if operation.is_signed and draw.random() < 0.5:
        amount = -amount
    return operation.apply(view, amount)


def randaugment(view: View, draw: np.random.Generator, count: int = 2, level: int = 9) -> View:
    """Two of fourteen operations at strength 9 of 30 (arXiv:1909.13719)."""
    for name in draw.choice(list(GENTLE), count):
        view = _applied(view, GENTLE[name], level, draw)
    return view


def trivial(view: View, draw: np.random.Generator) -> View:
    """TrivialAugment (arXiv:2103.10158): one of fourteen operations, at any strength of a wide range."""
    name = draw.choice(list(WIDE))
    return _applied(view, WIDE[name], int(draw.integers(LEVELS)), draw)


def three(view: View, draw: np.random.Generator) -> View:
    """3-Augment of DeiT III (arXiv:2204.07118): one of grey, solarized and blurred, then a change of colours of 0.3."""
    chosen = int(draw.integers(3))
    if chosen == 0:
        view = F.rgb_to_grayscale(view, num_output_channels=3)
    elif chosen == 1:
        view = F.solarize(view, 128)
    else:
        sigma = float(draw.uniform(0.1, 2.0))
        reach = 2 * round(3 * sigma) + 1
        view = F.gaussian_blur(view, [reach, reach], [sigma, sigma])
    changes = (F.adjust_brightness, F.adjust_contrast, F.adjust_saturation)
    for i in draw.permutation(3):
        view = changes[i](view, float(draw.uniform(0.7, 1.3)))
    return view


POLICIES: Mapping[str, Policy] = {"randaugment": randaugment, "trivial": trivial, "three": three}
