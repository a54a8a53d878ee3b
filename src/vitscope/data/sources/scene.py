"""One drawn scene: an object of a class on a cluttered ground, and the mask of the object.

All lengths are shares of the side, so that a scene is the same at every size, only sharper. What varies is drawn from
(seed, index) alone: place, rotation, area and colours of the object, and the ground. Nothing of that depends on the
class, so neither colour nor size nor place tells it. Drawn at four times the size and reduced, which smooths the edges.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from vitscope.data import draw

FINER = 4  # a scene is drawn at so many times its size
AREA = (0.10, 0.36)  # of the object, as a share of the picture; more would not leave room for every class and rotation
MARGIN = 0.02  # between the object and the edge
LIGHTER = 110.0  # the object than its ground, at least, in luma of 0 … 255
LUMA = np.array([0.299, 0.587, 0.114])  # weights of red, green and blue (ITU-R BT.601)


class Scene(NamedTuple):
    """`pixels` (S, S, 3) uint8; `mask` (S, S) uint8: the object's share of each pixel, 255 where it fills it."""

    class_name: str
    pixels: np.ndarray
    mask: np.ndarray


def scene(seed: int, index: int, size: int) -> Scene:
    """Scene `index` of `seed` with `size` × `size` pixels. The classes take turns."""
    random = draw.generator("scene", seed, index)
    class_name = CLASSES[index % len(CLASSES)]
    base = _dark(random)
    parts = _place(OUTLINES[class_name], random)
    colour = _light(base, random)
    ground = _ground(base, random, size) + _texture(random, size)[:, :, None]
    mask = _mask(parts, size)
    share = mask[:, :, None] / np.float32(255)
    shaded = colour + _slope(random, size)[:, :, None]
    pixels = np.clip(ground * (1 - share) + shaded * share, 0, 255)
    return Scene(class_name, np.rint(pixels).astype(np.uint8), mask)


# ------------------------------------------------------------------------------------------------ the object


def _round(radius: float = 1.0, corners: int = 72) -> np.ndarray:
    """A circle as a polygon that differs from it by less than a thousandth of its radius, (corners, 2)."""
    return _regular(corners) * radius


def _regular(corners: int) -> np.ndarray:
    angle = np.arange(corners) * 2 * np.pi / corners
    return np.stack([np.sin(angle), -np.cos(angle)], axis=1)


def _star(inner: float = 0.5, points: int = 5) -> np.ndarray:
    return _regular(2 * points) * np.where(np.arange(2 * points) % 2, inner, 1.0)[:, None]


def _cross(arm: float = 0.36) -> np.ndarray:
    corner = [(-arm, -1), (arm, -1), (arm, -arm)]
    turns = [np.array(corner) @ np.linalg.matrix_power(np.array([[0, 1], [-1, 0]]), k) for k in range(4)]
    return np.concatenate(turns)


def _heart(corners: int = 60) -> np.ndarray:
    t = np.arange(corners) * 2 * np.pi / corners
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return np.stack([16 * np.sin(t) ** 3, -y], axis=1) / 16


# A class is its outline and, where it has one, the outline of its hole.
OUTLINES: dict[str, tuple[np.ndarray, ...]] = {
    "circle": (_round(),),
    "cross": (_cross(),),
    "heart": (_heart(),),
    "hexagon": (_regular(6),),
    "ring": (_round(), _round(0.55)),
    "square": (_regular(4),),
    "star": (_star(),),
    "triangle": (_regular(3),),
}
CLASSES = tuple(OUTLINES)


def _area(outline: np.ndarray) -> float:
    """Of a polygon, by the shoelace formula."""
    x, y = outline.T
    return abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))) / 2


def _place(outlines: tuple[np.ndarray, ...], random: np.random.Generator) -> list[np.ndarray]:
    """The outlines turned, scaled to an area drawn from `AREA` and moved, whole inside the picture, in 0 … 1."""
    angle, share = random.uniform(0, 2 * np.pi), random.uniform(*AREA)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turned = [outline @ turn for outline in outlines]
    outer = turned[0]
    scale = np.sqrt(share / (_area(outer) - sum(_area(hole) for hole in turned[1:])))
    low, high = outer.min(axis=0), outer.max(axis=0)
    scale = min(scale, (1 - 2 * MARGIN) / float((high - low).max()))
    room = 1 - 2 * MARGIN - scale * (high - low)
    corner = MARGIN + random.uniform(0, 1, 2) * room
    return [corner + scale * (outline - low) for outline in turned]


def _mask(parts: list[np.ndarray], size: int) -> np.ndarray:
    canvas = Image.new("L", (size * FINER, size * FINER), 0)
    pen = ImageDraw.Draw(canvas)
    for number, part in enumerate(parts):
        pen.polygon(_corners(part, canvas), fill=0 if number else 255)
    return np.asarray(canvas.reduce(FINER))


# ------------------------------------------------------------------------------------------------ the ground


def _ground(base: np.ndarray, random: np.random.Generator, size: int) -> np.ndarray:
    """Soft patches of colour under blobs, lines and small figures that are no class; (S, S, 3) float32."""
    patches = np.clip(base + random.normal(0, 22, (5, 5, 3)), 0, 255).astype(np.uint8)
    soft = Image.fromarray(patches).resize((size, size), Image.Resampling.BILINEAR)
    canvas = soft.resize((size * FINER, size * FINER), Image.Resampling.NEAREST)  # quicker, and the same once reduced
    pen = ImageDraw.Draw(canvas)
    for _ in range(random.integers(2, 6)):
        pen.polygon(_corners(_blob(random, random.uniform(0.04, 0.13)), canvas), fill=_near(base, random))
    for _ in range(random.integers(3, 9)):
        _line(pen, base, random, canvas)
    for _ in range(random.integers(3, 8)):
        _small_figure(pen, base, random, canvas)
    return np.asarray(canvas.reduce(FINER), np.float32)


_LUMP = _round(corners=24)
_SWINGS = np.array([[2], [3], [4]]) * np.arange(24) * 2 * np.pi / 24


def _blob(random: np.random.Generator, radius: float) -> np.ndarray:
    """A lumpy closed outline: a circle whose radius swings two, three and four times around."""
    swing = random.uniform(0.1, 0.3, 3) @ np.cos(_SWINGS + random.uniform(0, 2 * np.pi, (3, 1)))
    return random.uniform(0, 1, 2) + _LUMP * (radius * (1 + swing))[:, None]


def _line(pen: ImageDraw.ImageDraw, base: np.ndarray, random: np.random.Generator, canvas: Image.Image) -> None:
    corners = random.uniform(-0.1, 1.1, (random.integers(2, 4), 2))
    width = max(1, round(random.uniform(0.008, 0.03) * canvas.width))
    pen.line(_corners(corners, canvas), fill=_near(base, random), width=width)


def _small_figure(pen: ImageDraw.ImageDraw, base: np.ndarray, random: np.random.Generator, canvas: Image.Image) -> None:
    """An angle, an arc, a dash or a lump: strokes as thick as parts of an object, about a tenth of the side long."""
    middle, length, angle = random.uniform(0.05, 0.95, 2), random.uniform(0.04, 0.09), random.uniform(0, 360)
    width = max(1, round(random.uniform(0.02, 0.04) * canvas.width))
    paint, kind = _near(base, random), random.integers(4)
    angles = np.deg2rad([angle, angle + random.uniform(60, 120)])
    ends = length * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    if kind == 0:
        pen.line(_corners(np.array([middle + ends[0], middle, middle + ends[1]]), canvas), fill=paint, width=width)
    elif kind == 1:
        pen.line(_corners(np.array([middle + ends[0], middle - ends[0]]), canvas), fill=paint, width=width)
    elif kind == 2:
        box = [tuple((middle + side * length) * canvas.width) for side in (-1, 1)]
        pen.arc(box, angle, angle + random.uniform(70, 200), fill=paint, width=width)
    else:
        lump = _blob(random, length / 2)
        pen.polygon(_corners(middle + lump - lump.mean(axis=0), canvas), fill=paint)


def _texture(random: np.random.Generator, size: int) -> np.ndarray:
    """Stripes or grain, light enough to see through; (S, S) float32, mean about 0."""
    strength = random.uniform(4, 14)
    if random.integers(2):
        angle, waves, phase = random.uniform(0, np.pi), random.uniform(4, 12), random.uniform(0, 2 * np.pi)
        x, y = _axes(size)
        return np.sin(2 * np.pi * waves * (x * np.cos(angle) + y * np.sin(angle)) + phase) * np.float32(strength)
    grain = random.normal(0, strength, (24, 24)).astype(np.float32)
    return np.asarray(Image.fromarray(grain).resize((size, size), Image.Resampling.BILINEAR))


def _slope(random: np.random.Generator, size: int) -> np.ndarray:
    """A soft light from one side, (S, S) float32."""
    angle, strength = random.uniform(0, 2 * np.pi), random.uniform(0, 40)
    x, y = _axes(size)
    return ((x - 0.5) * np.cos(angle) + (y - 0.5) * np.sin(angle)) * np.float32(strength)


def _axes(size: int) -> tuple[np.ndarray, np.ndarray]:
    """The middles of the pixels: x (1, S) and y (S, 1) in 0 … 1."""
    middles = ((np.arange(size) + 0.5) / size).astype(np.float32)
    return middles[None, :], middles[:, None]


def _corners(points: np.ndarray, canvas: Image.Image) -> list[tuple[float, float]]:
    """Points in 0 … 1 as Pillow counts them: by the pixel's middle."""
    return [(x, y) for x, y in (points * canvas.width - 0.5).tolist()]


# ------------------------------------------------------------------------------------------------ colours


def _dark(random: np.random.Generator) -> np.ndarray:
    """The ground's colour: any hue, dark."""
    return random.uniform(10, 115, 3)


def _near(base: np.ndarray, random: np.random.Generator) -> tuple[int, int, int]:
    """A colour for clutter: seen on the ground, yet closer to it than the object's."""
    red, green, blue = np.clip(base + random.uniform(-60, 60, 3), 0, 255).astype(int).tolist()
    return red, green, blue


def _light(base: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The object's colour: any hue, lighter than the ground, so that a small model learns shapes before colours."""
    tries = random.uniform(0, 255, (16, 3))
    brighter = (tries - base) @ LUMA
    return tries[int(np.argmax(brighter >= LIGHTER)) if (brighter >= LIGHTER).any() else int(np.argmax(brighter))]
