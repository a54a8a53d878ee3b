"""Rows of imported data sets. Each function is one transaction."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import Any

from sqlalchemy import RowMapping, delete, insert, select

from vitscope.storage.database import Database
from vitscope.storage.schema import datasets

__all__ = ["DatasetRow", "get", "list", "put"]


@dataclass(frozen=True)
class DatasetRow:
    """An imported data set. `manifest` is the path of its manifest relative to the workspace's root; `count` its
    pictures; `created_at` Unix seconds."""

    name: str
    source: str
    fingerprint: str
    count: int
    classes: tuple[str, ...]
    created_at: float
    manifest: str


_COLUMNS = [datasets.c[field.name] for field in fields(DatasetRow)]


def put(db: Database, row: DatasetRow) -> None:
    """Store a data set, in place of one of the same name."""
    with db.writing() as connection:
        connection.execute(delete(datasets).where(datasets.c.name == row.name))
        connection.execute(insert(datasets).values(**{**asdict(row), "classes": json.dumps(row.classes)}))


def get(db: Database, name: str) -> DatasetRow | None:
    """The data set of this name, or None."""
    with db.reading() as connection:
        found = connection.execute(select(*_COLUMNS).where(datasets.c.name == name)).mappings().first()
    return _row(found) if found is not None else None


def list(db: Database) -> tuple[DatasetRow, ...]:
    """All data sets, sorted by name."""
    with db.reading() as connection:
        found = connection.execute(select(*_COLUMNS).order_by(datasets.c.name)).mappings()
        return tuple(_row(row) for row in found)


def _row(found: RowMapping) -> DatasetRow:
    values: dict[str, Any] = dict(found)
    return DatasetRow(**{**values, "classes": tuple(json.loads(values["classes"]))})
