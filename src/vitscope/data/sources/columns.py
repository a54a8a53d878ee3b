"""Which columns of a table hold the path, the class, the split and the group of a picture."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from vitscope.data.sources.names import EXTENSIONS, extension
from vitscope.errors import RequestError, closest
from vitscope.text import brief, shown, some

# What a column may be called, in any case, with blanks and hyphens for underscores. The first name wins over
# the rest, among which one is taken only where there is no other.
NAMES = {
    "path": (
        *("path", "file", "filename", "file_name", "filepath", "file_path", "image", "image_path", "image_file"),
        *("image_name", "img", "img_path", "img_name"),
    ),
    "label": ("label", "class", "category", "target", "class_name", "class_label", "label_name"),
    "split": ("split", "set", "subset", "partition", "fold"),
    "group": ("group", "group_id", "patient", "patient_id", "subject", "subject_id"),
}
NEEDED = ("path", "label")


class Columns(NamedTuple):
    """Places of the columns in the table, counted from 0."""

    path: int
    label: int
    split: int | None
    group: int | None
    names: tuple[str, ...]  # of all columns of the table

    def name(self, role: str) -> str:
        """What the table calls the column of a role that it has."""
        return brief(self.names[getattr(self, role)])

    def told(self) -> list[str]:
        """Which columns were taken that are called otherwise than the role."""
        taken = [r for r in NAMES if getattr(self, r) is not None and _plain(self.names[getattr(self, r)]) != r]
        return [f"'{self.name(role)}' is taken as the {role}" for role in taken]


def columns_of(names: Sequence[str], table: object) -> Columns:
    """The columns by their header. Raises `RequestError` where the path or the label is missing, or unclear."""
    found = {role: _one(role, names, table) for role in NAMES}
    missing = [role for role in NEEDED if found[role] is None]
    if missing:
        raise _missing(missing, names, table)
    path, label = found["path"], found["label"]
    assert path is not None and label is not None
    return Columns(path, label, found["split"], found["group"], tuple(names))


def has_needed(names: Sequence[str]) -> bool:
    """Whether a header names the path and the label."""
    plain = {_plain(name) for name in names}
    return all(plain & set(NAMES[role]) for role in NEEDED)


def _one(role: str, names: Sequence[str], table: object) -> int | None:
    plain = [_plain(name) for name in names]
    exact = [i for i, name in enumerate(plain) if name == role]
    candidates = exact or [i for i, name in enumerate(plain) if name in NAMES[role]]
    if len(candidates) > 1 and (exact or role in NEEDED):
        called = some((names[i] for i in candidates), 10)
        raise RequestError(
            f"{shown(table)}: {len(candidates)} columns may be the {role}: {called}. Call the one that is '{role}', "
            "and no other."
        )
    return candidates[0] if len(candidates) == 1 else None


def _missing(roles: Iterable[str], names: Sequence[str], table: object) -> RequestError:
    wanted = " and ".join(f"'{role}'" for role in roles)
    text = f"{shown(table)}: no column {wanted}. A table begins with a row of column names, such as path,label."
    if any(extension(name) in EXTENSIONS for name in names):
        return RequestError(f"{text} This one seems to begin with a picture: put such a row before it.")
    text += f" Its columns are {some(names, 10) or 'none'}."
    near = [closest(role, [name for name in names if name]) for role in roles]
    return RequestError(" ".join([text, *(hint for hint in near if hint.startswith("Did"))]))


def _plain(name: str) -> str:
    return re.sub(r"[\s-]+", "_", name.strip().lower())
