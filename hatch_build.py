"""Builds the front end into the wheel. Node comes from PyPI, and only when there is something to build."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

sys.path.insert(0, str(Path(__file__).parent / "scripts"))

import front_end


class FrontEnd(BuildHookInterface):
    """hatchling's custom hook for the wheel, editable ones included."""

    def dependencies(self) -> list[str]:
        return [] if front_end.is_built() else [front_end.NODE]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        front_end.build()
