"""Recipes: named sets of defaults, one short file each. A recipe is a module with `OPTIONS`, a nested mapping."""

from __future__ import annotations

from types import ModuleType

from vitscope.training.recipes import auto, digits, finetune, scratch, scratch_small

RECIPES: dict[str, ModuleType] = {
    "auto": auto,
    "scratch": scratch,
    "scratch-small": scratch_small,
    "finetune": finetune,
    "digits": digits,
}
