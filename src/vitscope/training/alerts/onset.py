"""What detectors share: the situation that a run is in, and telling something once."""

from __future__ import annotations

from typing import NamedTuple


class Situation(NamedTuple):
    """What detectors know of a run beside its events."""

    classes: int
    validation: int  # pictures
    precision: str
    workers: int
    cores: int
    is_cached: bool = False  # training pictures are kept decoded, from the first pass on


class Onset:
    """A condition that is told when it begins, and again only after it was over."""

    def __init__(self, is_told: bool = False):
        self.is_told = is_told

    def begins(self, is_on: bool, *, is_over: bool) -> bool:
        """True once when `is_on`; what is neither on nor over goes on as it was."""
        if is_over:
            self.is_told = False
        if not is_on or self.is_told:
            return False
        self.is_told = True
        return True
