"""The server and its command: where it listens, what it prints, how it ends; faults 72 and 76."""

from __future__ import annotations

import errno
import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import httpx2
import pytest

from tests.dashboard.conftest import BEARER, TOKEN, Stream, make_run, serve, wait_until
from vitscope.cli import beside, browser
from vitscope.dashboard import connections
from vitscope.dashboard.server import Server, is_loopback, listen, own_address, serving
from vitscope.dashboard.token import FILE
from vitscope.errors import RequestError
from vitscope.storage.workspace import Workspace

ADDRESS = re.compile(r"http://(\S+):(\d+)/\?token=([\w-]+)")


class Command:
    """`vitscope ui` as a person runs it, its two outputs apart."""

    def __init__(self, workspace: Path, *options: str, **environment: str):
        self.child = subprocess.Popen(
            [sys.executable, "-m", "vitscope", "--workspace", str(workspace), "ui", *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "DISPLAY": "", "WAYLAND_DISPLAY": "", "BROWSER": "", **environment},
            start_new_session=True,
        )
        assert self.child.stdout is not None
        self.line = self.child.stdout.readline()
        found = ADDRESS.fullmatch(self.line.strip())
        self.host, self.port, self.token = found.groups() if found else ("", "", "")

    def get(self, path: str) -> httpx2.Response:
        headers = {"authorization": f"Bearer {self.token}"}
        return httpx2.get(f"http://127.0.0.1:{self.port}{path}", headers=headers, timeout=120)

    def end(self, number: int = signal.SIGINT) -> tuple[int, str, str]:
        if self.child.poll() is None:
            self.child.send_signal(number)
        out, err = self.child.communicate(timeout=120)
        return self.child.returncode, out, err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_one_line_with_the_address_and_a_quiet_end(tmp_path: Path, number: int, code: int):
    command = Command(tmp_path / "ws", "--port", "0", "--no-browser")
    assert (command.host, len(command.token) >= 40) == ("127.0.0.1", True)
    assert command.get("/api/session").json()["workspace"] == str(tmp_path / "ws")
    assert command.get("/api/runs").json()["runs"] == []
    assert (tmp_path / "ws" / FILE).read_text().strip() == command.token
    assert command.end(number) == (code, "", "")


def test_fault_72_a_port_that_is_taken_is_told_and_the_next_one_used(tmp_path: Path):
    with closing(listen("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = Command(tmp_path / "ws", "--port", str(port), "--no-browser")
        assert port < int(command.port) < port + 20
        _, out, err = command.end()
    assert out == ""
    assert err.strip() == f"Port {port} is taken: {command.port} is used."


def test_fault_72_when_all_are_taken_it_is_told(monkeypatch: pytest.MonkeyPatch):
    tried: list[int] = []

    def taken(host: str, port: int) -> socket.socket:
        tried.append(port)
        raise OSError(errno.EADDRINUSE, "Address already in use")

    monkeypatch.setattr("vitscope.dashboard.server._listen", taken)
    with pytest.raises(RequestError, match="ports 8420 to 8439 are all taken"):
        listen("127.0.0.1", 8420)
    assert tried == list(range(8420, 8440))


def test_where_it_cannot_listen_is_told():
    for host, port in (("192.0.2.1", 8420), ("no.such.host.invalid", 8420), ("127.0.0.1", 70_000), ("127.0.0.1", -1)):
        with pytest.raises(RequestError, match=r"--port|--host"):
            listen(host, port)


def test_a_host_that_others_reach_is_warned_of_and_answered_to(tmp_path: Path):
    command = Command(tmp_path / "ws", "--port", "0", "--host", "0.0.0.0", "--no-browser")
    assert command.host == own_address()
    for host, status in (("192.168.7.7", 200), ("evil.example", 403)):
        headers = {"authorization": f"Bearer {command.token}", "host": host}
        answer = httpx2.get(f"http://127.0.0.1:{command.port}/api/session", headers=headers, timeout=120)
        assert answer.status_code == status
    _, _, err = command.end()
    assert "everybody who can reach this machine" in err
    assert len(err.strip().splitlines()) == 1


def test_read_only(tmp_path: Path):
    command = Command(tmp_path / "ws", "--port", "0", "--read-only")
    assert command.get("/api/session").json()["read_only"] is True
    command.end()


def test_a_database_that_cannot_be_used_is_told_at_once(tmp_path: Path):
    (tmp_path / "vitscope.db").write_text("no database")
    command = Command(tmp_path, "--port", "0", "--no-browser")
    code, _, err = command.end()
    assert (command.line, code) == ("", 2)
    assert err.startswith("Error: ")
    assert "Traceback" not in err


def test_fault_76_an_open_page_survives_a_restart(tmp_path: Path):
    """The same port, the same token: its cookie is good, and its stream goes on from its last id."""
    workspace = Workspace(tmp_path / "ws")
    run = make_run(workspace)
    first = Command(workspace.root, "--port", "0", "--no-browser")
    cookie = {"cookie": f"vitscope-{first.port}={first.token}"}
    url = f"http://127.0.0.1:{first.port}/api/runs"
    assert httpx2.get(url, headers=cookie, timeout=120).json()["runs"][0]["id"] == run.id
    first.end(signal.SIGKILL)
    second = Command(workspace.root, "--port", first.port, "--no-browser")
    assert (second.port, second.token) == (first.port, first.token)
    assert httpx2.get(url, headers=cookie, timeout=120).json()["runs"][0]["id"] == run.id
    second.end()


def test_a_browser_is_opened_with_an_address_that_is_good_once(tmp_path: Path):
    """Its command line can be read by everybody on the machine."""
    script, seen = tmp_path / "browser.sh", tmp_path / "seen"
    script.write_text(f'#!/bin/sh\necho "$1" >> {seen}\n')
    script.chmod(0o755)
    command = Command(tmp_path / "ws", "--port", "0", BROWSER=f"{script} %s")
    wait_until(seen.exists)
    wait_until(lambda: seen.read_text().endswith("\n"))
    address = seen.read_text().strip()
    assert ADDRESS.fullmatch(address)
    assert command.token not in address
    answer = httpx2.get(address, follow_redirects=False, timeout=120)
    assert answer.status_code == 303
    assert f"vitscope-{command.port}={command.token}" in answer.headers["set-cookie"]
    assert httpx2.get(address, follow_redirects=False, timeout=120).status_code == 401
    command.end()


@pytest.mark.parametrize(
    ("platform", "environment", "expected"),
    [
        ("linux", {}, False),
        ("linux", {"DISPLAY": ":0"}, True),
        ("linux", {"WAYLAND_DISPLAY": "wayland-0"}, True),
        ("linux", {"BROWSER": "x"}, True),
        ("darwin", {}, True),
        ("win32", {}, True),
    ],
)
def test_whether_there_is_a_browser(
    monkeypatch: pytest.MonkeyPatch, platform: str, environment: dict[str, str], expected: bool
):
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)
    assert browser.has_browser() is expected


# ---------------------------------------------------------------------------------------------- from Python


def test_beside_other_work_of_the_same_process(workspace: Workspace):
    with serving(workspace, port=0) as address:
        found = ADDRESS.fullmatch(address)
        assert found is not None
        run = make_run(workspace)
        headers = {"authorization": f"Bearer {found[3]}"}
        answer = httpx2.get(f"http://127.0.0.1:{found[2]}/api/runs", headers=headers, timeout=120)
        assert answer.json()["runs"][0]["id"] == run.id
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(address, timeout=5)


def test_a_stopped_server_leaves_its_port_at_once(workspace: Workspace):
    with serve(workspace) as server, Stream(server) as stream:
        stream.next()
        port = server.port
    again = Server(workspace, port=port, token=TOKEN)
    assert again.port == port
    again._socket.close()


def test_it_stops_though_somebody_is_being_answered(workspace: Workspace):
    run = make_run(workspace)
    with serve(workspace) as server, closing(socket.create_connection(("127.0.0.1", server.port), 5)) as idle:
        idle.sendall(b"GET /api/session HTTP/1.1\r\n")  # and never more
        httpx2.get(f"{server.root}/api/runs/{run.id}", headers=BEARER, timeout=120)
        began = time.monotonic()
        server.stop()
        assert time.monotonic() - began < 8


def test_small_answers_leave_at_once(server: Server):
    """Head and body are two packets; without TCP_NODELAY the second waits 40 ms for the first to be acknowledged."""
    with httpx2.Client(base_url=server.root, headers=BEARER, timeout=120) as client:
        spent = []
        for _ in range(20):
            began = time.perf_counter()
            client.get("/api/session")
            spent.append(time.perf_counter() - began)
    assert min(spent) < 0.03


def test_names_of_loopback():
    assert all(map(is_loopback, ("127.0.0.1", "localhost", "::1", "127.5.5.5")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "192.168.1.5", "example.org")))


def test_other_commands_do_not_load_the_server():
    code = "import sys\nfrom vitscope.cli.app import main\ntry: main(['runs', 'list'])\nfinally: print(*[m for m in "
    code += "('fastapi', 'uvicorn', 'starlette', 'psutil') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd="/")
    assert done.stdout.splitlines()[-1] == ""


def test_the_server_loads_neither_torch_nor_pandas():
    code = "import sys\nimport vitscope.dashboard.server\nprint(*[m for m in "
    code += "('torch', 'timm', 'pandas', 'pyarrow', 'matplotlib', 'sklearn', 'PIL') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


# ---------------------------------------------------------------------------------------------- connections


def test_fault_74_heads_that_do_not_come_are_not_waited_for(workspace: Workspace, monkeypatch: pytest.MonkeyPatch):
    """From a first byte or none, on a new connection or a further request on an old one; who is served is not cut."""
    monkeypatch.setattr(connections, "HEAD_S", 0.5)
    half = b"GET /api/session HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    with serve(workspace) as server, Stream(server) as stream:
        stream.next()
        opened = [socket.create_connection(("127.0.0.1", server.port), 10) for _ in range(30)]
        for i, one in enumerate(opened):
            if i % 3 == 1:
                one.sendall(half)
            elif i % 3 == 2:
                one.sendall(half + b"\r\n")
                assert b" 401 " in one.recv(4_000)
                one.sendall(half)
        for one in opened:
            wait_until(lambda one=one: one.recv(4_000) == b"", 10)
            one.close()
        make_run(workspace)
        assert stream.until("runs").data["runs"]  # still there, though it has long been open
        wait_until(lambda: len(server._uvicorn.server_state.connections) == 1)  # type: ignore[union-attr]


def test_there_are_only_so_many_connections(workspace: Workspace, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(connections, "MOST_CONNECTIONS", 3)
    with serve(workspace) as server:
        opened = [socket.create_connection(("127.0.0.1", server.port), 10) for _ in range(6)]
        wait_until(lambda: len(server._uvicorn.server_state.connections) == 3)  # type: ignore[union-attr]
        for one in opened:
            one.close()
        wait_until(lambda: len(server._uvicorn.server_state.connections) == 0)  # type: ignore[union-attr]
        assert httpx2.get(f"{server.root}/api/session", headers=BEARER, timeout=120).status_code == 200


# ---------------------------------------------------------------------------------------------- beside a command


def test_a_dashboard_beside_that_cannot_start_says_why(tmp_path: Path):
    (tmp_path / "vitscope.db").write_text("no database")
    with beside.dashboard(str(tmp_path), None) as told:
        assert isinstance(told, str)
        assert "vitscope.db" in told


def break_off(*_: object) -> None:
    os._exit(7)


def fail(_: object, __: object, pipe: object) -> None:
    import vitscope.dashboard.server as server

    server.Server = None  # type: ignore[misc, assignment]  # something that nobody foresaw
    beside._serve(None, None, pipe)  # type: ignore[arg-type]


@pytest.mark.parametrize(("how", "words"), [(break_off, "exit code 7"), (fail, "TypeError")])
def test_a_dashboard_beside_that_dies_is_not_said_to_be_slow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: object, words: str
):
    monkeypatch.setattr(beside, "_serve", how)
    with beside.dashboard(str(tmp_path), None) as told:
        assert isinstance(told, str)
        assert words in told
        assert "in time" not in told
