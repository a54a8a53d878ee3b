"""The reference page of the options, written from `RunConfig` and the tables that own the names."""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Any, Literal, Union, get_args, get_origin

from vitscope.config import Option, options
from vitscope.workflows.recipe import NAMES

INTRODUCTION = """# Options of a run

<!-- Written by `make docs` from the source; a test fails when it is out of date. -->

Every option can be given in a YAML file (`--config run.yaml`), by `--set group.option=value`, and from Python
(`vitscope.train(source, group={"option": value})`). Those with a flag have it as a command line option too.
What wins: default < recipe < file < flag < `--set`. `vitscope config show` prints what a description resolves to.
"""


def options_page() -> str:
    """The whole page, Markdown."""
    parts = [INTRODUCTION]
    group = None
    for option in options():
        head, _, name = option.path.rpartition(".")
        if head != group:
            group = head
            parts.append(
                f"\n## {f'`{head}`' if head else 'At the top'}\n\n"
                "| option | flag | type | default | what it does |\n|---|---|---|---|---|\n"
            )
        flag = f"`{option.flag}`" if option.flag else ""
        parts.append(f"| `{name}` | {flag} | {describe_type(option)} | `{_default(option)}` | {_cell(option)} |\n")
    return "".join(parts)


def _cell(option: Option) -> str:
    text = (option.field.description or "").replace("|", "\\|")
    choices = f" Choices: {', '.join(f'`{c}`' for c in NAMES[option.path])}." if option.path in NAMES else ""
    return f"{text}{f' In {option.unit}.' if option.unit else ''}{choices}"


def _default(option: Option) -> str:
    value: Any = option.field.default
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    return str(list(value)) if isinstance(value, tuple) else str(value)


def describe_type(option: Option) -> str:
    """An option's type and bounds in words, such as `number, 0 to 1`."""
    kind = option.field.annotation
    if get_origin(kind) in (Union, types.UnionType):
        kind = next(a for a in get_args(kind) if a is not type(None))
    if get_origin(kind) is Literal:
        return ", ".join(f"`{a}`" for a in get_args(kind))
    names = {int: "whole number", float: "number", bool: "true or false", str: "text"}
    word = names.get(kind, "mapping" if get_origin(kind) is dict else "two numbers")  # type: ignore[arg-type]
    return ", ".join([word, *_bounds(option)])


def _bounds(option: Option) -> Iterator[str]:
    words = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    for rule in option.field.metadata:
        for name, word in words.items():
            if (limit := getattr(rule, name, None)) is not None:
                yield f"{word} {limit}"
