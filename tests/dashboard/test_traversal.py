"""Fault 68: no parameter becomes a path, however it is written. Every path parameter of every route is tried."""

from __future__ import annotations

import http.client
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.dashboard.conftest import BEARER, TOKEN, make_run, routes_of, serve
from tests.dashboard.test_worker import FAKE
from vitscope.dashboard import worker as worker_module
from vitscope.dashboard.app import create_app
from vitscope.dashboard.worker import Worker
from vitscope.storage.workspace import Workspace

SECRET = "the-secret-that-nobody-may-read"
TARGETS = ("../secret.txt", "../../../../../../etc/passwd", "/etc/passwd", "..", "..\\..\\secret.txt")
TARGETS += ("....//....//secret.txt", "sample:../../secret.txt", "secret.txt%00.png")


def written(target: str) -> set[str]:
    """As it is, all of it encoded, its special characters encoded twice, and overlong."""
    every = "".join(f"%{byte:02x}" for byte in target.encode())
    twice = re.sub(r"[^A-Za-z0-9]", lambda m: f"%25{ord(m[0]):02X}", target)
    return {target, every, twice, target.replace(".", "%c0%ae").replace("/", "%c0%af")}


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    workspace = Workspace(tmp_path / "ws")
    run = make_run(workspace, "known")
    for folder in (tmp_path, workspace.root, workspace.runs_folder, workspace.run_folder(run.id)):
        (folder / "secret.txt").write_text(SECRET)
    return workspace


@pytest.fixture
def opened() -> Iterator[list[str]]:
    """Every file and folder that this process, and with it the server, asks the system for."""
    seen: list[str] = []
    is_on = True

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if is_on and event in ("open", "os.listdir", "os.scandir", "os.rename", "os.remove", "os.mkdir"):
            seen.append(str(arguments[0]))

    sys.addaudithook(hook)  # for good: there is no way to take one off
    yield seen
    is_on = False


def addresses(workspace: Workspace) -> list[tuple[str, str]]:
    """(method, address) of every route, one hostile value in the place of each parameter in turn, the others valid."""
    (run,) = [folder.name for folder in workspace.runs_folder.iterdir() if folder.is_dir()]
    valid = {"run": run, "image": "sample:0123456789abcdef", "key": "layers", "path": "assets/index.js"}
    found = []
    for route in routes_of(create_app(workspace, token=TOKEN)):
        parameters = re.findall(r"{(\w+)(?::path)?}", route.path)
        for parameter in parameters:
            for target in TARGETS:
                for text in written(target):
                    values = {**valid, parameter: text}
                    path = re.sub(r"{(\w+)(?::path)?}", lambda m, v=values: v[m[1]], route.path)
                    found += [(method, path) for method in route.methods - {"HEAD"}]
    return found


def test_fault_68_no_parameter_becomes_a_path(place: Workspace, opened: list[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Worker.__init__, "__defaults__", (FAKE, worker_module.IDLE_S))
    tried = addresses(place)
    assert {path.split("/")[2] for _, path in tried if path.startswith("/api/")} >= {"runs", "jobs"}
    with serve(place) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        connection.request("GET", "/api/session", headers=BEARER)
        connection.getresponse().read()
        opened.clear()
        for method, path in tried:
            address = path.replace(" ", "%20").replace("\0", "%00")
            connection.putrequest(method, address, skip_accept_encoding=True)  # as it is written: nothing is normalised
            connection.putheader("Authorization", f"Bearer {TOKEN}")
            connection.endheaders()
            answer = connection.getresponse()
            body = answer.read().decode("utf-8", "replace")
            assert SECRET not in body, (method, path)
            assert "root:" not in body, (method, path)
            assert answer.status < 500 or answer.status == 503, (method, path, body)  # 503: the page is not built
            if path.startswith("/api/") and "/inside/" not in path:
                assert answer.status in (303, 404, 405, 422), (method, path, answer.status)
    strange = [path for path in opened if re.search(r"secret|passwd|\.\.|%|\\|\0|~", path)]
    assert strange == []


@pytest.mark.parametrize("name", ["source", "names", "ids", "run", "since", "split"])
def test_fault_68_no_option_becomes_a_path(place: Workspace, opened: list[str], name: str):
    from tests.dashboard.conftest import asking

    run = place.find_run("known").id
    paths = {"names": f"/api/runs/{run}/series", "ids": "/api/runs/sparklines", "split": f"/api/runs/{run}/images"}
    with asking(place) as client:
        client.get("/api/runs")
        opened.clear()
        for target in TARGETS:
            for text in written(target):
                answer = client.get(
                    paths.get(name, "/api/live"), params={name: text, **({} if name in paths else {"since": "x"})}
                )
                assert answer.status_code < 500
                assert SECRET not in answer.text
    assert [path for path in opened if re.search(r"secret|passwd|\.\.", path)] == []


def test_a_run_named_like_a_path_keeps_its_own_folder(place: Workspace):
    from tests.dashboard.conftest import asking

    hostile = make_run(place, "../../secret.txt")
    with asking(place) as client:
        for ref in ("..%2F..%2Fsecret.txt", "%2E%2E%2F%2E%2E%2Fsecret.txt"):
            answer = client.get(f"/api/runs/{ref}")
            assert answer.status_code in (200, 404)
            if answer.status_code == 200:
                assert answer.json()["folder"] == str(place.run_folder(hostile.id))
        assert client.delete(f"/api/runs/{hostile.id}").status_code == 200
    assert (place.root.parent / "secret.txt").read_text() == SECRET
    assert place.trashed_folder(hostile.id).is_dir()
