"""Tables of pictures: which columns and rows count, and what is told. Nothing is decoded: files hold one letter."""

from __future__ import annotations

import csv
import os
import tempfile
import unicodedata
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data.test_folder import NAMES, lay
from vitscope.data.checks import check_trainable
from vitscope.data.manifest import Manifest
from vitscope.data.sources.scan import Scan
from vitscope.data.sources.table import TableSource
from vitscope.data.split import assign
from vitscope.errors import RequestError

FILES = ("a.jpg", "b.jpg", "c.jpg", "d.jpg")


def write(root: Path, content: str | bytes, name: str = "labels.csv") -> Path:
    """A table beside the files a.jpg to d.jpg."""
    lay(root, *FILES)
    file = root / name
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


def scan(file: Path) -> Scan:
    return TableSource.at(file).scan()


def found(result: Scan) -> dict[str, str]:
    """Class by locator."""
    return {r.locator: r.class_name for r in result.records}


# ---------------------------------------------------------------------------------------------- forms


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("plain.csv", "path,label\na.jpg,cat\nb.jpg,dog\n"),
        ("no-newline.csv", "path,label\na.jpg,cat\nb.jpg,dog"),
        ("bom.csv", "\ufeffpath,label\na.jpg,cat\nb.jpg,dog\n"),
        ("crlf.csv", "path,label\r\na.jpg,cat\r\nb.jpg,dog\r\n"),
        ("mac.csv", "path,label\ra.jpg,cat\rb.jpg,dog\r"),
        ("quoted.csv", '"path","label"\n"a.jpg","cat"\n"b.jpg","dog"\n'),
        ("semicolon.csv", "path;label\na.jpg;cat\nb.jpg;dog\n"),
        ("tab.csv", "path\tlabel\na.jpg\tcat\nb.jpg\tdog\n"),
        ("bar.csv", "path|label\na.jpg|cat\nb.jpg|dog\n"),
        ("TAB.TSV", "path\tlabel\na.jpg\tcat\nb.jpg\tdog\n"),
        ("comma.tsv", "path,label\na.jpg,cat\nb.jpg,dog\n"),
        ("order.csv", "label,note,path\ncat,x,a.jpg\ndog,y,b.jpg\n"),
        ("case.csv", "PATH, Label \na.jpg, cat\nb.jpg , dog\n"),
        ("blank-lines.csv", "\n\npath,label\n\na.jpg,cat\n,\nb.jpg,dog\n\n\n"),
        ("dots.csv", "path,label\n./a.jpg,cat\nx/../b.jpg,dog\n"),
        ("again.csv", "label,label_name,path\ncat,1,a.jpg\ndog,2,b.jpg\n"),
    ],
)
def test_fault_22_one_table_in_many_forms(name: str, content: str, tmp_path: Path) -> None:
    result = scan(write(tmp_path, content, name))
    assert found(result) == {"a.jpg": "cat", "b.jpg": "dog"}
    assert result.classes == ("cat", "dog") and result.notices == []
    record = next(r for r in result.records if r.locator == "a.jpg")
    state = (tmp_path / "a.jpg").stat()
    assert record == (str(tmp_path / "a.jpg"), "a.jpg", "cat", "", 1, state.st_mtime_ns, None)


@pytest.mark.parametrize("labels", [["cat", "dog"], pa.array(["cat", "dog"]).dictionary_encode()])
def test_parquet(labels: object, tmp_path: Path) -> None:
    lay(tmp_path, *FILES)
    table = pa.table({"path": ["a.jpg", "b.jpg"], "label": labels, "more": [[1], [2]]})
    pq.write_table(table, tmp_path / "labels.parquet")
    assert found(scan(tmp_path / "labels.parquet")) == {"a.jpg": "cat", "b.jpg": "dog"}


def test_splits_and_groups(tmp_path: Path) -> None:
    text = "path,label,split,group\na.jpg,x,Train,p1\nb.jpg,x,VALID,\nc.jpg,y,test,p2\nd.jpg,y,train,1\n"
    rows = {r.locator: (r.split, r.group) for r in scan(write(tmp_path, text)).records}
    assert rows == {"a.jpg": ("train", "p1"), "b.jpg": ("val", None), "c.jpg": ("test", "p2"), "d.jpg": ("train", "1")}


def test_paths_elsewhere(tmp_path: Path) -> None:
    lay(tmp_path / "pictures", "1.jpg", "deep/2.jpg")
    file = write(tmp_path / "tables", f"path,label\n../pictures/1.jpg,x\n{tmp_path}/pictures/deep/2.jpg,y\n")
    file.write_text(file.read_text() + f"{tmp_path}/tables/a.jpg,x\n")
    result = scan(file)
    assert {r.path: r.locator for r in result.records} == {
        str(tmp_path / "pictures/1.jpg"): "../pictures/1.jpg",
        str(tmp_path / "pictures/deep/2.jpg"): str(tmp_path / "pictures/deep/2.jpg"),
        str(tmp_path / "tables/a.jpg"): "a.jpg",
    }


def test_paths_written_on_windows(tmp_path: Path) -> None:
    lay(tmp_path, "x/1.jpg", "odd\\name.jpg")
    result = scan(write(tmp_path, "path,label\nx\\1.jpg,cat\nodd\\name.jpg,dog\n"))
    assert found(result) == {"x/1.jpg": "cat", "odd\\name.jpg": "dog"}


def test_ids_do_not_depend_on_where_the_table_lies(tmp_path: Path) -> None:
    ids = []
    for place in ("here", "there"):
        file = write(tmp_path / place, f"path,label\na.jpg,x\n{tmp_path / place}/b.jpg,y\n")
        records, classes, _ = scan(file)
        ids.append(Manifest.from_records(records, classes, "t").table["sample_id"].to_pylist())
    assert ids[0] == ids[1]


def test_the_name_is_that_of_the_file(tmp_path: Path) -> None:
    source = TableSource.at(write(tmp_path, "path,label\na.jpg,x\n", "birds.v2.csv"))
    assert source.name == "birds.v2" and source.location == str(tmp_path / "birds.v2.csv")


cells = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zs", "Zl", "Zp"]), min_size=1, max_size=12)
labels = cells | st.sampled_from(["a,b", 'say "x"', "two words", "line\nbreak", "-rf", "花", "😀", "a;b", "'"])


@settings(max_examples=60, deadline=None)
@given(st.lists(labels, min_size=4, max_size=4), st.sampled_from([",", ";", "\t"]), st.sampled_from(["\n", "\r\n"]))
def test_fault_22_what_the_csv_module_writes_is_read(names: list[str], delimiter: str, end: str) -> None:
    names = [f"k {name}" for name in names]  # of which none is a number or blank
    with tempfile.TemporaryDirectory() as folder:
        file = lay(Path(folder), *FILES) / "labels.csv"
        with file.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream, delimiter=delimiter, lineterminator=end)
            writer.writerows([("path", "label"), *zip(FILES, names, strict=True)])
        wanted = {f: unicodedata.normalize("NFC", name.strip()) for f, name in zip(FILES, names, strict=True)}
        assert found(scan(file)) == wanted


def test_fault_17_unusual_names_work(tmp_path: Path) -> None:
    lay(tmp_path, *(f"{i} {name}.jpg" for i, name in enumerate(NAMES)))
    with (tmp_path / "labels.csv").open("w", encoding="utf-8", newline="") as stream:
        rows = [(f"{i} {name}.jpg", name) for i, name in enumerate(NAMES)]
        csv.writer(stream).writerows([("path", "label"), *rows])
    result = scan(tmp_path / "labels.csv")
    assert found(result) == dict(rows) and list(result.classes) == sorted(NAMES)


# ---------------------------------------------------------------------------------------------- columns


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ("image,class", ["'image' is taken as the path", "'class' is taken as the label"]),
        ("File Name,Category", ["'File Name' is taken as the path", "'Category' is taken as the label"]),
        ("filename,label", ["'filename' is taken as the path"]),
        ("path,target", ["'target' is taken as the label"]),
    ],
)
def test_columns_called_otherwise_are_taken_and_told(header: str, told: list[str], tmp_path: Path) -> None:
    result = scan(write(tmp_path, f"{header}\na.jpg,x\nb.jpg,y\n"))
    assert found(result) == {"a.jpg": "x", "b.jpg": "y"}
    assert result.notices == [f"labels.csv: {', '.join(told)}."]


def test_a_set_is_a_split_where_it_holds_splits_only(tmp_path: Path) -> None:
    result = scan(write(tmp_path, "path,label,set,patient id\na.jpg,x,train,7\nb.jpg,y,test,8\n"))
    assert [(r.split, r.group) for r in result.records] == [("train", "7"), ("test", "8")]
    assert "'set' is taken as the split, 'patient id' is taken as the group" in result.notices[0]
    result = scan(write(tmp_path, "path,label,fold\na.jpg,x,0\nb.jpg,y,1\n"))
    assert {r.split for r in result.records} == {""} and result.notices == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("id,breed\n1,x\n", r"no column 'path' and 'label'.*columns are 'id', 'breed'"),
        ("path,lable\na.jpg,x\n", r"no column 'label'.*Did you mean 'lable'"),
        ("a.jpg,cat\nb.jpg,dog\n", r"no column 'path' and 'label'.*begin with a picture: put such a row before it"),
        ("image,file,label\na.jpg,a.jpg,x\n", r"2 columns may be the path: 'image', 'file'"),
        ("path,label,Label\na.jpg,x,y\n", r"2 columns may be the label: 'label', 'Label'"),
        ("path\na.jpg\n", r"no column 'label'.*columns are 'path'"),
    ],
)
def test_fault_22_missing_columns_are_told_with_those_there_are(content: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=said):
        scan(write(tmp_path, content))


def test_fault_22_what_is_no_table_is_told(tmp_path: Path) -> None:
    for content, said in (
        (b"", "an empty table"),
        (b"\n \n", "an empty table"),
        (b"path,label\n", "no row names a picture"),
        (b"path,label", "no row names a picture"),
        ("path,label\na.jpg,猫\n".encode("utf-16"), "UTF-16"),
        ("path,label\na.jpg,x\nb.jpg,狗\n".encode("gbk"), r"not in UTF-8 \(line 3\), and no other encoding is guessed"),
        (b"path,label\n" + b"a.jpg,x\n" * 300_000 + b"b.jpg,\xff\n", r"not in UTF-8 \(line 300,002\)"),
        (b"path,label\n\0\0\0", "not a text"),
        (b'path,label\na.jpg,x\nb.jpg,"y\nc.jpg,z\n', "row 3 opens a quotation mark that is never closed"),
    ):
        with pytest.raises(RequestError, match=said):
            scan(write(tmp_path, content))
    with pytest.raises(RequestError, match="not readable"):
        scan(write(tmp_path, b"path,label\n", "labels.parquet"))
    with pytest.raises(RequestError, match="no such file"):
        scan(tmp_path / "nothing.csv")


def test_fault_22_pictures_inside_a_parquet_are_told(tmp_path: Path) -> None:
    inside = pa.array([{"bytes": b"x", "path": "a.jpg"}])
    pq.write_table(pa.table({"image": inside, "label": [0]}), tmp_path / "hub.parquet")
    with pytest.raises(RequestError, match="column 'image' holds neither words nor numbers"):
        scan(tmp_path / "hub.parquet")


@pytest.mark.skipif(os.name == "nt", reason="rights are others there")
def test_an_unreadable_table_is_told(open_folder: Path, as_nobody) -> None:
    write(open_folder, "path,label\na.jpg,x\n").chmod(0)

    def question() -> str:
        with pytest.raises(RequestError) as told:
            scan(open_folder / "labels.csv")
        return str(told.value)

    assert "not readable (Permission denied)" in as_nobody(question)


# ---------------------------------------------------------------------------------------------- rows


def test_fault_22_missing_files_are_left_out_and_told_by_row(tmp_path: Path) -> None:
    text = "path,label\na.jpg,x\n\nnone.jpg,y\nb.jpg,y\nsub/none.jpg,x\nsub,x\n"
    (tmp_path / "sub").mkdir()
    result = scan(write(tmp_path, text))
    assert found(result) == {"a.jpg": "x", "b.jpg": "y"}
    (notice,) = result.notices
    assert "3 rows of 5 left out, the file being missing (rows 4, 6, 7:" in notice
    assert str(tmp_path / "none.jpg") in notice


def test_fault_22_a_million_rows(tmp_path: Path) -> None:
    """Four files there; every other row is missing or the same as an earlier one."""
    rows = 1_000_000
    lines = [f"{FILES[i % 4]},{'xy'[i % 2]}" if i % 2 else f"far/{i}.jpg,x" for i in range(rows)]
    result = scan(write(tmp_path, "\n".join(["path,label", *lines])))
    assert found(result) == {"b.jpg": "y", "d.jpg": "y"}
    told = " ".join(result.notices)
    assert "500,000 rows of 1,000,000 left out, the file being missing" in told
    assert "499,998 rows left out, the same as an earlier one" in told


def test_fault_22_only_missing_files_are_an_error_that_shows_a_path(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=rf"none of the 2 files .*Row 2 means {tmp_path}/img/1\. .*Endings such as"):
        scan(write(tmp_path, "path,label\nimg/1,x\nimg/2,y\n"))
    with pytest.raises(RequestError, match="Nothing is fetched"):
        scan(write(tmp_path, "path,label\nhttps://host/1.jpg,x\n"))


def test_fault_22_duplicate_rows_count_once_and_are_told(tmp_path: Path) -> None:
    result = scan(write(tmp_path, "path,label\na.jpg,x\nb.jpg,y\na.jpg,x\n./a.jpg,x\n"))
    assert len(result.records) == 2
    assert result.notices == ["labels.csv: 2 rows left out, the same as an earlier one (rows 4, 5)."]


def test_fault_22_a_file_with_two_labels_is_left_out_and_told(tmp_path: Path) -> None:
    lay(tmp_path, *(f"{i}.jpg" for i in range(20)))
    text = "path,label\n" + "".join(f"{i}.jpg,{'xy'[i % 2]}\n" for i in range(20)) + "3.jpg,x\n"
    result = scan(write(tmp_path, text))
    assert len(result.records) == 19 and "3.jpg" not in found(result)
    assert f"1 file left out, with more than one label ('{tmp_path}/3.jpg' in rows 5, 22)" in result.notices[0]


def test_fault_22_several_labels_a_file_as_a_rule_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"1 file of 2 with more than one label \('.*a.jpg' in rows 2, 3, 5\)"):
        scan(write(tmp_path, "path,label\na.jpg,x\na.jpg,y\nb.jpg,y\na.jpg,z\n"))


def test_a_file_in_two_splits_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"1 file in more than one split.*a.jpg' in rows 2, 4"):
        scan(write(tmp_path, "path,label,split\na.jpg,x,train\nb.jpg,y,train\na.jpg,x,test\n"))


def test_rows_of_another_length_are_left_out_and_told(tmp_path: Path) -> None:
    result = scan(write(tmp_path, 'path,label\na.jpg,"x\ny"\nb.jpg,cats, dogs\nc.jpg,z\nd.jpg\n'))
    assert found(result) == {"a.jpg": "x\ny", "c.jpg": "z"}
    assert "2 rows left out (rows 3, 5), of 3 cells where the header has 2" in result.notices[0]


def test_rows_are_numbered_as_a_person_counts_them(tmp_path: Path) -> None:
    text = '\npath,label\na.jpg,"x\ny"\n\nb.jpg,cats, dogs\nnone1.jpg,x\nd.jpg\nnone2.jpg,x\nc.jpg,\n'
    with (file := write(tmp_path, text)).open(encoding="utf-8", newline="") as stream:
        number = {row[0]: i for i, row in enumerate(csv.reader(stream), 1) if row}
    notices = " ".join(scan(file).notices)
    assert f"rows {number['none1.jpg']}, {number['none2.jpg']}:" in notices
    assert f"'label' being blank (row {number['c.jpg']})" in notices
    assert f"(rows {number['b.jpg']}, {number['d.jpg']})" in notices


def test_unknown_splits_are_refused_and_blank_ones_told(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"'split' holds 'tset' \(row 3\).*Did you mean 'test'"):
        scan(write(tmp_path, "path,label,split\na.jpg,x,train\nb.jpg,y,tset\n"))
    result = scan(write(tmp_path, "path,label,split\na.jpg,x,\nb.jpg,y,test\nc.jpg,y,train\n"))
    assert "1 row without a split (row 2): for training." in result.notices[0]


# ---------------------------------------------------------------------------------------------- labels


def test_whole_numbers_are_classes_in_their_order(tmp_path: Path) -> None:
    result = scan(write(tmp_path, "path,label\na.jpg,10\nb.jpg,9\nc.jpg,0\nd.jpg,9\n"))
    assert result.classes == ("0", "9", "10") and result.notices == []
    result = scan(write(tmp_path, "path,label\na.jpg,10\nb.jpg,9\nc.jpg,x\n"))
    assert result.classes == ("10", "9", "x")


@pytest.mark.parametrize("values", [[0.0, 1.0, 10.0, None], [0.0, 1.0, 10.0, float("nan")]])
def test_fault_23_labels_as_floats_are_whole_numbers_and_told(values: list, tmp_path: Path) -> None:
    texts = ["" if v is None else str(v) for v in values]
    lines = "".join(f"{file},{text}\n" for file, text in zip(FILES, texts, strict=True))
    lay(tmp_path, *FILES)
    pq.write_table(pa.table({"path": list(FILES), "label": pa.array(values)}), tmp_path / "labels.parquet")
    for file, row in ((write(tmp_path, f"path,label\n{lines}"), 5), (tmp_path / "labels.parquet", 4)):
        result = scan(file)
        assert result.classes == ("0", "1", "10") and found(result) == {"a.jpg": "0", "b.jpg": "1", "c.jpg": "10"}
        floats = "the column 'label' holds floats, taken as whole numbers: the classes are '0', '1', '10'."
        assert result.notices[0] == f"{file.name}: {floats}"
        assert f"1 row left out, 'label' being blank (row {row})" in result.notices[1]


def test_fault_23_real_numbers_are_refused_and_explained(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"real numbers such as 0.37 \(row 3\), 3 different numbers"):
        scan(write(tmp_path, "path,label\na.jpg,1\nb.jpg,0.37\nc.jpg,2e-3\n"))
    assert scan(write(tmp_path, "path,label\na.jpg,v1.5\nb.jpg,2.5\n")).classes == ("2.5", "v1.5")


def test_fault_23_blank_labels_are_left_out_counted_and_told(tmp_path: Path) -> None:
    result = scan(write(tmp_path, 'path,label\na.jpg,\nb.jpg,x\nc.jpg,"  "\nd.jpg,y\n,y\n'))
    assert found(result) == {"b.jpg": "x", "d.jpg": "y"}
    assert result.notices == [
        "labels.csv: 2 rows left out, 'label' being blank (rows 2, 4).",
        "labels.csv: 1 row left out, 'path' being blank (row 6).",
    ]
    with pytest.raises(RequestError, match=r"no row names a picture.*2 rows left out, 'label' being blank"):
        scan(write(tmp_path, "path,label\na.jpg,\nb.jpg,\n"))


def test_a_class_named_nan_is_one_among_words(tmp_path: Path) -> None:
    assert scan(write(tmp_path, "path,label\na.jpg,nan\nb.jpg,pita\n")).classes == ("nan", "pita")


# ---------------------------------------------------------------------------------------------- groups


def test_fault_28_no_group_of_a_table_is_divided(tmp_path: Path) -> None:
    lay(tmp_path, *(f"{i}.jpg" for i in range(120)))
    rows = [(f"{i}.jpg", "xy"[i % 2], f"patient {i // 6}") for i in range(120)]
    text = "path,label,group\n" + "".join(",".join(row) + "\n" for row in rows)
    records, classes, _ = scan(write(tmp_path, text))
    manifest, _ = assign(check_trainable(Manifest.from_records(records, classes, "t"))[0], 0.2, 0.3, 0)
    patient_of = {path: group for path, _, group in rows}
    splits: dict[str, set[str]] = {}
    for path, split in zip(manifest.table["path"].to_pylist(), manifest.table["split"].to_pylist(), strict=True):
        splits.setdefault(patient_of[Path(path).name], set()).add(split)
    assert len(splits) == 20 and all(len(each) == 1 for each in splits.values())
    assert set.union(*splits.values()) == {"train", "val", "test"}


def test_fault_28_a_group_in_two_given_splits_is_told(tmp_path: Path) -> None:
    text = "path,label,split,group\na.jpg,x,train,p1\nb.jpg,y,train,p2\nc.jpg,x,test,p1\nd.jpg,y,test,\n"
    records, classes, _ = scan(write(tmp_path, text))
    _, notices = check_trainable(Manifest.from_records(records, classes, "t"))
    assert any("1 group of 2 in more than one split ('p1' in test and train)" in notice for notice in notices)
