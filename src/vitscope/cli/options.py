"""Command line options made from `RunConfig`: every field that names a flag becomes an option of the command."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer

from vitscope.cli import completion
from vitscope.config import Option, options

OFFERED: dict[str, Callable[..., Any]] = {
    "recipe": completion.recipes,
    "data.val": completion.sources,
    "data.test": completion.sources,
    "model.init": completion.runs,
}


def with_run_options(command: Callable[..., None]) -> Callable[..., None]:
    """Replace the command's `**flags` by one option a flagged field; it is given those that were set, by path."""
    flagged = [o for o in options() if o.flag]
    parameters = {_parameter_name(o): o for o in flagged}
    own = [
        p
        for p in inspect.signature(command, eval_str=True).parameters.values()
        if p.kind is not inspect.Parameter.VAR_KEYWORD
    ]

    def wrapper(**values: Any) -> None:
        given = {parameters[name].path: values.pop(name) for name in list(values) if name in parameters}
        command(**values, **{path: value for path, value in given.items() if value is not None})

    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=_annotation(option))
        for name, option in parameters.items()
    ]
    own = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own]
    wrapper.__signature__ = inspect.Signature([*own, *added])  # pyright: ignore[reportFunctionMemberAccess]
    wrapper.__annotations__ = {p.name: p.annotation for p in (*own, *added)}
    wrapper.__name__, wrapper.__doc__ = command.__name__, command.__doc__
    return wrapper


def _parameter_name(option: Option) -> str:
    return option.path.replace(".", "_")


def _annotation(option: Option) -> Any:
    """`Annotated[type | None, typer.Option(...)]` for a field; a boolean becomes a switch."""
    kind = option.field.annotation
    if get_origin(kind) in (Union, types.UnionType):
        kind = next(a for a in get_args(kind) if a is not type(None))
    help_text = option.field.description or ""
    if option.unit:
        help_text += f" In {option.unit}."
    offered = OFFERED.get(option.path)
    if get_origin(kind) is Literal:
        choices = [str(choice) for choice in get_args(kind)]
        help_text += f" One of: {', '.join(choices)}."
        kind, offered = str, lambda: choices
    assert option.flag is not None
    return Annotated[kind | None, typer.Option(option.flag, help=help_text, autocompletion=offered)]
