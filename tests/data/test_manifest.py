"""The manifest: ids, labels by name, fingerprint, and that it may move."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from vitscope.data.manifest import Manifest, Record, sample_id
from vitscope.data.sources.folder import FolderSource
from vitscope.errors import RequestError


def record(name: str, class_name: str, split: str = "", size: int = 1, mtime: int = 0) -> Record:
    return Record(f"/set/{class_name}/{name}", f"{class_name}/{name}", class_name, split, size, mtime)


@pytest.fixture
def manifest() -> Manifest:
    return Manifest.from_records([record("2.png", "b"), record("1.png", "a"), record("3.png", "b")], ["b", "a"], "set")


def test_fault_27_labels_follow_the_given_order_of_names_and_survive_storage(
    manifest: Manifest, tmp_path: Path
) -> None:
    assert manifest.classes == ("b", "a")
    by_path = dict(zip(manifest.table["path"].to_pylist(), manifest.table["label"].to_pylist(), strict=True))
    assert by_path == {"/set/a/1.png": 1, "/set/b/2.png": 0, "/set/b/3.png": 0}
    manifest.save(tmp_path / "manifest.parquet")
    loaded = Manifest.load(tmp_path / "manifest.parquet")
    assert loaded.classes == ("b", "a") and loaded.source == "set" and loaded.table.equals(manifest.table)
    assert loaded.counts() == {"b": 2, "a": 1}


def test_ids_depend_on_source_split_and_locator_alone() -> None:
    ids = {sample_id(*parts) for parts in (("s", "", "a/1"), ("t", "", "a/1"), ("s", "train", "a/1"), ("s", "", "a/2"))}
    assert len(ids) == 4 and all(len(i) == 16 for i in ids)
    records = [record("1.png", "a"), record("2.png", "a")]
    moved = [r._replace(path=f"/other/{r.locator}", size_bytes=99) for r in records[::-1]]
    one, two = (Manifest.from_records(rows, ["a"], "s").table["sample_id"].to_pylist() for rows in (records, moved))
    assert one == two


def test_the_fingerprint_changes_with_every_change_and_with_nothing_else(manifest: Manifest) -> None:
    base = [record("1.png", "a"), record("2.png", "b")]

    def print_of(records: list[Record], classes: tuple[str, ...] = ("a", "b")) -> str:
        return Manifest.from_records(records, classes, "set").fingerprint

    changed = [
        print_of([record("1.png", "a", size=2), base[1]]),
        print_of([record("1.png", "a", mtime=1), base[1]]),
        print_of([record("1.png", "a", split="train"), base[1]]),
        print_of([record("9.png", "a"), base[1]]),
        print_of(base[:1]),
        print_of(base, ("b", "a")),
    ]
    assert len({print_of(base), *changed}) == 7
    assert print_of(base[::-1]) == print_of(base)
    assert print_of([r._replace(path=f"/moved/{r.locator}") for r in base]) == print_of(base)


def test_the_fingerprint_is_what_it_has_been_since_the_first_version() -> None:
    rows = [record(f"{i}.png", "ab"[i % 2], size=10**i, mtime=1_700_000_000_000_000_000 - i) for i in range(12)]
    digest = hashlib.blake2b(b"a\0b", digest_size=16)
    lines = [f"{sample_id('set', '', r.locator)} {r.size_bytes} {r.mtime_ns}\n" for r in rows]
    digest.update("".join(sorted(lines)).encode())  # ids are unlike each other, so lines sort as they do
    assert Manifest.from_records(rows, ["a", "b"], "set").fingerprint == digest.hexdigest()


def test_a_split_leaves_out_samples_with_a_problem(manifest: Manifest) -> None:
    marked = manifest.with_column("split", ["train", "train", "test"]).with_column("problem", [None, "bad", None])
    assert len(marked.of_split("train")) == 1 and len(marked.of_split("test")) == 1 and len(marked.of_split("val")) == 0
    assert marked.counts("train") == {"b": 0, "a": 1}


def test_paths_inside_a_moved_folder_lead_to_the_new_place(tmp_path: Path) -> None:
    old = tmp_path / "old"
    for name in ("images/a/1.png", "images/b/1.png"):
        (old / name).parent.mkdir(parents=True)
        (old / name).write_text(name)
    outside = tmp_path / "outside.png"
    outside.write_text("outside")
    records, classes, _ = FolderSource.at(old / "images").scan()
    records.append(Record(str(outside), "a/outside.png", "a", "", 7, 0))
    Manifest.from_records(records, classes, "images").save(old / "manifest.parquet", within=old)
    old.rename(tmp_path / "new")
    paths = Manifest.load(tmp_path / "new/manifest.parquet").table["path"].to_pylist()
    assert sorted(Path(path).read_text() for path in paths) == ["images/a/1.png", "images/b/1.png", "outside"]


def test_what_is_no_manifest_is_told(tmp_path: Path, manifest: Manifest) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    (tmp_path / "text.parquet").write_text("no table")
    pq.write_table(pa.table({"x": [1]}), tmp_path / "other.parquet")
    manifest.save(tmp_path / "cut.parquet")
    content = (tmp_path / "cut.parquet").read_bytes()
    (tmp_path / "cut.parquet").write_bytes(content[: len(content) // 2])
    for name in ("text", "other", "cut", "missing"):
        with pytest.raises(RequestError, match=f"{name}.parquet"):
            Manifest.load(tmp_path / f"{name}.parquet")


def test_a_failed_save_keeps_what_was_there(
    manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pyarrow.parquet as pq

    file = tmp_path / "manifest.parquet"
    manifest.save(file)
    before = file.read_bytes()

    def fail(table: object, path: Path) -> None:
        path.write_text("half")
        raise OSError("disk full")

    monkeypatch.setattr(pq, "write_table", fail)
    with pytest.raises(OSError, match="disk full"):
        manifest.save(file)
    assert file.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["manifest.parquet"]
