from __future__ import annotations

import os
from pathlib import Path

import pytest

from vitscope.dashboard.token import FILE, kept_token
from vitscope.storage.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "new" / "ws")


def mode(file: Path) -> int:
    return file.stat().st_mode & 0o777


def test_it_is_made_once_and_only_its_owner_reads_it(workspace: Workspace):
    token = kept_token(workspace)
    assert len(token) >= 40
    assert mode(workspace.root / FILE) == 0o600
    assert kept_token(Workspace(workspace.root)) == token
    assert [file.name for file in workspace.root.iterdir()] == [FILE]


@pytest.mark.parametrize("open_to", [0o640, 0o604, 0o620, 0o644])
def test_one_that_others_can_read_is_made_anew(workspace: Workspace, open_to: int):
    token = kept_token(workspace)
    (workspace.root / FILE).chmod(open_to)
    renewed = kept_token(workspace)
    assert renewed != token
    assert mode(workspace.root / FILE) == 0o600
    assert kept_token(workspace) == renewed


@pytest.mark.parametrize("content", ["", "short", "x" * 500, "spaces in it and more spaces in it and more", "\0" * 50])
def test_what_is_no_token_is_replaced(workspace: Workspace, content: str):
    workspace.root.mkdir(parents=True)
    file = workspace.root / FILE
    file.touch(0o600)
    file.write_text(content)
    token = kept_token(workspace)
    assert token != content
    assert file.read_text().strip() == token


def test_a_link_is_not_followed(workspace: Workspace, tmp_path: Path):
    workspace.root.mkdir(parents=True)
    secret = tmp_path / "elsewhere"
    secret.touch(0o600)
    secret.write_text("A" * 43)
    (workspace.root / FILE).symlink_to(secret)
    token = kept_token(workspace)
    assert token != "A" * 43
    assert secret.read_text() == "A" * 43
    assert not (workspace.root / FILE).is_symlink()


def test_a_file_system_without_owners_keeps_no_token(workspace: Workspace, monkeypatch: pytest.MonkeyPatch):
    real = os.open
    monkeypatch.setattr(os, "open", lambda path, flags, mode=0o777, **more: real(path, flags, 0o666, **more))
    before = os.umask(0)
    try:
        assert kept_token(workspace) != kept_token(workspace)
    finally:
        os.umask(before)
    assert list(workspace.root.iterdir()) == []


def test_where_nothing_can_be_written_it_is_in_memory(workspace: Workspace, tmp_path: Path):
    """A file where a folder should be: to root every folder can be written."""
    (tmp_path / "new").write_text("")
    assert kept_token(workspace) != kept_token(workspace)
    assert [file.name for file in tmp_path.iterdir()] == ["new"]


def test_servers_that_start_together_have_one_token(tmp_path: Path):
    from concurrent.futures import ThreadPoolExecutor
    from threading import Barrier

    for round_ in range(10):
        workspace, together = Workspace(tmp_path / str(round_)), Barrier(6)

        def start(workspace: Workspace = workspace, together: Barrier = together) -> str:
            together.wait(10)
            return kept_token(workspace)

        with ThreadPoolExecutor(6) as pool:
            tokens = {found.result() for found in [pool.submit(start) for _ in range(6)]}
        assert tokens == {(workspace.root / FILE).read_text().strip()}
        assert [file.name for file in workspace.root.iterdir()] == [FILE]
