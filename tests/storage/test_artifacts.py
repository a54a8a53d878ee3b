"""Files that are never half-written, and pointers."""

from __future__ import annotations

import errno
import os
import threading
import time
from pathlib import Path

import pytest

from vitscope.storage import artifacts
from vitscope.storage.artifacts import files_below, new_folder, point, pointed, write_atomically


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    return tmp_path / "a", tmp_path / "b"


def refuse(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def symlink_to(*_: object) -> None:
        raise error

    monkeypatch.setattr(Path, "symlink_to", symlink_to)


def test_a_pointer_is_a_relative_link_and_moves(two: tuple[Path, Path], tmp_path: Path) -> None:
    for target in two:
        point(tmp_path / "last", target)
        assert (tmp_path / "last").readlink() == Path(target.name)
        assert pointed(tmp_path / "last") == target


@pytest.mark.parametrize(
    "error", [OSError(errno.EPERM, "not permitted"), OSError(errno.ENOTSUP, "not supported"), NotImplementedError()]
)
def test_where_there_are_no_symlinks_a_file_names_the_target(
    two: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    refuse(monkeypatch, error)
    for target in two:
        point(tmp_path / "last", target)
        assert (tmp_path / "last").read_text() == target.name
        assert pointed(tmp_path / "last") == target


def test_any_other_failure_is_told_and_the_pointer_stays(
    two: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    point(tmp_path / "last", two[0])
    refuse(monkeypatch, OSError(errno.ENOSPC, "No space left on device"))
    with pytest.raises(OSError, match="No space left"):
        point(tmp_path / "last", two[1])
    assert pointed(tmp_path / "last") == two[0]


def test_a_pointer_to_nothing_is_none(tmp_path: Path) -> None:
    assert pointed(tmp_path / "last") is None
    (tmp_path / "last").symlink_to("gone")
    assert pointed(tmp_path / "last") is None


def test_a_folder_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="halfway"), new_folder(tmp_path / "made") as folder:
        (folder / "one").write_text("1")
        raise ValueError("halfway")
    assert list(tmp_path.iterdir()) == []
    with new_folder(tmp_path / "made") as folder:
        (folder / "one").write_text("1")
    assert (tmp_path / "made" / "one").read_text() == "1"
    assert [p.name for p in tmp_path.iterdir()] == ["made"]


def test_a_file_keeps_its_content_when_the_new_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_atomically(tmp_path / "file", "old")
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left on device")))
    with pytest.raises(OSError, match="No space left"):
        write_atomically(tmp_path / "file", "new")
    assert (tmp_path / "file").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_files_below_are_those_that_are_finished(tmp_path: Path) -> None:
    (tmp_path / "a" / ".half.123.tmp").mkdir(parents=True)
    for name, content in (("a/.half.123.tmp/x", b"1"), ("a/y", b"12"), (".hidden", b"1"), ("z", b"123")):
        (tmp_path / name).write_bytes(content)
    (tmp_path / "link").symlink_to("z")
    assert files_below(tmp_path) == {"a/y": 2, "z": 3}
    assert files_below(tmp_path / "missing") == {}


def test_files_below_that_go_away_meanwhile_are_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("first/a", "second/b"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"1")
    honest = os.scandir

    def a_folder_goes(path: str) -> object:
        if Path(path).name == "first":
            (tmp_path / "first").rename(tmp_path / ".gone")
        return honest(path)

    monkeypatch.setattr("os.scandir", a_folder_goes)
    assert files_below(tmp_path) == {"second/b": 1}


def test_a_link_that_is_moved_on_while_it_is_read_is_read_again(tmp_path: Path):
    """As `best` is, each time training finds a better one: new folder, link, old folder gone."""
    first = tmp_path / "step-0"
    first.mkdir()
    point(tmp_path / "best", first)
    done = threading.Event()

    def train() -> None:
        old, step = first, 0
        while not done.is_set():
            step += 1
            new = tmp_path / f"step-{step}"
            new.mkdir()
            point(tmp_path / "best", new)
            old.rmdir()
            old = new

    trainer = threading.Thread(target=train)
    trainer.start()
    try:
        until = time.monotonic() + 1.5
        while time.monotonic() < until:
            assert pointed(tmp_path / "best") is not None
    finally:
        done.set()
        trainer.join()


def test_the_old_target_going_between_two_looks_is_no_missing_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    old, new = tmp_path / "old", tmp_path / "new"
    new.mkdir()
    point(tmp_path / "best", new)
    seen = [old]
    real = artifacts._target
    monkeypatch.setattr(artifacts, "_target", lambda link: seen.pop() if seen else real(link))
    assert pointed(tmp_path / "best") == new


def test_two_containers_of_one_number_do_not_touch_each_others_unfinished_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """In each the process is number 1."""
    monkeypatch.setattr(os, "getpid", lambda: 1)
    with artifacts.new_folder(tmp_path / "made") as one:
        (one / "file").write_text("one")
        with pytest.raises(RuntimeError), artifacts.new_folder(tmp_path / "made") as other:
            (other / "file").write_text("other")
            raise RuntimeError
        assert (one / "file").read_text() == "one"
    assert (tmp_path / "made" / "file").read_text() == "one"
    assert [path.name for path in tmp_path.iterdir()] == ["made"]
