"""Archives: what is unpacked, once and whole, and what is refused before anything is written."""

from __future__ import annotations

import io
import multiprocessing
import os
import re
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.data.test_folder import NAMES
from vitscope.data.manifest import Manifest
from vitscope.data.sources import archive, members, open_source, unpack
from vitscope.data.sources.archive import ArchiveSource, place_in, restore
from vitscope.data.sources.made import Made, Place, discard, made_in
from vitscope.data.sources.members import UnsafeName, link_place, place_of
from vitscope.data.sources.scan import Scan
from vitscope.errors import RequestError
from vitscope.storage.workspace import Workspace

FILES = {"cat/1.jpg": b"one", "cat/deep/2.jpg": b"two", "dog/1.png": b"three"}
TARS = {"x.tar": "w:", "x.tar.gz": "w:gz", "x.TGZ": "w:gz", "x.tar.bz2": "w:bz2", "x.tar.xz": "w:xz"}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


def unpacked(workspace: Workspace) -> list[Made]:
    return made_in(Place(place_in(workspace), "unpacked"))


def pack(file: Path, contents: dict[str, bytes]) -> Path:
    """A zip or a tar of these members, in this order."""
    if file.suffix == ".zip":
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
            for name, content in contents.items():
                packed.writestr(name, content)
        return file
    with tarfile.open(file, TARS.get(f"x{file.name[file.name.index('.') :]}", "w:")) as packed:
        for name, content in contents.items():
            add(packed, name, content)
    return file


def add(packed: tarfile.TarFile, name: str, content: bytes = b"", **fields: Any) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for field, value in fields.items():
        setattr(info, field, value)
    packed.addfile(info, io.BytesIO(content))


def scan(file: Path, workspace: Workspace) -> Scan:
    return ArchiveSource.at(file, workspace).scan()


def found(result: Scan) -> dict[str, bytes]:
    """Content by locator."""
    return {r.locator: Path(r.path).read_bytes() for r in result.records}


def assert_refused(file: Path, workspace: Workspace, said: str) -> None:
    with pytest.raises(RequestError, match=said) as told:
        scan(file, workspace)
    assert file.name in str(told.value)
    assert not [p for p in place_in(workspace).rglob("*") if p.is_file() and p.suffix != ".lock"]
    assert unpacked(workspace) == []


# ---------------------------------------------------------------------------------------------- what is read


@pytest.mark.parametrize("name", ["flowers.zip", *(name.replace("x", "flowers", 1) for name in TARS)])
def test_class_folders_in_every_kind(name: str, tmp_path: Path, workspace: Workspace) -> None:
    source = open_source(str(pack(tmp_path / name, FILES)), workspace)
    result = source.scan()
    assert source.name == "flowers" and source.location == str(tmp_path / name)
    assert found(result) == FILES and result.classes == ("cat", "dog") and result.notices == []
    assert all(Path(r.path).is_relative_to(workspace.root / "cache/archives") for r in result.records)


def test_split_folders_and_a_wrapping_folder(tmp_path: Path, workspace: Workspace) -> None:
    contents = {f"all/{split}/{name}": c for split in ("train", "val") for name, c in FILES.items()}
    result = scan(pack(tmp_path / "x.zip", contents), workspace)
    assert {r.split for r in result.records} == {"train", "val"} and len(result.records) == 6


@pytest.mark.parametrize("above", ["", "photos/"])
def test_a_table_at_the_root_is_read(above: str, tmp_path: Path, workspace: Workspace) -> None:
    text = b"path,label\nimages/1.jpg,b\nimages/2.jpg,a\n"
    contents = {f"{above}images/1.jpg": b"1", f"{above}images/2.jpg": b"2", f"{above}labels.csv": text}
    result = scan(pack(tmp_path / "x.zip", contents), workspace)
    assert found(result) == {"images/1.jpg": b"1", "images/2.jpg": b"2"} and result.classes == ("a", "b")
    assert result.notices == ["x.zip: read by its table 'labels.csv'."]


def test_other_tables_are_told(tmp_path: Path, workspace: Workspace) -> None:
    result = scan(pack(tmp_path / "x.zip", {**FILES, "about.csv": b"author\nme\n"}), workspace)
    assert found(result) == FILES
    assert result.notices[0] == "x.zip: its table 'about.csv' not read, no columns 'path', 'label'."
    several = {"1.jpg": b"1", "train.csv": b"path,label\n1.jpg,a\n", "test.csv": b"path,label\n1.jpg,a\n"}
    with pytest.raises(RequestError, match=r"y.zip, unpacked: .*no class folders.*'test.csv', 'train.csv' not read"):
        scan(pack(tmp_path / "y.zip", several), workspace)


def test_a_table_may_not_lead_out_of_its_archive(tmp_path: Path, workspace: Workspace) -> None:
    (tmp_path / "secret.jpg").write_text("x")
    for path in (tmp_path / "secret.jpg", "../../../../../secret.jpg", "..\\..\\..\\..\\..\\secret.jpg"):
        contents = {"1.jpg": b"1", "labels.csv": f"path,label\n1.jpg,a\n{path},b\n".encode()}
        with pytest.raises(RequestError, match="row 3 leads out of the archive"):
            scan(pack(tmp_path / "x.zip", contents), workspace)


def test_fault_19_what_systems_leave_behind_is_not_unpacked(tmp_path: Path, workspace: Workspace) -> None:
    junk = {"__MACOSX/cat/._1.jpg": b"x", "cat/.DS_Store": b"x", "cat/Thumbs.db": b"x", ".git/config": b"x"}
    result = scan(pack(tmp_path / "x.tar.gz", {**FILES, **junk}), workspace)
    assert found(result) == FILES and result.notices == []
    below = place_in(workspace)
    assert {p.name for p in below.rglob("*") if p.is_file()} >= {"1.jpg", "2.jpg", "1.png"}
    assert not {p.name for p in below.rglob("*")} & {"__MACOSX", "._1.jpg", ".DS_Store", "Thumbs.db", ".git"}


@pytest.mark.parametrize("ending", [".zip", ".tar"])
def test_fault_17_unusual_names_work(ending: str, tmp_path: Path, workspace: Workspace) -> None:
    contents = {f"{name}/{name}.jpg": name.encode() for name in NAMES}
    assert found(scan(pack(tmp_path / f"x{ending}", contents), workspace)) == contents


def test_names_in_utf8_without_saying_so_are_read_and_others_told(tmp_path: Path, workspace: Workspace) -> None:
    for name, marked, is_told in (("花", "花".encode(), False), ("ä", "ä".encode("cp437"), True)):
        pack(tmp_path / "x.zip", {"k" * len(marked) + "/1.jpg": b"1", "b/1.jpg": b"2"})
        content = (tmp_path / "x.zip").read_bytes().replace(b"k" * len(marked) + b"/1.jpg", marked + b"/1.jpg")
        (tmp_path / "x.zip").write_bytes(content)
        result = scan(tmp_path / "x.zip", workspace)
        assert result.classes == ("b", name)
        assert any("unknown encoding ('ä/1.jpg')" in notice for notice in result.notices) == is_told


def test_folders_written_with_backslashes(tmp_path: Path, workspace: Workspace) -> None:
    assert (
        found(scan(pack(tmp_path / "x.zip", {n.replace("/", "\\"): c for n, c in FILES.items()}), workspace)) == FILES
    )


def test_of_two_members_at_one_place_the_later_counts(tmp_path: Path, workspace: Workspace) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as packed:
        for name, content in (("cat/1.jpg", b"old"), ("dog/1.jpg", b"x"), ("./cat/1.jpg", b"newer")):
            add(packed, name, content)
    assert found(scan(tmp_path / "x.tar", workspace)) == {"cat/1.jpg": b"newer", "dog/1.jpg": b"x"}


def test_links_to_files_in_it_are_copies_and_others_left_out(tmp_path: Path, workspace: Workspace) -> None:
    with tarfile.open(tmp_path / "x.tar.gz", "w:gz") as packed:
        add(packed, "all/1.jpg", b"one")
        add(packed, "a/hard.jpg", type=tarfile.LNKTYPE, linkname="all/1.jpg")
        add(packed, "b/soft.jpg", type=tarfile.SYMTYPE, linkname="../all/1.jpg")
        add(packed, "b/chain.jpg", type=tarfile.SYMTYPE, linkname="soft.jpg")
        add(packed, "b/loop.jpg", type=tarfile.SYMTYPE, linkname="loop.jpg")
        add(packed, "b/nothing.jpg", type=tarfile.SYMTYPE, linkname="none.jpg")
    result = scan(tmp_path / "x.tar.gz", workspace)
    assert found(result) == dict.fromkeys(("all/1.jpg", "a/hard.jpg", "b/soft.jpg", "b/chain.jpg"), b"one")
    assert result.notices == ["x.tar.gz: 2 links of it left out, to no file in it."]
    assert not any(p.is_symlink() for p in place_in(workspace).rglob("*"))


# ---------------------------------------------------------------------------------------------- zip slip


EVIL = [
    "../x.jpg",
    "cat/../../x.jpg",
    "/etc/x.jpg",
    "\\x.jpg",
    "..\\x.jpg",
    "a\\..\\..\\x.jpg",
    "C:\\x.jpg",
    "c:x.jpg",
    "./C:x.jpg",
    "cat/..",
]


@pytest.mark.parametrize("ending", [".zip", ".tar", ".tar.xz"])
@pytest.mark.parametrize("name", EVIL)
def test_fault_24_names_that_lead_out_refuse_the_whole(
    name: str, ending: str, tmp_path: Path, workspace: Workspace
) -> None:
    file = pack(tmp_path / f"x{ending}", {**FILES, name: b"evil"})
    before = {p for p in tmp_path.rglob("*") if not p.is_relative_to(workspace.root)}
    assert_refused(file, workspace, "refused, and nothing of it unpacked: its member ")
    assert {p for p in tmp_path.rglob("*") if not p.is_relative_to(workspace.root)} == before


def test_fault_24_a_nul_in_a_name(tmp_path: Path, workspace: Workspace) -> None:
    pack(tmp_path / "x.zip", {**FILES, "dog/?.jpg": b"evil"})
    (tmp_path / "x.zip").write_bytes((tmp_path / "x.zip").read_bytes().replace(b"dog/?.jpg", b"dog/\0.jpg"))
    assert_refused(tmp_path / "x.zip", workspace, r"'dog/\\x00.jpg' has a NUL")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
@pytest.mark.parametrize("target", ["/etc/passwd", "../../etc/passwd", "..", "C:\\x", "\\x"])
def test_fault_24_links_out_of_it(kind: bytes, target: str, tmp_path: Path, workspace: Workspace) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as packed:
        add(packed, "a/1.jpg", b"x")
        add(packed, "link", type=kind, linkname=target)
        add(packed, "link/evil.jpg", b"x")
    assert_refused(tmp_path / "x.tar", workspace, "'link' is a link that leads out of it")


def test_fault_24_a_symbolic_link_in_a_zip(tmp_path: Path, workspace: Workspace) -> None:
    for target, said in (("/etc/passwd", "is a link that leads out"), ("../cat/1.jpg", "")):
        with zipfile.ZipFile(tmp_path / "x.zip", "w") as packed:
            for name, content in FILES.items():
                packed.writestr(name, content)
            info = zipfile.ZipInfo("dog/link.jpg")
            info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
            packed.writestr(info, target)
        if said:
            assert_refused(tmp_path / "x.zip", workspace, said)
        else:
            assert found(scan(tmp_path / "x.zip", workspace)) == {**FILES, "dog/link.jpg": b"one"}


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_fault_24_devices_and_pipes(kind: bytes, tmp_path: Path, workspace: Workspace) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as packed:
        add(packed, "a/1.jpg", b"x")
        add(packed, "a/pipe", type=kind)
    assert_refused(tmp_path / "x.tar", workspace, "'a/pipe' is a device or a pipe")


parts = st.sampled_from(["..", ".", "", "a", "b.jpg", "...", "C:", "\0", " ", "花", "a\\..", "\\", "~"])


@given(st.lists(parts, max_size=6).map("/".join) | st.text(max_size=20))
def test_fault_24_no_name_leads_out_of_the_folder(name: str) -> None:
    try:
        place = place_of(name)
    except UnsafeName:
        return
    pieces = PurePosixPath(place).parts
    assert (
        not place.startswith("/")
        and not re.match("[A-Za-z]:", place)
        and "\0" not in place
        and "\\" not in place
        and ".." not in pieces
    )
    assert os.path.normpath(os.path.join("/base", place)).startswith("/base")  # noqa: PTH118


@example("./C:", True)
@given(st.lists(parts, max_size=6).map("/".join), st.booleans())
def test_fault_24_no_link_means_a_place_outside(target: str, from_root: bool) -> None:
    place = link_place("a/b/link", target, from_root=from_root)
    assert place == "" or place_of(place) == place
    below = os.path.normpath(os.path.join("/base" if from_root else "/base/a/b", target))  # noqa: PTH118
    if "\\" not in target and "\0" not in target and not target.startswith(("/", "C:")) and place:
        assert os.path.normpath(f"/base/{place}") == below


# ---------------------------------------------------------------------------------------------- bombs


@pytest.mark.parametrize("name", ["bomb.zip", "bomb.tar.gz", "bomb.tar.xz"])
def test_fault_25_what_unpacks_to_a_hundred_times_its_size_is_refused(
    name: str, tmp_path: Path, workspace: Workspace
) -> None:
    file = pack(tmp_path / name, {"a/1.jpg": bytes(101_000_000), "b/1.jpg": b"x"})
    assert_refused(file, workspace, r"more than 100\.0 MB, the limit .*100 times its size.*unpack it by hand")


def test_fault_25_many_members_and_many_copies(
    tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(members, "MOST_MEMBERS", 2)
    assert_refused(pack(tmp_path / "x.zip", FILES), workspace, "more than 2 members.*unpack it by hand")
    monkeypatch.undo()
    with tarfile.open(tmp_path / "y.tar.gz", "w:gz") as packed:
        add(packed, "a/1.jpg", bytes(10_000_000))
        for i in range(10):
            add(packed, f"a/copy{i}.jpg", type=tarfile.LNKTYPE, linkname="a/1.jpg")
    assert_refused(tmp_path / "y.tar.gz", workspace, "more than 100.0 MB")


def test_fault_25_headers_that_lie(tmp_path: Path, workspace: Workspace) -> None:
    content = os.urandom(1000) + bytes(9000)
    pack(tmp_path / "x.zip", {"a/1.jpg": content, "b/1.jpg": b"x"})
    lie = (tmp_path / "x.zip").read_bytes().replace((10_000).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    (tmp_path / "x.zip").write_bytes(lie)
    assert_refused(tmp_path / "x.zip", workspace, "damaged at its member 'a/1.jpg'")


def test_fault_25_a_header_that_would_fill_the_memory(tmp_path: Path, workspace: Workspace) -> None:
    for size in (1 << 33, -512):
        info = tarfile.TarInfo("././@LongLink")
        info.type, info.size = tarfile.GNUTYPE_LONGNAME, size
        (tmp_path / "x.tar").write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(4096))
        assert_refused(tmp_path / "x.tar", workspace, "damaged")


def test_fault_25_what_does_not_fit_the_disk_is_told_before(
    tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = unpack.shutil.disk_usage(tmp_path)._replace(free=10)
    monkeypatch.setattr(unpack.shutil, "disk_usage", lambda path: usage)
    assert_refused(pack(tmp_path / "x.zip", FILES), workspace, "unpacked it takes 11 bytes, and 10 bytes are free")


# ---------------------------------------------------------------------------------------------- damage


@pytest.mark.parametrize("name", ["x.zip", "x.tar", "x.tar.gz", "x.tar.bz2", "x.tar.xz"])
def test_a_damaged_archive_is_told_and_leaves_nothing(name: str, tmp_path: Path, workspace: Workspace) -> None:
    whole = pack(tmp_path / name, {f"a/{i}.jpg": os.urandom(3000) for i in range(20)}).read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", b"no archive at all" * 100):
        (tmp_path / name).write_bytes(damaged)
        assert_refused(tmp_path / name, workspace, "damaged|empty file")


def test_a_damaged_member_is_named(tmp_path: Path, workspace: Workspace) -> None:
    content = os.urandom(3000)
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as packed:  # stored
        packed.writestr("a/1.jpg", b"x")
        packed.writestr("b/2.jpg", content)
    flipped = (tmp_path / "x.zip").read_bytes().replace(content, content[:-1] + bytes([content[-1] ^ 1]))
    (tmp_path / "x.zip").write_bytes(flipped)
    assert_refused(tmp_path / "x.zip", workspace, "damaged at its member 'b/2.jpg'")
    pack(tmp_path / "y.tar", {"a/1.jpg": b"x", "b/2.jpg": content, "c/3.jpg": b"x"})
    broken = bytearray((tmp_path / "y.tar").read_bytes())
    broken[broken.index(b"c/3.jpg") + 148] ^= 1  # the sum of its header
    (tmp_path / "y.tar").write_bytes(broken)
    assert_refused(tmp_path / "y.tar", workspace, "damaged at its member 'b/2.jpg'")


def test_a_file_that_is_a_folder_too(tmp_path: Path, workspace: Workspace) -> None:
    assert_refused(pack(tmp_path / "x.tar", {"a": b"x", "a/1.jpg": b"x"}), workspace, "'a' is a file and a folder")


def test_an_encrypted_zip_is_told(tmp_path: Path, workspace: Workspace) -> None:
    content = bytearray(pack(tmp_path / "x.zip", FILES).read_bytes())
    at = content.index(b"PK\x01\x02")
    content[at + 8] |= 1
    (tmp_path / "x.zip").write_bytes(content)
    assert_refused(tmp_path / "x.zip", workspace, "encrypted, its member 'cat/1.jpg' wants a password")


def test_a_workspace_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder would be")
    with pytest.raises(RequestError, match=r"x.zip: could not be unpacked"):
        scan(pack(tmp_path / "x.zip", FILES), Workspace(tmp_path))


# ---------------------------------------------------------------------------------------------- once, and whole


def test_it_is_unpacked_once_and_read_once(
    tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = pack(tmp_path / "x.zip", FILES)
    monkeypatch.setattr(archive, "SETTLED_NS", -(10**12))  # it was written a moment ago
    first = scan(file, workspace)

    def fail(*_: object) -> None:
        raise AssertionError("read again")

    monkeypatch.setattr(archive, "unpack", fail)
    monkeypatch.setattr(archive.hashlib, "file_digest", fail)
    assert scan(file, workspace) == first


def test_the_same_content_elsewhere_is_the_same_data_set(tmp_path: Path) -> None:
    manifests = []
    for place in ("here", "there"):
        (tmp_path / place).mkdir()
        records, classes, _ = scan(pack(tmp_path / place / "x.tar.gz", FILES), Workspace(tmp_path / place / "ws"))
        manifests.append(Manifest.from_records(records, classes, "x"))
    assert manifests[0].fingerprint == manifests[1].fingerprint
    assert manifests[0].table["sample_id"].equals(manifests[1].table["sample_id"])


def test_another_content_of_the_same_size_and_time_is_another_data_set(tmp_path: Path, workspace: Workspace) -> None:
    file = tmp_path / "x.tar"
    before, after = FILES, {**FILES, "cat/1.jpg": b"eno"}
    results = []
    for contents in (before, after):
        pack(file, contents)
        os.utime(file, ns=(10**18, 10**18))
        results.append(scan(file, workspace))
    assert [found(result) for result in results] == [before, after]
    times = [{r.locator: r.mtime_ns for r in result.records} for result in results]
    assert {name for name in FILES if times[0][name] != times[1][name]} == {"cat/1.jpg"}


@pytest.mark.parametrize("stop", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_an_interruption_leaves_nothing_that_counts(
    stop: Any, tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = pack(tmp_path / "x.zip", FILES)

    def fail(*_: object, **__: object) -> None:
        raise stop

    with monkeypatch.context() as patch, pytest.raises((KeyboardInterrupt, RequestError)) as told:
        patch.setattr(unpack.os, "utime", fail)
        scan(file, workspace)
    assert unpacked(workspace) == [] and (stop is KeyboardInterrupt or "No space left" in str(told.value))
    assert found(scan(file, workspace)) == FILES


def _unpack_and_die(file: Path, root: Path) -> None:
    os.utime = lambda *_, **__: os._exit(9)  # type: ignore[assignment]
    scan(file, Workspace(root))


def _unpack_and_tell(file: Path, root: Path, barrier: Any, answers: Any) -> None:
    barrier.wait(60)
    answers.put({r.locator: r.mtime_ns for r in scan(file, Workspace(root)).records})


def test_a_killed_process_leaves_nothing_that_counts_and_the_next_cleans_up(
    tmp_path: Path, workspace: Workspace
) -> None:
    file = pack(tmp_path / "x.zip", FILES)
    process = multiprocessing.get_context("fork").Process(target=_unpack_and_die, args=(file, workspace.root))
    process.start()
    process.join(60)
    assert process.exitcode == 9 and unpacked(workspace) == []
    assert list(place_in(workspace).glob(".*.tmp"))
    assert found(scan(file, workspace)) == FILES
    assert not list(place_in(workspace).glob(".*.tmp"))


def test_two_processes_at_once_agree(tmp_path: Path, workspace: Workspace) -> None:
    file = pack(tmp_path / "x.tar.gz", {f"{c}/{i}.jpg": os.urandom(100) for c in "ab" for i in range(200)})
    context = multiprocessing.get_context("fork")
    barrier, answers = context.Barrier(3), context.Queue()
    processes = [
        context.Process(target=_unpack_and_tell, args=(file, workspace.root, barrier, answers)) for _ in range(3)
    ]
    for process in processes:
        process.start()
    told = [answers.get(timeout=60) for _ in processes]
    for process in processes:
        process.join(60)
    assert len(told[0]) == 400 and told[0] == told[1] == told[2] and len(unpacked(workspace)) == 1


def test_what_was_discarded_is_restored(tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "SETTLED_NS", -(10**12))
    file = pack(tmp_path / "x.zip", FILES)
    records, classes, _ = scan(file, workspace)
    manifest = Manifest.from_records(records, classes, "x")
    (each,) = unpacked(workspace)
    assert (each.source, each.files, each.bytes) == (str(file), 3, 11)
    discard(each)
    assert unpacked(workspace) == [] and len(manifest.changed()) == 3
    restore(manifest, workspace)
    assert manifest.changed() == []
    discard(each)
    pack(file, {**FILES, "cat/1.jpg": b"other"})
    restore(manifest, workspace)
    assert len(manifest.changed()) == 3


def test_looking_for_an_archive_unpacks_nothing(
    tmp_path: Path, workspace: Workspace, make_pictures: Callable[..., Path]
) -> None:
    open_source(str(pack(tmp_path / "x.zip", FILES)), workspace)
    assert not workspace.root.exists()
    folder = make_pictures({"a": 1, "b": 1}, name="folder.zip")
    assert len(open_source(str(folder), workspace).scan().records) == 2
