"""The archive: any tar program reads it, and nothing that was not written passes."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vitscope._version import __version__
from vitscope.errors import RequestError, WorkFailed
from vitscope.storage import archive

LONG = f"run/{'deep/' * 30}" + "name" * 20 + ".bin"
FILES = {"run/empty": b"", "run/花/1.txt": "花\n".encode(), LONG: b"x" * 512, "rows.json": bytes(range(256)) * 9}


@pytest.fixture
def written(tmp_path: Path) -> Path:
    return write(tmp_path, FILES)


def write(place: Path, files: dict[str, bytes], **about: Any) -> Path:
    sources = {}
    for number, (path, content) in enumerate(files.items()):
        sources[path] = place / f"source-{number}"
        sources[path].write_bytes(content)
    archive.write(place / "a.tar", {"run": {"id": "abc"}, **about}, sources)
    return place / "a.tar"


def check(file: Path) -> archive.Archive:
    opened = archive.read(file)
    opened.verify()
    return opened


def listed_as(change: dict[str, Any], *paths: str, content: bytes = b"hello") -> bytes:
    """An archive with sums that are right, whose list says what `change` does."""
    entries = [
        {"path": path, "size_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()} for path in paths
    ]
    text = json.dumps({"format": 1, "vitscope": "1", "time": 7, "files": entries, **change}).encode()
    parts = [(archive.CONTENTS, text), (archive.SEAL, archive._seal(text)), *((path, content) for path in paths)]
    return b"".join(archive._header(n, len(c), 7) + c + archive._padding(len(c)) for n, c in parts) + archive._END


def test_there_and_back(written: Path, tmp_path: Path) -> None:
    opened = check(written)
    assert opened.about == {"vitscope": __version__, "run": {"id": "abc"}}
    assert {entry.path: entry.size_bytes for entry in opened.entries} == {p: len(c) for p, c in FILES.items()}
    (tmp_path / "out").mkdir()
    opened.unpack(tmp_path / "out", "run/")
    found = {f.relative_to(tmp_path / "out").as_posix(): f.read_bytes() for f in (tmp_path / "out").rglob("*.*")}
    assert found == {path.removeprefix("run/"): c for path, c in FILES.items() if path.startswith("run/") and c}
    assert all(opened.content(path) == content for path, content in FILES.items())


def test_any_tar_program_reads_it(written: Path, tmp_path: Path) -> None:
    with tarfile.open(written) as opened:
        members = {m.name.removeprefix(archive.FOLDER): opened.extractfile(m) for m in opened.getmembers()}
        content = {name: stream.read() for name, stream in members.items() if stream is not None}
    assert {name: content[name] for name in FILES} == FILES
    assert list(content)[:2] == [archive.CONTENTS, archive.SEAL]
    if shutil.which("tar") and shutil.which("sha256sum"):
        subprocess.run(["tar", "xf", written, "-C", tmp_path], check=True)
        subprocess.run(["sha256sum", "--quiet", "-c", archive.SEAL], cwd=tmp_path / archive.FOLDER, check=True)


def test_a_file_of_eight_gigabytes_and_more_has_its_size_in_a_record() -> None:
    header = archive._header("run/model.safetensors", 2**40 + 1, 7)
    with tarfile.open(fileobj=io.BytesIO(header + bytes(1024))) as opened:
        assert opened.firstmember is not None  # type: ignore[attr-defined]
        assert opened.firstmember.size == 2**40 + 1  # type: ignore[attr-defined]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_flipped_bit_passes(written: Path, tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(written.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= 1 << data.draw(st.integers(0, 7))
    altered = tmp_path / "altered.tar"
    altered.write_bytes(content)
    with pytest.raises(RequestError):
        check(altered)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_none_that_is_cut_off_or_goes_on_passes(written: Path, tmp_path: Path, data: st.DataObject) -> None:
    content = written.read_bytes()
    cut = tmp_path / "cut.tar"
    cut.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    with pytest.raises(RequestError):
        check(cut)
    cut.write_bytes(content + data.draw(st.binary(min_size=1, max_size=2000)))
    with pytest.raises(RequestError, match="follow its end"):
        check(cut)


def test_which_file_is_damaged_is_told(written: Path) -> None:
    content = bytearray(written.read_bytes())
    content[content.index("花\n".encode())] ^= 1
    written.write_bytes(content)
    with pytest.raises(RequestError, match=r"'run/花/1.txt' differs from its sum.*Nothing was imported"):
        check(written)
    written.write_bytes(content[: archive.read(written).places()[LONG] + 5])
    with pytest.raises(RequestError, match="cut off in 'run/deep/"):
        check(written)


@pytest.mark.parametrize(
    "path",
    [
        "../up",
        "run/../../up",
        "/etc/passwd",
        "run//x",
        "run/./x",
        "C:/x",
        "run\\..\\x",
        "run/\0x",
        "run/a\nb",
        "",
        "x/",
    ],
)
def test_fault_24_names_that_lead_out_are_refused_whole(tmp_path: Path, path: str) -> None:
    file = tmp_path / "hostile.tar"
    file.write_bytes(listed_as({}, "run/good", path))
    with pytest.raises(RequestError, match="refused whole"):
        archive.read(file)
    (tmp_path / "source").touch()
    with pytest.raises(RequestError, match="cannot be in an archive"):
        archive.write(tmp_path / "new.tar", {}, {path: tmp_path / "source"})
    assert not (tmp_path / "new.tar").exists()


@pytest.mark.parametrize("paths", [("run/a", "run/a"), ("run/a", "run/a/b")])
def test_two_files_at_one_place_are_refused(tmp_path: Path, paths: tuple[str, ...]) -> None:
    file = tmp_path / "hostile.tar"
    file.write_bytes(listed_as({}, *paths))
    with pytest.raises(RequestError, match="at one place"):
        archive.read(file)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE])
def test_links_devices_and_folders_are_refused(tmp_path: Path, kind: bytes) -> None:
    """What another program would take for a link in place of a listed file, its content following all the same."""
    whole = bytearray(listed_as({}, "run/a"))
    at = whole.index(f"{archive.FOLDER}run/a".encode())
    member = tarfile.TarInfo(f"{archive.FOLDER}run/a")
    member.type, member.linkname, member.size, member.mtime = kind, "/etc/passwd", 5, 7
    whole[at : at + 512] = member.tobuf(tarfile.USTAR_FORMAT)
    (tmp_path / "hostile.tar").write_bytes(whole)
    with pytest.raises(RequestError, match="header of 'run/a'"):
        check(tmp_path / "hostile.tar")


@pytest.mark.parametrize(
    "entry",
    [
        {"path": "run/a", "size_bytes": 10**15, "sha256": "0" * 64},
        {"path": "run/a", "size_bytes": -1, "sha256": "0" * 64},
        {"path": "run/a", "size_bytes": True, "sha256": "0" * 64},
        {"path": "run/a", "size_bytes": 5.0, "sha256": "0" * 64},
        {"path": 5, "size_bytes": 5, "sha256": "0" * 64},
        {"path": "run/a", "size_bytes": 5, "sha256": "x"},
        {"path": "run/a", "size_bytes": 5, "sha256": None},
        {"path": "run/a"},
        "run/a",
    ],
)
def test_fault_25_sizes_that_are_none_are_refused_before_anything_is_read(tmp_path: Path, entry: Any) -> None:
    (tmp_path / "bomb.tar").write_bytes(listed_as({"files": [entry]}, "run/a"))
    with pytest.raises(RequestError, match="damaged or altered"):
        archive.read(tmp_path / "bomb.tar")


@pytest.mark.parametrize("list_", ["[]", "{}", "null", '{"format": "1"}', '{"format": 0}', "[" * 100_000, "\xff"])
def test_a_list_that_is_none_is_refused(tmp_path: Path, list_: str) -> None:
    text = list_.encode("latin-1")
    content = archive._header(archive.CONTENTS, len(text), 7) + text + archive._padding(len(text)) + archive._END
    (tmp_path / "a.tar").write_bytes(content)
    with pytest.raises(RequestError, match="damaged or altered"):
        archive.read(tmp_path / "a.tar")


def test_a_newer_format_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(listed_as({"format": 2, "files": {"quite": "different"}}))
    with pytest.raises(RequestError, match=r"newer vitscope \(format 2; this program knows 1\).*Update"):
        archive.read(tmp_path / "a.tar")


@pytest.mark.parametrize("content", [b"", b"PK\3\4", b"x" * 5000])
def test_what_is_no_archive_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.tar").write_bytes(content)
    with pytest.raises(RequestError, match="not an archive that 'vitscope runs export' has written"):
        archive.read(tmp_path / "a.tar")
    with pytest.raises(RequestError, match="cannot be read"):
        archive.read(tmp_path / "none.tar")
    with pytest.raises(RequestError, match="cannot be read"):
        archive.read(tmp_path)


def test_an_ordinary_tar_is_told(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("x")
    with tarfile.open(tmp_path / "a.tar", "w") as made:
        made.add(tmp_path / "x", "x")
    with pytest.raises(RequestError, match="not an archive"):
        archive.read(tmp_path / "a.tar")


def test_a_file_that_changes_meanwhile_leaves_no_archive(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("before")

    def change(done: int) -> None:
        (tmp_path / "x").write_text("after, and longer")

    with pytest.raises(WorkFailed, match="changed while it was read"):
        archive.write(tmp_path / "a.tar", {}, {"x": tmp_path / "x"}, change)
    assert [p.name for p in tmp_path.iterdir()] == ["x"]
