"""Recipes: named sets of defaults, one short file each. A recipe is a module with `OPTIONS`, a nested mapping."""

from __future__ import annotations

from types import ModuleType

from vitscope.training.recipes import digits, finetune, scratch

RECIPES: dict[str, ModuleType] = {"scratch": scratch, "finetune": finetune, "digits": digits}
