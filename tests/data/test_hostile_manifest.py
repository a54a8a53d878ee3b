"""Manifests of any content, as a foreign run may bring one: read, or refused in a paragraph."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import strategies as st

from tests.hostile import EXAMPLES, changed, fuzz, mutated, told, words
from vitscope.data.manifest import SCHEMA, SPLITS, Manifest, Record
from vitscope.errors import RequestError

RECORDS = [
    Record(f"/p/{name}/{i}.jpg", f"{name}/{i}.jpg", name, split, 5, 7)
    for name in "ab"
    for i in range(3)
    for split in SPLITS
]
TYPES = [pa.string(), pa.int32(), pa.int64(), pa.float64(), pa.bool_(), pa.binary(), pa.list_(pa.string()), pa.null()]


def used(file: Path) -> None:
    """All that a program asks of a manifest."""
    manifest = Manifest.load(file)
    assert len(manifest.fingerprint) == 32
    assert manifest.changed() is not None
    assert manifest.absent() is not None
    for split in SPLITS:
        part = manifest.of_split(split)
        assert sum(part.counts().values()) == len(part)
        for i in range(min(len(part), 3)):
            assert 0 <= part.sample(i).label < len(manifest.classes)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    Manifest.from_records(RECORDS, ("a", "b"), "x").save(tmp_path / "run" / "manifest.parquet")
    return tmp_path / "run" / "manifest.parquet"


def rewritten(file: Path, columns: dict[str, Any], described: dict[bytes, bytes]) -> None:
    arrays = {name: column if isinstance(column, pa.Array) else pa.array(column) for name, column in columns.items()}
    pq.write_table(pa.table(arrays).replace_schema_metadata(described), file)


@pytest.mark.parametrize("examples", EXAMPLES)
def test_any_bytes_are_a_manifest_or_told(file: Path, tmp_path: Path, examples: int):
    valid = file.read_bytes()

    def check(content: bytes) -> None:
        file.write_bytes(content)
        with told(tmp_path):
            used(file)

    fuzz(examples, check, mutated(valid) | st.binary(max_size=50))


@pytest.mark.parametrize("examples", EXAMPLES)
def test_any_table_is_a_manifest_or_told(file: Path, tmp_path: Path, examples: int):
    good = pq.read_table(file)
    said = [json.dumps("ab"), '["a","b"]', "5", "null", "{}", '"ab"', "[1,2]", '["a","a"]', "[]", "[" * 5_000, "\udcff"]
    cells = {
        pa.string(): words | st.sampled_from(["train", "val", "/p/a/1.jpg"]), pa.int32(): st.integers(-2, 3),
        pa.int64(): st.sampled_from([-1, 0, 2**62]), pa.float64(): st.floats(), pa.bool_(): st.booleans(),
        pa.binary(): st.binary(max_size=4), pa.list_(pa.string()): st.lists(words, max_size=2), pa.null(): st.none(),
    }  # fmt: skip

    def check(data: st.DataObject) -> None:
        columns = {name: good[name].combine_chunks() for name in good.column_names}
        for name in data.draw(st.sets(st.sampled_from(SCHEMA.names), max_size=3)):
            kind = data.draw(st.sampled_from([SCHEMA.field(name).type, *TYPES]))
            cell = cells[kind] | st.none()
            columns[name] = pa.array(data.draw(st.lists(cell, min_size=len(RECORDS), max_size=len(RECORDS))), kind)
        if data.draw(st.integers(0, 4)) == 0:
            columns.pop(data.draw(st.sampled_from(SCHEMA.names)))
        described = dict(good.schema.metadata)
        if data.draw(st.booleans()):
            text = data.draw(st.sampled_from(said) | changed(["a", "b"]).map(lambda v: json.dumps(v, default=str)))
            described[b"vitscope.classes"] = text.encode("utf-8", "surrogateescape")
        if data.draw(st.integers(0, 4)) == 0:
            described[b"vitscope.source"] = data.draw(st.binary(max_size=5))
        rewritten(file, columns, described)
        with told(tmp_path):
            used(file)

    fuzz(examples, check, st.data())


# ---------------------------------------------------------------------------------------------- what was found


@pytest.mark.parametrize("text", ["5", "null", '"ab"', "[1, 2]", '["a", "a"]', "[" * 5_000])
def test_class_names_that_are_none_are_told(file: Path, text: str):
    table = pq.read_table(file)
    described = {**table.schema.metadata, b"vitscope.classes": text.encode()}
    pq.write_table(table.replace_schema_metadata(described), file)
    with pytest.raises(RequestError, match="not a manifest of this program"):
        Manifest.load(file)


@pytest.mark.parametrize(
    ("column", "cell"),
    [("label", 2), ("label", -1), ("label", None), ("path", None), ("split", None), ("size_bytes", None)],
)
def test_cells_that_no_manifest_has_are_told(file: Path, column: str, cell: Any):
    table = pq.read_table(file)
    cells = [cell, *table[column].to_pylist()[1:]]
    index = table.column_names.index(column)
    pq.write_table(table.set_column(index, SCHEMA.field(column), pa.array(cells, SCHEMA.field(column).type)), file)
    with pytest.raises(RequestError, match=f"not a manifest of this program .*'{column}'"):
        Manifest.load(file)


def test_fault_25_more_rows_than_ids_are_told(file: Path):
    good = pq.read_table(file)
    table = pa.table([pa.repeat(good[name][0], 2_000_000) for name in SCHEMA.names], names=SCHEMA.names)
    pq.write_table(table.replace_schema_metadata(good.schema.metadata), file)
    with pytest.raises(RequestError, match="more rows than ids"):
        Manifest.load(file)
