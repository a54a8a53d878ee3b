"""A data set imported under a name: its manifest, compared with what lies at its source now."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from pathlib import Path

from vitscope.data.manifest import Manifest
from vitscope.data.sources.kept import Indexed, index
from vitscope.data.sources.made import MadeSource
from vitscope.data.sources.scan import Scan, Source
from vitscope.data.sources.table import TableSource
from vitscope.errors import RequestError
from vitscope.text import count, shown, some


@dataclass(frozen=True)
class ImportedSource:
    """`manifest` as it was saved, `original` the source that it was made from."""

    name: str
    original: Source
    manifest: Manifest

    @property
    def location(self) -> str:
        return self.name

    def scan(self) -> Scan:
        """What lies at the original source now, whatever was imported."""
        return self.original.scan()

    def current(self, place: Path | None = None) -> Indexed:
        """The imported samples with their files' present sizes and times, and what has changed since the import.

        The index of a large folder is kept in `place`, and taken from there (`kept.py`). What a check found about a
        file that has changed is forgotten. Raises `RequestError` where files have vanished.
        """
        again = f"vitscope data import {shlex.quote(self.original.location)} --name {self.name} --replace"
        who = f"Imported data set '{self.name}':"
        try:
            seen = index(self.original, place)
            own = self.original.moved(self.manifest) if isinstance(self.original, MadeSource) else self.manifest
        except RequestError as error:
            raise RequestError(f"{who} {error} Bring it back, or import again: {shown(again)}") from None
        state = ("path", "size_bytes", "mtime_ns")
        restated = _restated(own, seen.manifest) if isinstance(self.original, (MadeSource, TableSource)) else []
        if not restated and _agree(own, seen.manifest, *state):
            return Indexed(replace(own, kept=seen.manifest.kept), [])
        columns = (seen.manifest.table[name].to_pylist() for name in state)
        now = {path: (size, time) for path, size, time in zip(*columns, strict=True)}
        paths, sizes, times = (own.table[c].to_pylist() for c in ("path", "size_bytes", "mtime_ns"))
        if vanished := [path for path in paths if path not in now]:
            raise RequestError(
                f"{who} {count(len(vanished), 'file')} of {len(paths):,} {_have(vanished)} vanished since the import "
                f"({some(vanished)}). Bring back what is missing, or import again: {shown(again)}"
            )
        notices = []
        if added := sorted(now.keys() - set(paths)):
            notices.append(
                f"{who} {count(len(added), 'file')} {_have(added)} been added to its source since the import, not used "
                f"({some(added)}). To take in what is new: {shown(again)}"
            )
        if restated:
            notices.append(
                f"{who} its source gives {count(len(restated), 'file')} another class, split or group than at the "
                f"import, not used ({some(restated)}). To take it in: {shown(again)}"
            )
        changed = [now[p] != (size, time) for p, size, time in zip(paths, sizes, times, strict=True)]
        if not any(changed):
            return Indexed(replace(own, kept=seen.manifest.kept), notices)
        examples = [path for path, has_changed in zip(paths, changed, strict=True) if has_changed]
        notices.append(
            f"{who} {count(len(examples), 'file')} {_have(examples)} changed since the import ({some(examples)}). They "
            "are used as they are now; what a check found about them is forgotten."
        )
        refreshed = _refreshed(own, [now[p] for p in paths], changed)
        return Indexed(replace(refreshed, kept=seen.manifest.kept), notices)


def _agree(own: Manifest, seen: Manifest, *columns: str) -> bool:
    return own.table.select(columns).equals(seen.table.select(columns))


def _restated(own: Manifest, seen: Manifest) -> list[str]:
    """The paths of which a table says something else now."""
    if own.classes == seen.classes and _agree(own, seen, "path", "label", "split", "group"):
        return []

    def said(manifest: Manifest) -> dict[str, tuple]:
        paths, labels, *rest = (manifest.table[c].to_pylist() for c in ("path", "label", "split", "group"))
        return dict(zip(paths, zip((manifest.classes[label] for label in labels), *rest, strict=True), strict=True))

    now = said(seen)
    return [path for path, then in said(own).items() if now.get(path, then) != then]


def _refreshed(manifest: Manifest, now: list[tuple[int, int]], changed: list[bool]) -> Manifest:
    manifest = manifest.with_column("size_bytes", [size for size, _ in now])
    manifest = manifest.with_column("mtime_ns", [time for _, time in now])
    for name in ("width", "height", "content_hash", "problem"):
        values = manifest.table[name].to_pylist()
        manifest = manifest.with_column(name, [None if c else v for c, v in zip(changed, values, strict=True)])
    return manifest


def _have(items: list[str]) -> str:
    return "has" if len(items) == 1 else "have"
