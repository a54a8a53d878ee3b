"""Where a stream has come to, as one short text: the `id` of its events, with which a client goes on.

`TABLE.NUMBER` for the runs, then `~RUN.attempt.seq.event_attempt.event_seq.snapshot` for the run that is followed.
Either may be missing: what is told of it begins now.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from vitscope.dashboard.run_table import Version
from vitscope.errors import RequestError
from vitscope.metrics.columns import Place

_RUN = re.compile(r"([a-z][a-z2-7]{7})\.([0-9]{1,7})\.([0-9]{1,12})\.([0-9]{1,7})\.([0-9]{1,12})\.([0-9]{1,15})")


class RunCursor(NamedTuple):
    """How much of one run is known; `snapshot` is the step of the newest snapshot on the disk."""

    run_id: str
    place: Place
    snapshot: int = 0


class Cursor(NamedTuple):
    version: Version | None = None
    run: RunCursor | None = None

    def __str__(self) -> str:
        text = str(self.version) if self.version is not None else ""
        if self.run is None:
            return text
        return f"{text}~{'.'.join(map(str, (self.run.run_id, *self.run.place, self.run.snapshot)))}"

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """Raises `RequestError` for what is none."""
        table, _, run = text.partition("~")
        version, found = Version.parse(table), _RUN.fullmatch(run)
        if (table and version is None) or (run and found is None):
            raise RequestError("'since' is no cursor of this dashboard.")
        if found is None:
            return cls(version)
        *place, snapshot = map(int, found.groups()[1:])
        return cls(version, RunCursor(found[1], Place(*place), snapshot))
