"""Data sets of the hub: what is found in them, by which columns, at which commit, with and without a network."""

from __future__ import annotations

import struct
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import huggingface_hub
import pytest
from datasets import ClassLabel, Features, Image, List, Value

from tests.hub import FakeHub, serving
from tests.hub_sets import CLASSES, IMAGE, class_label, fruit, know_only, parquet, picture, pictures
from vitscope.data.sources import hub as source_module
from vitscope.data.sources import hub_set, open_source, restore
from vitscope.data.sources.hub import place_in
from vitscope.data.sources.hub_columns import chosen
from vitscope.data.sources.made import Place, discard, made_in
from vitscope.errors import RequestError
from vitscope.storage.workspace import Workspace
from vitscope.workflows.data import check, import_dataset, read

FIRST, SECOND = "1" * 40, "2" * 40
NAME = "datasets/me/Fruit"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """An empty hub, and empty caches."""
    with serving(FakeHub()) as served:
        know_only(served, tmp_path / "hf", monkeypatch)
        yield served


def scan(text: str, workspace: Workspace) -> Any:
    return open_source(text, workspace).scan()


def made(workspace: Workspace) -> list[str]:
    return sorted(each.folder.name for each in made_in(Place(place_in(workspace), "fetched")))


def cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on there is no network, as HF_HUB_OFFLINE says it."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)


# ---------------------------------------------------------------------------------------------- what is found


def test_pictures_are_kept_byte_for_byte_with_classes_and_splits(hub: FakeHub, workspace: Workspace) -> None:
    hub.repositories[NAME] = {FIRST: fruit(("plum", "apple", "pear"), train=12, validation=6, test=3)}
    source = open_source("hf:me/Fruit", workspace)
    result = source.scan()
    assert (source.name, source.location, result.notices) == ("Fruit", "hf:me/Fruit", [])
    assert result.classes == ("plum", "apple", "pear")  # the set's own order
    assert Counter(r.split for r in result.records) == {"train": 12, "val": 6, "test": 3}
    expected = {content: result.classes[i % 3] for i, content in enumerate(pictures(21))}
    assert {Path(r.path).read_bytes(): r.class_name for r in result.records} == expected
    for record in result.records:
        begin = {".png": b"\x89PNG", ".jpg": b"\xff\xd8\xff"}[Path(record.path).suffix]
        assert Path(record.path).read_bytes().startswith(begin)
        assert Path(record.path).is_relative_to(place_in(workspace) / f"me--Fruit,revision={FIRST}")


def test_other_splits_are_told_and_without_any_known_all_are_taken(hub: FakeHub, workspace: Workspace) -> None:
    hub.repositories[NAME] = {FIRST: {**fruit(train=6, test=3), **_readme(train="train", test="test", extra="test")}}
    result = scan("hf:me/Fruit", workspace)
    assert len(result.records) == 9 and result.notices == ["hf:me/Fruit: 1 split left out: 'extra'."]
    hub.repositories[NAME] = {SECOND: {**fruit(train=6, test=3), **_readme(one="train", two="test")}}
    result = scan("hf:me/Fruit", workspace)
    assert {r.split for r in result.records} == {""} and len(result.records) == 9
    assert {Path(r.path).read_bytes() for r in result.records} == {*pictures(9)}
    assert "'one', 'two' are taken together" in result.notices[0]


def _readme(**splits: str) -> dict[str, bytes]:
    """A card that says which file is which split."""
    lines = ["---", "configs:", "- config_name: default", "  data_files:"]
    for split, file in splits.items():
        lines += [f"  - split: {split}", f"    path: data/{file}-*.parquet"]
    return {"README.md": "\n".join([*lines, "---", ""]).encode()}


def test_a_set_of_files_in_class_folders(hub: FakeHub, workspace: Workspace) -> None:
    """They lie in the library's cache, and are copied."""
    places = [f"{'train' if i < 6 else 'test'}/{CLASSES[i % 3]}/{i}.{('png', 'jpg')[i % 2]}" for i in range(9)]
    hub.repositories[NAME] = {FIRST: dict(zip(places, pictures(9), strict=True))}
    result = scan("hf:me/Fruit", workspace)
    seen = {Path(r.path).read_bytes(): [r.split, r.class_name] for r in result.records}
    assert seen == {content: place.split("/")[:2] for place, content in zip(places, pictures(9), strict=True)}


@pytest.mark.parametrize(
    ("values", "classes"),
    [(["pear", "apple", "plum"], ("apple", "pear", "plum")), ([10, 9, -1], ("-1", "9", "10"))],
)
def test_labels_that_are_values_are_sorted(
    values: list[Any], classes: tuple[str, ...], hub: FakeHub, workspace: Workspace
) -> None:
    columns = {"image": pictures(6), "label": values * 2}
    hub.repositories[NAME] = {FIRST: {"train.parquet": parquet(columns, {"image": IMAGE})}}
    result = scan("hf:me/Fruit", workspace)
    assert result.classes == classes and result.notices == ["hf:me/Fruit: 'label' is taken as the class."]
    expected = {content: str(values[i % 3]) for i, content in enumerate(pictures(6))}
    assert {Path(r.path).read_bytes(): r.class_name for r in result.records} == expected


def test_rows_without_a_picture_or_a_class_are_left_out_and_told(hub: FakeHub, workspace: Workspace) -> None:
    columns = {"image": [*pictures(4), None, {"bytes": None, "path": None}], "label": [0, 1, -1, None, 2, 2]}
    types = {"image": IMAGE, "label": class_label()}
    hub.repositories[NAME] = {FIRST: {"train.parquet": parquet(columns, types)}}
    result = scan("hf:me/Fruit", workspace)
    assert [r.class_name for r in result.records] == ["apple", "pear"] and result.classes == CLASSES
    told = " ".join(result.notices)
    assert "2 rows left out, without a class." in told and "2 rows left out, without a picture in the set." in told
    hub.repositories[NAME] = {SECOND: {"test.parquet": parquet({"image": pictures(2), "label": [-1, -1]}, types)}}
    with pytest.raises(RequestError, match=r"no pictures with a class in it. 2 rows left out, without a class"):
        scan("hf:me/Fruit", workspace)
    assert made(workspace) == [f"me--Fruit,revision={FIRST}"]


# ---------------------------------------------------------------------------------------------- columns

PICTURE, NAMES, TEXT, WHOLE = Image(), ClassLabel(names=["a", "b"]), Value("string"), Value("int64")


@pytest.mark.parametrize(
    ("features", "options", "image", "label", "told"),
    [
        ({"img": PICTURE, "fine": NAMES, "id": WHOLE}, {}, "img", "fine", ""),
        ({"image": PICTURE, "caption": TEXT, "class": TEXT}, {}, "image", "class", "'class' is taken as the class; so"),
        ({"x": PICTURE, "y": WHOLE, "score": Value("float32")}, {}, "x", "y", "'y' is taken as the class."),
        ({"image": PICTURE, "label": NAMES, "coarse": NAMES}, {}, "image", "label", "so could 'coarse' be: choose by"),
        ({"image": PICTURE, "fine": NAMES, "coarse": NAMES}, {"label": "coarse"}, "image", "coarse", ""),
        ({"a": PICTURE, "b": PICTURE, "label": NAMES}, {"image": "b"}, "b", "label", ""),
        ({"f": {"bytes": Value("binary"), "path": TEXT}, "label": NAMES}, {}, "f", "label", ""),
        ({"jpg": Value("binary"), "label": NAMES}, {"image": "jpg"}, "jpg", "label", ""),
    ],
)
def test_columns_are_found_by_their_types(
    features: dict[str, Any], options: dict[str, str], image: str, label: str, told: str
) -> None:
    found = chosen("hf:x", Features(features), options.get("image", ""), options.get("label", ""))
    assert (found.image, found.label) == (image, label)
    assert found.classes == (("a", "b") if features[label] is NAMES else None)
    assert told in " ".join(found.notices) and bool(told) == bool(found.notices)


@pytest.mark.parametrize(
    ("features", "options", "said"),
    [
        ({"label": NAMES, "text": TEXT}, {}, r"no column of it holds pictures. Its columns are 'label', 'text'"),
        ({"a": PICTURE, "b": PICTURE, "label": NAMES}, {}, r"2 columns may hold the pictures: 'a', 'b'.*hf:x:image=a"),
        ({"a": PICTURE, "fine": NAMES, "coarse": NAMES}, {}, r"2 columns may hold the classes: .*hf:x:label=fine"),
        ({"a": PICTURE, "one": TEXT, "two": TEXT}, {}, r"2 columns may hold the classes: 'one', 'two'"),
        ({"a": PICTURE, "p": Value("float64")}, {}, r"no column of it holds classes"),
        ({"a": PICTURE, "p": Value("float64")}, {"label": "p"}, r"label=p: this column does not hold classes"),
        ({"a": PICTURE, "many": List(NAMES)}, {"label": "many"}, r"label=many: this column does not hold classes"),
        ({"a": PICTURE, "fine": NAMES}, {"label": "fime"}, r"Unknown column 'fime'. Did you mean 'fine'"),
        ({"a": PICTURE, "fine": NAMES}, {"image": "fine"}, r"image=fine: this column does not hold pictures"),
    ],
)
def test_unclear_columns_are_told(features: dict[str, Any], options: dict[str, str], said: str) -> None:
    with pytest.raises(RequestError, match=said):
        chosen("hf:x", Features(features), options.get("image", ""), options.get("label", ""))


def test_options_reach_the_set(hub: FakeHub, workspace: Workspace) -> None:
    small = [picture(i % 3, i, size=8) for i in range(4)]
    columns = {"image": pictures(4), "thumb": small, "fine": [0, 1, 2, 0], "coarse": [1, 1, 0, 0]}
    types = {"image": IMAGE, "thumb": IMAGE, "fine": class_label(), "coarse": class_label(("a", "b"))}
    hub.repositories[NAME] = {FIRST: {"train.parquet": parquet(columns, types)}}
    result = scan("hf:me/Fruit:label=coarse,image=thumb", workspace)
    assert result.classes == ("a", "b") and {Path(r.path).read_bytes() for r in result.records} == {*small}
    assert made(workspace) == [f"me--Fruit,image=thumb,label=coarse,revision={FIRST}"]


def test_configurations(hub: FakeHub, workspace: Workspace) -> None:
    card = "---\nconfigs:\n- config_name: small\n  data_files: data/test-*\n"
    card += "- config_name: big\n  data_files: data/train-*\n---\n"
    hub.repositories[NAME] = {FIRST: {**fruit(train=6, test=3), "README.md": card.encode()}}
    with pytest.raises(RequestError, match=r"cannot read it .*'small', 'big'.*chosen by config=NAME"):
        scan("hf:me/Fruit", workspace)
    assert len(scan("hf:me/Fruit:config=big", workspace).records) == 6
    assert len(scan("hf:me/Fruit:config=small", workspace).records) == 3
    with pytest.raises(RequestError, match="'none' not found"):
        scan("hf:me/Fruit:config=none", workspace)


# ---------------------------------------------------------------------------------------------- which commit


def test_what_was_written_is_used_again_and_a_changed_set_is_another(hub: FakeHub, workspace: Workspace) -> None:
    hub.repositories[NAME] = {FIRST: fruit(train=6)}
    first = read("hf:me/Fruit", workspace).manifest
    hub.asked.clear()
    assert read("hf:me/Fruit", workspace).manifest.fingerprint == first.fingerprint
    assert {path for path in hub.asked if "Fruit" in path} == {"GET /api/datasets/me/Fruit"}
    hub.repositories[NAME][SECOND] = fruit(train=9)
    assert len(read("hf:me/Fruit", workspace).manifest) == 9 and len(made(workspace)) == 2
    hub.asked.clear()
    assert len(read(f"hf:me/Fruit:revision={FIRST}", workspace).manifest) == 6
    assert hub.asked == []  # a commit stays what it is
    with pytest.raises(RequestError, match="the hub has no revision 'v9' of it"):
        read("hf:me/Fruit:revision=v9", workspace)


def test_fault_26_a_set_that_changed_since_its_import_is_told(hub: FakeHub, workspace: Workspace) -> None:
    hub.repositories[NAME] = {FIRST: fruit(train=6)}
    import_dataset("hf:me/Fruit", "mine", workspace)
    assert read("mine", workspace).notices == []
    hub.repositories[NAME][SECOND] = fruit(train=9)
    manifest, notices = read("mine", workspace)
    assert len(manifest) == 6 and "3 files have been added to its source since the import, not used" in notices[0]


def test_the_same_set_elsewhere_has_the_same_fingerprint(hub: FakeHub, workspace: Workspace, tmp_path: Path) -> None:
    hub.repositories[NAME] = {FIRST: fruit(train=6)}
    here = read("hf:me/Fruit", workspace).manifest
    assert read("hf:me/Fruit", Workspace(tmp_path / "there")).manifest.fingerprint == here.fingerprint


# ---------------------------------------------------------------------------------------------- without a network


def test_without_a_network_what_was_had_last_is_used_and_told(
    hub: FakeHub, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.repositories[NAME] = {FIRST: fruit(train=6)}
    first = read("hf:me/Fruit", workspace).manifest
    hub.is_busy = True
    manifest, notices = read("hf:me/Fruit", workspace)
    assert manifest.fingerprint == first.fingerprint and "the hub could not be reached (" in notices[0]
    cut_off(monkeypatch)
    assert read("hf:me/Fruit", workspace).manifest.fingerprint == first.fingerprint
    manifest, notices = read("hf:me/Fruit", Workspace(tmp_path / "there"))  # by the library's cache
    assert manifest.fingerprint == first.fingerprint and f"used as its cache here holds it ({FIRST[:12]})" in notices[0]


def test_fault_38_neither_a_network_nor_a_cache(
    hub: FakeHub, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_off(monkeypatch)
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    for text in ("hf:me/Fruit", "hf:me/Fruit:revision=main", f"hf:me/Fruit:revision={FIRST}"):
        with pytest.raises(RequestError) as told:
            scan(text, workspace)
        parts = (text, "the hub could not be reached", str(tmp_path / "hf"), f"HF_ENDPOINT is {hub.url}")
        assert all(part in str(told.value) for part in (*parts, f"data show {text}", str(place_in(workspace))))
        assert "\n" not in str(told.value)
    assert hub.asked == [] and made(workspace) == []


def test_a_copied_folder_is_enough(
    hub: FakeHub, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the error without a network advises."""
    hub.repositories[NAME] = {FIRST: fruit(train=6)}
    scan("hf:me/Fruit", workspace)
    there = Workspace(tmp_path / "there")
    there.cache_folder.mkdir(parents=True)
    place_in(workspace).rename(place_in(there))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "empty"))
    cut_off(monkeypatch)
    assert len(scan("hf:me/Fruit", there).records) == 6


def test_another_commit_in_the_cache_is_not_taken_for_the_one_that_is_wanted(
    hub: FakeHub, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.repositories[NAME] = {FIRST: fruit(train=6)}
    scan("hf:me/Fruit", workspace)
    cut_off(monkeypatch)
    with pytest.raises(RequestError, match=f"revision={SECOND}: the hub could not be reached"):
        scan(f"hf:me/Fruit:revision={SECOND}", workspace)
    assert made(workspace) == [f"me--Fruit,revision={FIRST}"]


def test_what_the_hub_does_not_have_is_told(hub: FakeHub, workspace: Workspace) -> None:
    with pytest.raises(
        RequestError, match=r"hf:me/Fruit: the hub gives out no data set of this name .*404.*auth login"
    ):
        scan("hf:me/Fruit", workspace)
    hub.repositories[NAME] = {FIRST: {"notes.txt": b"no pictures"}}
    with pytest.raises(RequestError, match="no column of it holds pictures"):
        scan("hf:me/Fruit", workspace)
    hub.repositories[NAME] = {SECOND: {"model.bin": b"\0"}}
    with pytest.raises(RequestError, match="hf:me/Fruit: the library datasets cannot read it"):
        scan("hf:me/Fruit", workspace)
    assert made(workspace) == []


def test_without_the_library_the_extra_is_named(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_module, "find_spec", lambda name: None)
    for text in ("hf:me/Fruit", f"hf:me/Fruit:revision={FIRST}"):
        with pytest.raises(RequestError, match=r"package datasets, .*pip install 'vitscope\[hub\]'"):
            scan(text, workspace)


# ---------------------------------------------------------------------------------------------- safe


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no name of a data set"),
        ("../x", "no name of a data set"),
        ("/etc", "no name of a data set"),
        ("a/b/c", "no name of a data set"),
        ("a/..", "no name of a data set"),
        ("a--b/c", "no name of a data set"),
        ("a/b\0", "no name of a data set"),
        ("a/b:", "expected such as hf:OWNER/NAME"),
        ("a/b:split=test", "Unknown option 'split'"),
        ("a/b:labl=x", "Did you mean 'label'"),
        ("a/b:label=", "'label' has no value that is text"),
        ("a/b:label=x\x1b[2J", "'label' has no value that is text"),
        ("a/b:label=x,label=y", "given twice"),
        (f"a/b:revision={FIRST},label={'x' * 200}", "too long together"),
    ],
)
def test_wrong_names_and_options_are_told(text: str, said: str, workspace: Workspace) -> None:
    with pytest.raises(RequestError, match=said):
        scan(f"hf:{text}", workspace)
    assert not workspace.root.exists()


def test_no_code_of_a_set_is_run(hub: FakeHub, workspace: Workspace, tmp_path: Path) -> None:
    script = f"open({str(tmp_path / 'ran')!r}, 'w')\n"
    hub.repositories[NAME] = {FIRST: {**fruit(train=3), "Fruit.py": script.encode()}}
    with pytest.raises(RequestError, match="code of their own are not supported: it is never run"):
        scan("hf:me/Fruit", workspace)
    assert not (tmp_path / "ran").exists() and made(workspace) == []


def test_class_names_and_paths_of_a_set_lead_nowhere(hub: FakeHub, workspace: Workspace, tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(picture(0, 0))
    link = tmp_path / "hf/datasets/link.png"
    link.parent.mkdir(parents=True)
    link.symlink_to(secret)
    elsewhere = [{"bytes": None, "path": str(path)} for path in (secret, link, "/dev/zero", "secret.png", "a\0b")]
    own = [{"bytes": content, "path": "../../../evil.png"} for content in pictures(3)]
    columns = {"image": [*own, *elsewhere], "label": [0, 1, 2, *[0] * len(elsewhere)]}
    types = {"image": IMAGE, "label": class_label(("../../../evil", "a/b\0c", ".."))}
    hub.repositories[NAME] = {FIRST: {"train.parquet": parquet(columns, types)}}
    result = scan("hf:me/Fruit", workspace)
    assert result.classes == ("../../../evil", "a/b\0c", "..") and len(result.records) == 3
    assert result.notices == ["hf:me/Fruit: 5 rows left out, without a picture in the set."]
    assert not list(tmp_path.rglob("evil*"))
    assert {r.locator for r in result.records} == {
        f"pictures/train/{i}/000000{i + 1}.{e}" for i, e in enumerate(("png", "jpg", "png"))
    }


def test_fault_7_what_is_no_picture_or_a_bomb_is_found_by_a_check(hub: FakeHub, workspace: Workspace) -> None:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    columns = {"image": [*pictures(6), bomb, b"text"], "label": [0, 1, 2, 0, 1, 2, 0, 1]}
    hub.repositories[NAME] = {FIRST: {"train.parquet": parquet(columns, {"image": IMAGE, "label": class_label()})}}
    report = check("hf:me/Fruit", workspace)
    assert [Path(bad.path).name for bad in report.bad] == ["0000007.png", "0000008.bin"] and report.count == 8


# ---------------------------------------------------------------------------------------------- whole, and back


def test_an_interruption_leaves_nothing_that_counts(
    hub: FakeHub, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.repositories[NAME] = {FIRST: fruit(train=6)}

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    for fault, kind in ((stop, KeyboardInterrupt), (full, RequestError)):
        with monkeypatch.context() as patch, pytest.raises(kind):
            patch.setattr(hub_set, "write_list", fault)
            scan("hf:me/Fruit", workspace)
        assert made(workspace) == [] and not list(place_in(workspace).glob(".*.tmp"))
    assert len(scan("hf:me/Fruit", workspace).records) == 6


def test_what_was_discarded_is_restored_at_the_same_commit(hub: FakeHub, workspace: Workspace) -> None:
    hub.repositories[NAME] = {FIRST: fruit(train=6)}
    manifest = read("hf:me/Fruit:label=label", workspace).manifest
    hub.repositories[NAME][SECOND] = fruit(train=9)
    (each,) = made_in(Place(place_in(workspace), "fetched"))
    assert (each.source, each.files) == (f"hf:me/Fruit:label=label,revision={FIRST}", 7)
    discard(each)
    assert len(manifest.absent()) == 6
    assert restore(manifest, workspace) == [] and manifest.changed() == [] and made(workspace) == [each.folder.name]
    paths = [
        str(place_in(workspace) / name / "1.png") for name in ("..%2F..", "a%00", "x,revision", "me--Fruit,image=")
    ]
    strangers = manifest.rows(0, len(paths)).with_column("path", paths)
    hub.asked.clear()
    assert restore(strangers, workspace) == [] and hub.asked == [] and made(workspace) == [each.folder.name]
