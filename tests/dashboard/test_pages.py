from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from tests.dashboard.conftest import asking
from vitscope.dashboard import pages
from vitscope.storage.workspace import Workspace

INDEX = '<!doctype html><html lang="en"><head><base href="/old/"><title>花</title></head><body></body></html>'


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A front end as a build leaves it, with a secret beside it."""
    folder = tmp_path / "static"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text(INDEX, encoding="utf-8")
    (folder / "inspect.html").write_text("<!--documents-->")
    (folder / "favicon.svg").write_text("<svg/>")
    (folder / ".digest").write_text("secret")
    (folder / "assets" / "index-abc.js").write_text("let a = 1;\n" * 500)
    (tmp_path / "secret.txt").write_text("secret")
    monkeypatch.setattr(pages.Pages.__init__, "__defaults__", (folder,))
    return folder


@pytest.fixture
def client(workspace: Workspace, built: Path) -> Iterator[TestClient]:
    with asking(workspace) as made:
        yield made


@pytest.mark.parametrize(
    "path", ["/", "/runs", "/runs/abcdefgh/inside/attention?image=a", "/no/such/view", "/index.html"]
)
def test_every_view_is_the_page_with_its_base(client: TestClient, path: str):
    answer = client.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.text == INDEX.replace('<base href="/old/">', "").replace("<head>", '<head><base href="/">')
    assert answer.headers["cache-control"] == "no-cache"


def test_assets_are_kept_for_ever_and_compressed(client: TestClient, built: Path):
    script = (built / "assets" / "index-abc.js").read_text()
    answer = client.get("/assets/index-abc.js")
    assert answer.text == script
    assert answer.headers["content-type"].startswith("text/javascript")
    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["content-encoding"] == "gzip"
    plain = client.get("/assets/index-abc.js", headers={"accept-encoding": "identity"})
    assert (plain.text, "content-encoding" in plain.headers) == (script, False)
    assert client.get("/assets/index-abc.js", headers={"if-none-match": answer.headers["etag"]}).status_code == 304
    icon = client.get("/favicon.svg")
    assert (icon.status_code, icon.headers["content-type"], icon.headers["cache-control"]) == (
        200,
        "image/svg+xml",
        "no-cache",
    )


@pytest.mark.parametrize(
    "path",
    [
        "/.digest",
        "/inspect.html",
        "/assets/other.js",
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/assets/..%2f..%2fsecret.txt",
        "/assets/%252e%252e/secret.txt",
        "/assets/..\\..\\secret.txt",
        "//etc/passwd.txt",
        "/assets/index-abc.js/",
        "/favicon.svg%00.js",
    ],
)
def test_nothing_else_is_served(client: TestClient, path: str):
    answer = client.get(path)
    assert answer.status_code in (404, 200)
    assert "secret" not in answer.text
    if answer.status_code == 200:  # a slash at the end is forgiven
        assert path == "/assets/index-abc.js/"


def test_a_build_while_the_server_runs_is_seen(client: TestClient, built: Path):
    assert client.get("/assets/new.js").status_code == 404
    (built / "assets" / "new.js").write_text("1")
    (built / "index.html").write_text(INDEX + "<!-- new -->")
    assert client.get("/").text.endswith("<!-- new -->")
    assert client.get("/assets/new.js").text == "1"


def test_without_a_build_it_says_how_to_build(client: TestClient, built: Path):
    (built / "index.html").unlink()
    answer = client.get("/runs")
    assert answer.status_code == 503
    assert "make web" in answer.text
    assert client.get("/assets/index-abc.js").status_code == 404
    assert client.get("/api/session").status_code == 200


def test_the_api_never_answers_with_the_page(client: TestClient):
    for path in ("/api", "/api/", "/api/nothing", "/api/runs/abcdefgh/nothing", "/api/jobs"):
        answer = client.get(path)
        assert answer.status_code == 404
        assert answer.json()["error"]
    assert client.put("/api/runs").status_code == 405
    assert client.post("/runs").status_code == 405
