from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from vitscope.storage import datasets
from vitscope.storage.database import Database


def test_put_get_list_replace(tmp_path: Path):
    database = Database.at(tmp_path / "v.db")
    row = datasets.DatasetRow(
        "花 'photos'", "/data/花", "f" * 32, 3, ("猫", "dog", "😀", "\udcff"), 12.5, "datasets/x/manifest.parquet"
    )
    assert datasets.get(database, row.name) is None
    assert datasets.list(database) == ()
    datasets.put(database, row)
    datasets.put(database, replace(row, name="another"))
    assert datasets.get(database, row.name) == row
    datasets.put(database, replace(row, count=4))
    assert [(r.name, r.count) for r in datasets.list(database)] == [("another", 3), (row.name, 4)]
