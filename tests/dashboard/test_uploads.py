"""Fault 69: what people bring is too large, no picture, or a bomb; and it never takes much memory or room."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import socket
import struct
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from tests.dashboard.conftest import TOKEN, asking, make_run, serve, wait_until
from vitscope.dashboard import uploads as uploads_module
from vitscope.dashboard.uploads import MOST_BYTES, TooLarge, Uploads
from vitscope.storage.workspace import Workspace


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return Workspace(tmp_path_factory.mktemp("uploads") / "ws")


@pytest.fixture(scope="module")
def client(place: Workspace) -> Iterator[TestClient]:
    """With the real process beside it, which opens the pictures; it is started once."""
    with asking(place) as made:
        yield made


def png(width: int, height: int) -> bytes:
    out = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def bomb(width: int, height: int, rows: int | None = None) -> bytes:
    """A small PNG that says it is large, and is (as far as `rows`): all of it zeros."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(1)
    hundred = b"\0" * (width * 3 + 1) * 100
    packed = b"".join([packer.compress(hundred) for _ in range((rows or height) // 100)]) + packer.flush()
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def test_a_picture_is_kept_under_its_own_sum(client: TestClient, place: Workspace):
    data = png(40, 30)
    answer = client.post("/api/images", content=data)
    assert answer.status_code == 201
    assert answer.json() == {"id": f"upload:{hashlib.sha256(data).hexdigest()}", "width": 40, "height": 30}
    file = place.cache_folder / "uploads" / hashlib.sha256(data).hexdigest()
    assert file.read_bytes() == data
    assert client.post("/api/images", content=data).json() == answer.json()
    run = make_run(place)
    small = client.get(f"/api/runs/{run.id}/images/{answer.json()['id']}?side=32")
    assert small.status_code == 200
    assert Image.open(io.BytesIO(small.content)).size == (32, 24)
    assert small.headers["content-type"] == "image/png"
    again = client.get(small.url.path + "?side=32", headers={"if-none-match": small.headers["etag"]})
    assert again.status_code == 304


def test_fault_69_what_is_no_picture_is_refused(client: TestClient, place: Workspace):
    drawn = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
    for data in (b"", b"text", png(40, 30)[:500], b"\xff\xd8\xff" + b"x" * 1000, drawn, b"<html><script>x</script>"):
        answer = client.post("/api/images", content=data)
        assert answer.status_code == 422
        assert answer.json()["error"].startswith("This file cannot be used")
        name = hashlib.sha256(data).hexdigest()
        assert not (place.cache_folder / "uploads" / name).exists()


@pytest.mark.parametrize("side", [10_000, 50_000])
def test_fault_69_a_bomb_is_refused_without_being_opened(client: TestClient, side: int):
    client.post("/api/images", content=png(8, 8))
    child = psutil.Process(client.app.state.parts.clerk.pid)  # type: ignore[attr-defined]
    data = bomb(side, side, rows=min(side, 10_000))
    assert len(data) < 10_000_000
    before = child.memory_info().rss
    answer = client.post("/api/images", content=data)
    assert answer.status_code == 422
    assert "too large" in answer.json()["error"] or "million pixels" in answer.json()["error"]
    assert child.memory_info().rss - before < 50_000_000
    assert client.post("/api/images", content=png(8, 8)).status_code == 201  # the process is still the same
    assert client.app.state.parts.clerk.pid == child.pid  # type: ignore[attr-defined]


def test_a_large_photo_is_taken(client: TestClient):
    assert client.post("/api/images", content=bomb(6_000, 4_000)).json()["width"] == 6_000
    answer = client.post("/api/images", content=bomb(9_000, 6_000, rows=100))
    assert answer.status_code == 422
    assert "54 million pixels" in answer.json()["error"]


def test_fault_69_too_large_is_refused_as_soon_as_it_is(workspace: Workspace):
    me = psutil.Process()
    with serve(workspace) as server:
        head = f"POST /api/images HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\n"
        for more in (f"Content-Length: {MOST_BYTES + 2}\r\n\r\n", f"Content-Length: {10**12}\r\n\r\n"):
            with socket.create_connection(("127.0.0.1", server.port), 10) as sent:
                sent.sendall((head + more).encode())
                assert b"413" in sent.recv(100)  # told before anything was sent
        before = me.memory_info().rss
        with socket.create_connection(("127.0.0.1", server.port), 10) as sent:
            sent.sendall((head + "Transfer-Encoding: chunked\r\n\r\n").encode())
            with suppress(OSError):
                for _ in range(4 * MOST_BYTES // 65_536):  # it never says how much there is
                    sent.sendall(b"10000\r\n" + b"x" * 65_536 + b"\r\n")
            assert b"413" in answer_to(sent)  # the rest was read and thrown away: a browser reads no answer before
        wait_until(lambda: list((workspace.cache_folder / "uploads").iterdir()) == [])
        assert me.memory_info().rss - before < 60_000_000


def answer_to(sent: socket.socket) -> bytes:
    answer = b""
    while b"}" not in answer:
        answer += sent.recv(4_000)
    return answer


def test_one_that_is_never_finished_leaves_nothing(workspace: Workspace):
    with serve(workspace) as server:
        head = f"POST /api/images HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\n"
        head += "Content-Length: 1000\r\n\r\n"
        with socket.create_connection(("127.0.0.1", server.port), 10) as sent:
            sent.sendall(head.encode() + b"x" * 100)
            wait_until(lambda: (workspace.cache_folder / "uploads").is_dir())
            wait_until(lambda: len(list((workspace.cache_folder / "uploads").iterdir())) == 1)
        wait_until(lambda: list((workspace.cache_folder / "uploads").iterdir()) == [])
        assert list((workspace.cache_folder / "uploads").iterdir()) == []


async def parts(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


def test_only_so_many_are_kept(workspace: Workspace, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(uploads_module, "MOST_FILES", 3)
    uploads = Uploads(workspace)
    names = []
    for i in range(5):
        names.append(asyncio.run(uploads.take(parts(b"picture", str(i).encode()), None)))
        os.utime(uploads.folder / names[-1], (i, i))
    left_over = uploads.folder / ".dead.part"
    left_over.write_bytes(b"x")
    os.utime(left_over, (0, 0))
    asyncio.run(uploads.take(parts(b"picture", b"4"), None))
    assert {file.name for file in uploads.folder.iterdir()} == set(names[2:])


def test_exactly_the_most_is_taken(workspace: Workspace, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(uploads_module, "MOST_BYTES", 10)
    uploads = Uploads(workspace)
    assert asyncio.run(uploads.take(parts(b"12345", b"67890"), 10)) == hashlib.sha256(b"1234567890").hexdigest()
    for chunks, told in (((b"12345", b"678901"), None), ((b"",), 11)):
        with pytest.raises(TooLarge):
            asyncio.run(uploads.take(parts(*chunks), told))


def test_where_nothing_can_be_written_it_is_told(client: TestClient, tmp_path: Path):
    (tmp_path / "ws").mkdir()
    (tmp_path / "ws" / "cache").write_text("a file where the folder should be")
    with asking(Workspace(tmp_path / "ws")) as other:
        answer = other.post("/api/images", content=b"x")
    assert answer.status_code == 503
    assert "could not be stored" in answer.json()["error"]


def test_no_other_request_brings_much(workspace: Workspace):
    with serve(workspace) as server:
        head = f"POST /api/runs HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\n"
        head += "Content-Type: application/json\r\n"
        with socket.create_connection(("127.0.0.1", server.port), 10) as sent:
            sent.sendall((head + "Content-Length: 1000001\r\n\r\n").encode())
            assert b"413" in sent.recv(100)
        with socket.create_connection(("127.0.0.1", server.port), 10) as sent:
            sent.sendall((head + "Transfer-Encoding: chunked\r\n\r\n").encode())
            for _ in range(20):
                sent.sendall(b"10000\r\n" + b" " * 65_536 + b"\r\n")
            answer = answer_to(sent)
        assert b"413" in answer
        assert b"1 MB at most" in answer


def test_fault_74_a_picture_that_never_comes_is_told_so(workspace: Workspace, monkeypatch: pytest.MonkeyPatch):
    from vitscope.dashboard.routes import images

    monkeypatch.setattr(images, "UPLOAD_S", 0.3)
    with serve(workspace) as server:
        head = f"POST /api/images HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\n"
        with socket.create_connection(("127.0.0.1", server.port), 10) as sent:
            sent.sendall((head + "Content-Length: 1000\r\n\r\n").encode() + b"x" * 100)
            answer = answer_to(sent)
        assert b" 408 " in answer
        assert b"did not arrive" in answer
        assert list((workspace.cache_folder / "uploads").iterdir()) == []


def test_a_body_where_none_belongs_may_not_be_large_either(workspace: Workspace):
    """Of a request that is watched for its client to leave while it is answered."""
    run = make_run(workspace)
    with serve(workspace) as server:
        head = f"GET /api/runs/{run.id}/images HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\n"
        with socket.create_connection(("127.0.0.1", server.port), 20) as sent:
            sent.sendall((head + "Transfer-Encoding: chunked\r\n\r\n").encode())
            for _ in range(20):
                sent.sendall(b"10000\r\n" + b" " * 65_536 + b"\r\n")
            answer = answer_to(sent)
        assert b" 413 " in answer
        assert b"1 MB at most" in answer
