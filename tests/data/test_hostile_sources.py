"""Tables, archives and folders of any content: read, or refused in a paragraph; nothing appears elsewhere."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import strategies as st

from tests.hostile import EXAMPLES, floats, fuzz, mutated, numbers, told, words
from vitscope.data.manifest import Manifest
from vitscope.data.sources import open_source
from vitscope.errors import RequestError
from vitscope.storage.workspace import Workspace


class Place:
    """A folder with a source in it, a workspace, and things around them that are nobody's business."""

    def __init__(self, around: Path):
        self.around, self.home, self.workspace = around, around / "home", Workspace(around / "workspace")
        self.home.mkdir()
        for name in ("1.jpg", "2.jpg", "a.jpg"):
            (self.home / name).write_bytes(b"x")
        (around / "precious.jpg").write_text("mine")

    def scan(self, name: str, content: bytes) -> None:
        file = self.home / name
        file.write_bytes(content)
        with told(self.around, self.workspace.root):
            records, classes, _ = open_source(str(file), self.workspace).scan()
            assert {record.class_name for record in records} <= {*classes}
            assert all(Path(record.path).is_file() for record in records)
            assert len(Manifest.from_records(records, classes, "x").fingerprint) == 32
        for found in self.workspace.root.rglob("*"):
            assert found.resolve().is_relative_to(self.workspace.root), found
            assert not found.is_symlink(), found


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


# ---------------------------------------------------------------------------------------------- tables

cells = (
    words
    | numbers.filter(lambda n: abs(n) < 10**30).map(str)
    | floats.map(str)
    | st.sampled_from(["1.jpg", "2.jpg", "a.jpg"])
)
headers = st.lists(
    st.sampled_from(["path", "label", "split", "group", "Path", "class", ""]) | words, min_size=1, max_size=5
)
VALID = b'path,label,split,group\n1.jpg,x,train,p\n2.jpg,y,test,q\na.jpg,"x\ny",val,\n'


@st.composite
def texts(draw: st.DrawFn) -> bytes:
    """A table as text, of cells that need not be quoted as they should."""
    delimiter, end = draw(st.sampled_from(",;\t|")), draw(st.sampled_from(["\n", "\r\n", "\r"]))
    usual = st.sampled_from([["path", "label"], ["path", "label", "split"], ["label", "path", "group", "split"]])
    header = draw(usual | usual | headers)
    row = st.lists(cells, min_size=len(header), max_size=len(header))
    rows = [header, *draw(st.lists(row | row | row | st.lists(cells, max_size=5), max_size=6))]
    whole = end.join(delimiter.join(row) for row in rows)
    return whole.encode(draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "latin-1"])), "replace")


@pytest.mark.parametrize("examples", EXAMPLES)
@pytest.mark.parametrize("ending", [".csv", ".tsv"])
def test_any_text_is_a_table_or_told(place: Place, ending: str, examples: int):
    fuzz(
        examples, lambda content: place.scan(f"t{ending}", content), texts() | mutated(VALID) | st.binary(max_size=200)
    )


def of(kind: pa.DataType) -> st.SearchStrategy[Any]:
    """Cells of a column of a type."""
    if pa.types.is_integer(kind):
        return st.integers(-100, 100)
    if pa.types.is_floating(kind):
        return floats
    return {
        pa.bool_(): st.booleans(),
        pa.binary(): st.binary(max_size=8),
        pa.timestamp("us"): st.datetimes(),
        pa.decimal128(10, 2): st.decimals(-100, 100, places=2),
        pa.list_(pa.string()): st.lists(words, max_size=2),
        pa.struct([("bytes", pa.string())]): st.fixed_dictionaries({"bytes": words}),
        pa.null(): st.none(),
    }.get(kind, cells)


KINDS = [pa.string(), pa.large_string(), pa.string_view(), pa.int64(), pa.int8(), pa.float64(), pa.bool_(), pa.binary()]
KINDS += [
    pa.timestamp("us"),
    pa.decimal128(10, 2),
    pa.list_(pa.string()),
    pa.struct([("bytes", pa.string())]),
    pa.null(),
]
KINDS += [pa.dictionary(pa.int32(), pa.string())]


@st.composite
def parquets(draw: st.DrawFn) -> bytes:
    """A Parquet of columns of any names and types; names may be there twice."""
    names = draw(headers | st.just(["path", "label"]) | st.just(["path", "label", "split", "group"]))
    rows = draw(st.integers(0, 5))
    columns = []
    for _ in names:
        kind = draw(st.sampled_from(KINDS))
        cells_ = draw(st.lists(st.none() | of(kind), min_size=rows, max_size=rows))
        columns.append(
            pa.array(cells_, pa.string()).dictionary_encode()
            if pa.types.is_dictionary(kind)
            else pa.array(cells_, kind)
        )
    stream = pa.BufferOutputStream()
    options: dict[str, Any] = {"compression": draw(st.sampled_from(["none", "snappy", "zstd", "gzip"]))}
    pq.write_table(pa.table(columns, names=names), stream, use_dictionary=draw(st.booleans()), **options)
    return stream.getvalue().to_pybytes()


def parquet(**columns: Any) -> bytes:
    stream = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), stream)
    return stream.getvalue().to_pybytes()


PARQUET = parquet(path=["1.jpg", "2.jpg", "a.jpg"], label=["x", "y", "x"], split=["train", "test", None])


@pytest.mark.parametrize("examples", EXAMPLES)
def test_any_parquet_is_a_table_or_told(place: Place, examples: int):
    fuzz(
        examples,
        lambda content: place.scan("t.parquet", content),
        parquets() | mutated(PARQUET) | st.binary(max_size=50),
    )


# ---------------------------------------------------------------------------------------------- archives

FILES = {"cat/1.jpg": b"one", "cat/deep/2.jpg": b"two", "dog/1.png": b"three" * 50, "labels.csv": VALID}
names = st.lists(
    st.sampled_from(["cat", "dog", "1.jpg", "..", ".", "", "labels.csv", "C:", "花"]) | words, min_size=1, max_size=4
).map("/".join)
TAR_KINDS = [tarfile.REGTYPE, tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE]
TAR_KINDS += [tarfile.CHRTYPE, tarfile.GNUTYPE_SPARSE, b"Z"]
MODES = {"x.tar": "w:", "x.tar.gz": "w:gz", "x.tar.bz2": "w:bz2", "x.tar.xz": "w:xz"}


def zipped(files: dict[str, bytes], **options: Any) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", **options) as packed:
        for name, content in files.items():
            packed.writestr(name, content)
    return stream.getvalue()


def tarred(files: dict[str, bytes], mode: str) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as packed:  # type: ignore[call-overload]
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            packed.addfile(info, io.BytesIO(content))
    return stream.getvalue()


@st.composite
def zips(draw: st.DrawFn) -> bytes:
    """A zip of members of any names, some of them links."""
    stream = io.BytesIO()
    with zipfile.ZipFile(
        stream, "w", draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA]))
    ) as packed:
        for name in draw(st.lists(names, max_size=5)):
            info = zipfile.ZipInfo(name.replace("\0", "_") or "x")
            info.create_system = draw(st.sampled_from([0, 3]))
            info.external_attr = draw(st.sampled_from([0, 0o100644, 0o120777, 0o040755, 0o010644, 0o060644])) << 16
            packed.writestr(
                info, draw(st.binary(max_size=20) | names.map(lambda text: text.encode("utf-8", "replace")))
            )
    return stream.getvalue()


@st.composite
def tars(draw: st.DrawFn, mode: str) -> bytes:
    """A tar of members of any names and kinds."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode, format=draw(st.sampled_from([0, 1, 2]))) as packed:  # type: ignore[call-overload]
        for name in draw(st.lists(names, max_size=5)):
            info, content = tarfile.TarInfo(name), draw(st.binary(max_size=20))
            info.type, info.linkname = draw(st.sampled_from(TAR_KINDS)), draw(names)
            info.size = len(content) if info.type == tarfile.REGTYPE else draw(st.sampled_from([0, 0, 5, 2**33]))
            try:
                packed.addfile(info, io.BytesIO(content) if info.type == tarfile.REGTYPE else None)
            except (ValueError, UnicodeError):  # a name or a size that this format cannot hold
                continue
    return stream.getvalue()


@pytest.mark.parametrize("examples", EXAMPLES)
def test_any_zip_is_unpacked_or_told(place: Place, examples: int):
    valid = st.sampled_from([zipped(FILES), zipped(FILES, compression=zipfile.ZIP_DEFLATED)])
    fuzz(
        examples, lambda content: place.scan("x.zip", content), zips() | valid.flatmap(mutated) | st.binary(max_size=99)
    )


@pytest.mark.parametrize("examples", EXAMPLES)
@pytest.mark.parametrize("name", MODES)
def test_any_tar_is_unpacked_or_told(place: Place, name: str, examples: int):
    mode = MODES[name]
    fuzz(
        examples,
        lambda content: place.scan(name, content),
        tars(mode) | mutated(tarred(FILES, mode)) | st.binary(max_size=99),
    )


# ---------------------------------------------------------------------------------------------- folders

file_names = st.binary(min_size=1, max_size=40).map(lambda b: b.replace(b"/", b"_").replace(b"\0", b"_"))
file_names |= words.map(lambda text: text.replace("/", "_").replace("\0", "_").encode("utf-8")[:200])
file_names = file_names.filter(lambda name: name not in (b"", b".", b".."))


@pytest.mark.skipif(os.name == "nt", reason="names are text there")
@pytest.mark.parametrize("examples", EXAMPLES)
def test_any_names_of_folders_and_files_are_taken_or_told(tmp_path: Path, examples: int):
    workspace, count = Workspace(tmp_path / "workspace"), iter(range(10**9))

    def check(root_name: bytes, made: list[tuple[list[bytes], bytes]]) -> None:
        around = tmp_path / f"{next(count)}"
        root = os.path.join(os.fsencode(around), root_name)  # noqa: PTH118 (names that are no text)
        os.makedirs(root)  # noqa: PTH103
        for folders, name in made:
            folder = os.path.join(root, *folders)  # noqa: PTH118
            try:
                os.makedirs(folder, exist_ok=True)  # noqa: PTH103
                with open(os.path.join(folder, name + b".png"), "xb") as stream:  # noqa: PTH118, PTH123
                    stream.write(b"x")
            except OSError:  # a file is there already, or the name is too long
                continue
        with told(around):
            records, classes, _ = open_source(os.fsdecode(root), workspace).scan()
            assert len(Manifest.from_records(records, classes, "x").fingerprint) == 32

    split = st.sampled_from([b"train", b"val", b"test", b"Train", b"valid"])
    fuzz(
        examples,
        check,
        file_names,
        st.lists(st.tuples(st.lists(file_names | split, max_size=3), file_names), max_size=6),
    )


# ---------------------------------------------------------------------------------------------- what was found


@pytest.mark.parametrize("number", ["9" * 5_000, "-" + "9" * 5_000])
def test_numbers_of_thousands_of_digits_are_told(place: Place, number: str):
    place.scan("t.csv", f"path,label\n1.jpg,{number}\n2.jpg,1\n".encode())


def test_columns_of_one_name_in_a_parquet_are_told(place: Place):
    stream = pa.BufferOutputStream()
    pq.write_table(
        pa.table([pa.array(["1.jpg"]), pa.array(["x"]), pa.array(["y"])], names=["path", "label", "label"]), stream
    )
    (place.home / "t.parquet").write_bytes(stream.getvalue().to_pybytes())
    with pytest.raises(RequestError, match="2 columns may be the label"):
        open_source(str(place.home / "t.parquet"), place.workspace).scan()


def test_fault_25_a_parquet_of_more_rows_than_its_bytes_can_say_is_told(place: Place):
    """Five million rows in some kilobytes, which would be gigabytes of words."""
    words_ = pa.DictionaryArray.from_arrays(np.zeros(5_000_000, np.int32), ["1.jpg"])
    pq.write_table(pa.table({"path": words_, "label": words_}), place.home / "t.parquet")
    assert (place.home / "t.parquet").stat().st_size < 100_000
    with pytest.raises(RequestError, match="5,000,000 rows in"):
        open_source(str(place.home / "t.parquet"), place.workspace).scan()
