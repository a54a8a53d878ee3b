"""Chooses one of the others from the pictures, their number, and whether weights are given; it says why.

Command: `vitscope train FOLDER`. Whatever is asked for by name (a model, a size, a rate) stays as it was asked.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

OPTIONS: dict[str, Any] = {}

SMALL_SIDE = 128  # pixels: pictures up to here are drawn or shot small, and lose nothing in a small model
ENLARGED = 1.15  # at most by so much; reducing a little costs less than it saves
LIGHTER = (
    {"model": {"kwargs": {"embed_dim": 96, "num_heads": 3, "depth": 6}}},
    {"model": {"kwargs": {"embed_dim": 128, "num_heads": 2, "depth": 6}}},
)
NUMBERS = frozenset(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"])
SIDES_NAMED = ("left", "right", "左", "右")
BATCHES = {20_000: 256, 5_000: 128}  # images from which a batch is so large: a step of few small ones wastes cores
FEW = 20  # pictures of a class on average; of so few a model of given weights is not trained whole
MANY = 20_000  # images of which each is met a few times only: turned and relit ones would teach less than they cost
SHIFTED = {
    "rotate": 0.0,
    "scale": 0.0,
    "shear": 0.0,
    "translate": 0.0,
    "brightness": 0.0,
    "contrast": 0.0,
    "shift": 0.125,
}
SIDES = {32: 4, 64: 8, 128: 16}  # side of the input and of its patches: 64 patches each


class Facts(NamedTuple):
    """What is known before training. `side`: the median of the pictures' shorter sides, in pixels; 0: not known."""

    images: int
    side: int
    has_weights: bool
    has_model: bool  # a model, or arguments of one, were asked for
    classes: tuple[str, ...] = ()


class Chosen(NamedTuple):
    """A recipe's name, what to change in it for these pictures, and why, in a sentence.

    `lighter`: options of models that cost less, ascending, for where time is short.
    """

    recipe: str
    options: dict[str, Any]
    reason: str
    lighter: tuple[dict[str, Any], ...] = ()


def choose(facts: Facts) -> Chosen:
    """The recipe for these pictures."""
    if facts.has_weights and 0 < facts.images <= FEW * len(facts.classes):
        few = round(facts.images / len(facts.classes))
        return Chosen("few-shot", {}, f"Recipe few-shot: the weights are given, and {few} pictures of a class are few.")
    if facts.has_weights:
        return Chosen("finetune", {}, "Recipe finetune: the weights are given.")
    if facts.has_model or not 0 < facts.side <= SMALL_SIDE:
        return Chosen("scratch", {}, "Recipe scratch: no weights are given.")
    side = max((s for s in SIDES if s <= ENLARGED * facts.side), default=min(SIDES))
    options: dict[str, Any] = {"model": {"image_size": side, "kwargs": {"patch_size": SIDES[side]}}}
    if larger := [batch for images, batch in BATCHES.items() if facts.images >= images]:
        options["train"] = {"batch_size": max(larger)}
    reason = (
        f"Recipe scratch-small: the pictures are about {facts.side} pixels wide, so a small model looks at them at "
        f"{side}; --model names another."
    )
    if facts.images >= MANY:
        options["augment"] = dict(SHIFTED)
        reason += " There are many, so they are shifted, neither turned nor relit."
    if may_be_mirrored(facts.classes):
        options.setdefault("augment", {})["flip"] = 0.5
        reason += " They are mirrored at random; --flip 0 where a mirrored one is another class."
    return Chosen("scratch-small", options, reason, LIGHTER)


def may_be_mirrored(classes: tuple[str, ...]) -> bool:
    """Whether the names are those of things: no number, letter or side, which a mirror changes."""
    names = [name.lower() for name in classes]
    words = {word for name in names for word in re.split(r"[\W_]+", name)}
    has_letter = any(len(part) == 1 for name in names for part in re.split(r"[\s_]+", name))  # not that of a T-shirt
    is_sign = has_letter or any(word in NUMBERS or any(map(str.isdigit, word)) for word in words)
    return bool(names) and not is_sign and not any(side in name for side in SIDES_NAMED for name in names)
