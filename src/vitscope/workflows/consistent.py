"""Options of a run that ask for things that do not go together, or that leave another one no choice."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from vitscope import config
from vitscope.config import ModelConfig, RunConfig
from vitscope.errors import RequestError
from vitscope.text import parse_size, seconds_of

LEAST_BUDGET_S = 20  # the start of the program alone takes seconds


def check(c: RunConfig) -> None:
    """Raise `RequestError` for what cannot be meant."""
    if c.model.pretrained and c.model.init is not None:
        raise RequestError("--pretrained and --init both give the first weights: choose one.")
    if c.model.new_head and c.model.init is None:
        raise RequestError("model.new_head replaces the head of weights given by --init; there are none.")
    _check_ranges(c)
    if c.train.accumulation > c.train.batch_size:
        raise RequestError(
            f"train.accumulation: {c.train.accumulation} parts of a batch of {c.train.batch_size}: one would be empty."
        )
    if c.optim.name == "schedulefree":
        if c.train.ema_decay > 0:
            raise RequestError("--optimizer schedulefree evaluates an average of its own: leave --ema out.")
        if c.optim.betas[0] == 0:
            raise RequestError("optim.betas: the first must be above 0 with --optimizer schedulefree.")
    if c.data.sampling == "balanced" and c.train.class_weights != "none":
        raise RequestError(
            "--sampling balanced and --class-weights both make up for rare classes, together twice: choose one."
        )


def _check_ranges(c: RunConfig) -> None:
    for option, (low, high), most in (
        ("augment.crop_scale", c.augment.crop_scale, 1.0),
        ("augment.crop_ratio", c.augment.crop_ratio, math.inf),
    ):
        if not 0 < low <= high <= most:
            raise RequestError(
                f"{option}: [{low:g}, {high:g}] is no range from a smaller to a larger number"
                f"{', at most 1' if most == 1 else ''}."
            )
    if not all(0 <= b < 1 for b in c.optim.betas):
        raise RequestError(f"optim.betas: {list(c.optim.betas)}: each must be at least 0 and below 1.")
    if c.train.time_budget is not None and seconds_of(c.train.time_budget) < LEAST_BUDGET_S:
        raise RequestError(
            f"train.time_budget: {c.train.time_budget} is too short to train anything: at least {LEAST_BUDGET_S} s."
        )
    if c.train.memory is not None:
        try:
            parse_size(c.train.memory)
        except ValueError as error:
            raise RequestError(f"--memory: {error}") from None


def settled(c: RunConfig, requested: Mapping[str, Any]) -> RunConfig:
    """`c`, checked, with what its other options decide.

    Raises `RequestError` for what cannot be meant, and where `requested` asks for the contrary.
    """
    check(c)
    if c.optim.name != "schedulefree" or c.schedule.name == "constant":
        return c
    if "name" in requested.get("schedule", {}):
        raise RequestError(
            f"--optimizer schedulefree keeps its rate after the warm-up: with it, --schedule {c.schedule.name} cannot "
            "be had. Leave --schedule out."
        )
    return config.build(c.model_dump(mode="json"), {"schedule": {"name": "constant"}})


def check_given(c: ModelConfig) -> None:
    """Raise `RequestError` where what learns supposes given weights and there are none."""
    if c.lora_rank and c.frozen:
        raise RequestError("model.lora_rank leaves all given weights as they are: model.frozen does not go with it.")
    if (c.lora_rank or c.frozen == 1) and not c.pretrained and c.init is None:
        what = f"model.lora_rank: {c.lora_rank}" if c.lora_rank else "model.frozen: 1"
        raise RequestError(f"{what}: random weights would stay as they are. Add --pretrained or --init to give some.")
