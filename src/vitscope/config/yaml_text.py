"""YAML as run descriptions use it: its safe subset, without aliases, both ways."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from vitscope.errors import RequestError
from vitscope.text import brief

# What the library raises for a date of no month, a number of no digits or of thousands, and tags that do not fit.
_DAMAGE = (yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError, OverflowError)


class _SafeLoader(yaml.SafeLoader):
    """YAML's safe subset without aliases (an alias bomb needs them), and with 1e-3 read as a number."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            raise RequestError("YAML anchors and aliases are not allowed in a run description: write the value out.")
        return super().compose_node(parent, index)


class _PlainDumper(yaml.SafeDumper):
    """Writes no aliases, which `_SafeLoader` would refuse; tuples are lists."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


_PlainDumper.add_representer(tuple, lambda dumper, value: dumper.represent_list(value))
_SafeLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9][0-9_]*)[eE][-+]?[0-9]+$"),
    list("-+.0123456789"),
)


def parse_yaml(text: str, where: str) -> Any:
    """The value that safe YAML describes. Raises `RequestError` naming `where` and the line."""
    try:
        return yaml.load(text, _SafeLoader)  # a SafeLoader subclass: no tag can construct an object
    except _DAMAGE as error:
        first = " ".join(str(error).split()) or type(error).__name__
        raise RequestError(f"{where}: not valid YAML: {brief(first)}") from None
    except RecursionError:
        raise RequestError(f"{where}: nested too deeply for a run description.") from None


def dump_yaml(values: Mapping[str, Any]) -> str:
    """A nested mapping as YAML, in its own order."""
    return yaml.dump(dict(values), Dumper=_PlainDumper, sort_keys=False, allow_unicode=True)
