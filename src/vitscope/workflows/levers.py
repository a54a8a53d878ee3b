"""Options of a run that ask for things that do not go together, or that leave another one no choice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vitscope import config
from vitscope.config import ModelConfig, RunConfig
from vitscope.errors import RequestError
from vitscope.text import parse_size


def check(c: RunConfig) -> None:
    """Raise `RequestError` for what cannot be meant."""
    if c.optim.name == "schedulefree":
        if c.train.ema_decay > 0:
            raise RequestError("--optimizer schedulefree evaluates an average of its own: leave --ema out.")
        if c.optim.betas[0] == 0:
            raise RequestError("optim.betas: the first must be above 0 with --optimizer schedulefree.")
    if c.data.sampling == "balanced" and c.train.class_weights != "none":
        raise RequestError(
            "--sampling balanced and --class-weights both make up for rare classes, together twice: choose one."
        )
    if c.train.memory is not None:
        try:
            parse_size(c.train.memory)
        except ValueError as error:
            raise RequestError(f"--memory: {error}") from None


def settled(c: RunConfig, requested: Mapping[str, Any]) -> RunConfig:
    """`c` with what its other options decide. Raises `RequestError` where `requested` asks for the contrary."""
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
