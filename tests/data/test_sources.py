"""Which source a text means, and what is said when it means none."""

from __future__ import annotations

from pathlib import Path

import pytest

from vitscope.data.sources import SOURCES, ImportedSource, open_source
from vitscope.data.sources.archive import ArchiveSource
from vitscope.data.sources.table import TableSource
from vitscope.errors import RequestError
from vitscope.storage.workspace import Workspace
from vitscope.text import shown, some
from vitscope.workflows.data import import_dataset


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


def test_a_folder_a_builtin_and_an_imported_name(pictures: Path, workspace: Workspace) -> None:
    import_dataset(str(pictures), "fruit", workspace)
    assert open_source(str(pictures), workspace).name == "pictures"
    assert open_source("digits", workspace).name == "digits"
    assert open_source("shapes:size=96", workspace).name == "shapes-96-0"
    source = open_source("fruit", workspace)
    assert isinstance(source, ImportedSource) and source.name == "fruit" and len(source.manifest) == 40


def test_every_location_leads_back_to_its_source(
    pictures: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_dataset(str(pictures), "fruit", workspace)
    monkeypatch.chdir(pictures.parent)
    for name in ("t.csv", "t.zip"):
        Path(name).touch()
    texts = (*SOURCES, "shapes:seed=7", "pictures", "fruit", "t.csv", "./t.zip")
    texts += ("torchvision:mnist", "HF:me/set", "hf:me/set:revision=v1,config=a b")
    locations = [open_source(text, workspace).location for text in texts]
    monkeypatch.chdir("/")
    for location in locations:
        assert open_source(location, workspace).location == location


def test_looking_for_a_source_creates_no_workspace(pictures: Path, workspace: Workspace) -> None:
    open_source(str(pictures), workspace).scan()
    with pytest.raises(RequestError):
        open_source("nothing", workspace)
    assert not workspace.root.exists()


def test_unknown_names_are_told_with_the_closest(pictures: Path, workspace: Workspace) -> None:
    import_dataset(str(pictures), "flowers", workspace)
    with pytest.raises(RequestError, match="Did you mean 'digits'"):
        open_source("digit", workspace)
    with pytest.raises(RequestError, match="Did you mean 'flowers'"):
        open_source("flower", workspace)


def test_a_table_and_an_archive_by_their_endings(tmp_path: Path, workspace: Workspace) -> None:
    for name, kind in (("t.csv", TableSource), ("t.TSV", TableSource), ("t.tar.gz", ArchiveSource)):
        (tmp_path / name).touch()
        assert isinstance(open_source(str(tmp_path / name), workspace), kind)
    for text in ("flower_labels.csv", "photos.tar.gz", "photos.ZIP"):
        with pytest.raises(RequestError, match=r"No data set .* in /.*Supported are"):
            open_source(str(tmp_path / text), workspace)
    with pytest.raises(RequestError, match=r"Did you mean 't\.tar\.gz'"):
        open_source(str(tmp_path / "t.tar"), workspace)


def test_a_path_that_does_not_exist_is_told_with_what_is_near(pictures: Path, workspace: Workspace) -> None:
    parent = pictures.parent
    with pytest.raises(RequestError, match=f"Did you mean 'pictures' in {parent}"):
        open_source(f"{parent}/picture", workspace)
    with pytest.raises(RequestError, match=f"Did you mean 'pictures' in {parent}"):
        open_source(f"{parent}/picture/deeper/still", workspace)
    with pytest.raises(RequestError, match=f"There is no 'xyzzy' in {parent}"):
        open_source(f"{parent}/xyzzy", workspace)


@pytest.mark.parametrize(
    "text",
    [
        "wds:shard-{0..9}.tar",
        "flowers.7z",
        "flowers.csv.GZ",
        "t.xlsx",
        "t.jsonl",
    ],
)
def test_sources_that_come_later_say_so(text: str, workspace: Workspace) -> None:
    with pytest.raises(RequestError, match=r"not supported .*yet\. Supported are a folder"):
        open_source(text, workspace)


def test_a_folder_named_like_a_table_is_a_folder(make_pictures, workspace: Workspace) -> None:
    folder = make_pictures({"a": 1, "b": 1}, name="flowers.csv")
    assert len(open_source(str(folder), workspace).scan().records) == 2


@pytest.mark.parametrize("text", ["", "\0", "a\nb", "x" * 5000, "/dev/null", "~nobody-of-that-name/x"])
def test_texts_that_are_no_path_are_told(text: str, workspace: Workspace) -> None:
    with pytest.raises(RequestError):
        open_source(text, workspace)


def test_what_is_shown_is_one_line_and_harmless() -> None:
    assert shown("a\nb\x1b[0m\u202e\x7f") == r"a\nb\x1b[0m\u202e\x7f"
    assert shown("caf\udce9") == r"caf\xe9"
    assert shown("花 👨‍👩‍👧 é") == "花 👨‍👩‍👧 é"
    assert some(["a", "b"]) == "'a', 'b'"
    assert some("abcdef", limit=2) == "'a', 'b' and 4 more"
