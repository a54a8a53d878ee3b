"""A run description that was written for an earlier version of it, made one of today's.

People's own files, and what was asked for a run (`requested.yaml`), mostly name no version: they may be as old as the
first. So a step changes what it finds under an old name, and leaves alone what is of today.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

# STEPS[n] makes a description of version n one of version n + 1: it changes the mapping, and returns what a person
# should know, a sentence each. (Options that only came to be need no step: they have their defaults.)
Step = Callable[[dict[str, Any]], list[str]]
STEPS: Mapping[int, Step] = {}
FIRST = 1


def migrated(content: dict[str, Any], version: int) -> list[str]:
    """Bring `content` up to `version` in place; returns what was changed."""
    told: list[str] = []
    found = content.get("version", FIRST)
    if not isinstance(found, int):
        return []  # it is told with the other types that are wrong
    for step in range(found, version):
        if step in STEPS:
            told += STEPS[step](content)
    if "version" in content and FIRST <= found < version:
        content["version"] = version
    return told
