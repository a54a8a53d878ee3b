"""From text to a checked `RunConfig`: YAML files, assignments, layers of which the later win."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from vitscope.config.declared import VERSION, RunConfig, options
from vitscope.config.migration import migrated
from vitscope.config.yaml_text import parse_yaml
from vitscope.errors import RequestError, closest
from vitscope.text import brief

MAX_FILE_BYTES = 1_000_000


def read_file(path: str | Path) -> dict[str, Any]:
    """The nested mapping in a YAML file; one of an older version is migrated, and told.

    Raises `RequestError` when it is missing, too large, not a mapping, or of a newer version.
    """
    file = Path(path)
    if not file.is_file():
        raise RequestError(f"{file}: no such configuration file.")
    if file.stat().st_size > MAX_FILE_BYTES:
        raise RequestError(f"{file}: larger than {MAX_FILE_BYTES:,} bytes; this is no run description.")
    try:
        content = parse_yaml(file.read_text(encoding="utf-8-sig"), str(file))
    except UnicodeDecodeError:
        raise RequestError(f"{file}: not UTF-8 text.") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise RequestError(
            f"{file}: a run description is a mapping of groups (data, model, …), not {type(content).__name__}."
        )
    if isinstance(found := content.get("version"), int) and found > VERSION:
        raise RequestError(
            f"{file}: written for version {found} of the run description; this program knows {VERSION}. "
            "Update vitscope."
        )
    if told := migrated(content, VERSION):
        logging.getLogger("vitscope").warning(
            f"{file}: written for an earlier version of the run description, read as version {VERSION}. "
            f"{' '.join(told)}"
        )
    return content


def parse_assignments(assignments: Sequence[str]) -> dict[str, Any]:
    """`group.option=value` texts (from `--set`) as one nested mapping; values are YAML."""
    nested: dict[str, Any] = {}
    for text in assignments:
        path, equals, value = text.partition("=")
        if not equals or not path.strip():
            raise RequestError(f"--set {brief(text)}: expected group.option=value, for example --set optim.lr=3e-4.")
        put(nested, path.strip(), parse_yaml(value, f"--set {brief(path.strip())}"))
    return nested


def put(nested: dict[str, Any], path: str, value: Any) -> None:
    """Set `a.b.c` in a nested mapping."""
    *parents, last = path.split(".")
    for name in parents:
        nested = nested.setdefault(name, {})
        if not isinstance(nested, dict):
            raise RequestError(f"'{brief(path)}': '{brief(name)}' is a value, not a group of options.")
    nested[last] = value


def merge(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Later layers win, option by option (`model.kwargs` key by key). The layers themselves are never changed."""
    result: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            if isinstance(value, Mapping):
                old = result.get(key)
                result[key] = merge(old if isinstance(old, Mapping) else {}, value)
            else:
                result[key] = value
    return result


def build(*layers: Mapping[str, Any]) -> RunConfig:
    """The checked `RunConfig` of the merged layers (defaults < first < … < last).

    Raises `RequestError` that names each wrong option with what is wrong and, for an unknown one, the closest match.
    """
    try:
        return RunConfig.model_validate(merge(*layers))
    except ValidationError as error:
        raise RequestError("\n".join(_explain(e) for e in error.errors())) from None


def _explain(error: Any) -> str:
    path = ".".join(str(part) for part in error["loc"])
    known = [o.path for o in options()]
    if error["type"] == "extra_forbidden":
        last_names = {p.rsplit(".", 1)[-1]: p for p in known}
        hint = (
            f"Did you mean '{last_names[path.rsplit('.', 1)[-1]]}'?"
            if path.rsplit(".", 1)[-1] in last_names
            else closest(path, known)
        )
        return f"Unknown option '{brief(path)}'. {hint}".rstrip()
    given = "" if isinstance(error.get("input"), dict) else f" (given: {brief(repr(error.get('input')))})"
    return f"{brief(path)}: {error['msg'][0].lower()}{error['msg'][1:]}{given}."


def schema() -> dict[str, Any]:
    """The JSON Schema of `RunConfig`."""
    return RunConfig.model_json_schema()
