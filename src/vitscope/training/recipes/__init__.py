"""Recipes: named sets of defaults, one short file each. A recipe has `OPTIONS`, a nested mapping, and a `__doc__`."""

from __future__ import annotations

from types import ModuleType, SimpleNamespace

from vitscope.training.recipes import (
    augreg,
    auto,
    better_baseline,
    deit3,
    digits,
    few_shot,
    finetune,
    linear_probe,
    lora,
    scratch,
    scratch_small,
)

RECIPES: dict[str, ModuleType | SimpleNamespace] = {
    "auto": auto,
    "scratch": scratch,
    "scratch-small": scratch_small,
    "better-baseline": better_baseline,
    "augreg-light": augreg.light,
    "augreg-medium": augreg.medium,
    "augreg-strong": augreg.strong,
    "deit3": deit3,
    "finetune": finetune,
    "few-shot": few_shot,
    "lora": lora,
    "linear-probe": linear_probe,
    "digits": digits,
}
