"""A data set without what a check found wrong with it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import NamedTuple

from vitscope.data.manifest import Manifest
from vitscope.text import some

KEPT_IN = ("test", "val", "train", "")  # of copies in several splits the one that is measured with stays


class LeftOut(NamedTuple):
    """A file, and why it is not to be used."""

    path: str
    reason: str


class Cleaned(NamedTuple):
    """The samples that are left, and the files that are not among them."""

    manifest: Manifest
    left_out: list[LeftOut]


def cleaned(manifest: Manifest) -> Cleaned:
    """An inspected manifest without bad files, pictures in several classes, and all but one of other copies.

    Which of several classes is the right one cannot be known, so such a picture goes whole. What is merely odd stays.
    """
    columns = (manifest.table[c].to_pylist() for c in ("path", "split", "label", "content_hash", "problem"))
    rows = list(zip(*columns, strict=True))
    reasons: dict[int, str] = {row: problem for row, (*_, problem) in enumerate(rows) if problem is not None}
    alike: dict[str, list[int]] = defaultdict(list)
    for row, (*_, content, problem) in enumerate(rows):
        if content is not None and problem is None:
            alike[content].append(row)
    for copies in alike.values():
        classes = {rows[row][2] for row in copies}
        if len(classes) > 1:
            names = some(manifest.classes[label] for label in sorted(classes))
            reasons |= dict.fromkeys(copies, f"the same picture in {len(classes)} classes: {names}")
            continue
        kept, *rest = sorted(copies, key=lambda row: (KEPT_IN.index(rows[row][1]), row))
        path, split, *_ = rows[kept]
        reasons |= dict.fromkeys(rest, f"a copy of {path}{f' in {split}' if split else ''}")
    left = manifest.table.take([row for row in range(len(rows)) if row not in reasons])
    return Cleaned(
        replace(manifest, table=left), [LeftOut(rows[row][0], reason) for row, reason in sorted(reasons.items())]
    )
