"""Faults 66, 67, 70, and what Jupyter and datasette taught: tokens, foreign hosts, foreign pages, headers."""

from __future__ import annotations

import hmac
import re
import socket

import pytest
from fastapi.testclient import TestClient

from tests.dashboard.conftest import BASE, BEARER, TOKEN, asking, make_run, routes_of
from vitscope.dashboard.security import CONTENT_SECURITY_POLICY, ONCE_S, Access, cookie_name, split_host
from vitscope.storage import runs
from vitscope.storage.workspace import Workspace

PATHS = (
    "/",
    "/runs/abcdefgh/curves",
    "/assets/index.js",
    "/api/session",
    "/api/runs",
    "/api/live",
    "/api/openapi.json",
)
PATHS += ("/api/nothing", "/favicon.svg", "//", "/API/session")


@pytest.fixture
def stranger(workspace: Workspace):
    with asking(workspace, headers={}) as made:
        yield made


# ---------------------------------------------------------------------------------------------- the token


@pytest.mark.parametrize("path", PATHS)
def test_fault_66_without_a_token_nothing_is_answered(stranger: TestClient, path: str):
    for headers in (
        {},
        {"authorization": "Bearer wrong"},
        {"authorization": f"Basic {TOKEN}"},
        {"authorization": "Bearer"},
        {"cookie": "vitscope-8420=wrong"},
        {"cookie": f"vitscope-8421={TOKEN}"},
        {"cookie": f"other={TOKEN}"},
    ):
        answer = stranger.get(path, headers=headers)
        assert answer.status_code == 401, headers
        assert answer.headers["www-authenticate"] == "Bearer"
        assert "set-cookie" not in answer.headers
        assert "vitscope ui" in answer.text
    assert stranger.get(f"{path}?token=wrong").status_code == 401
    assert stranger.get(f"{path}?token={TOKEN[:-1]}").status_code == 401
    assert stranger.post(path, json={}).status_code == 401
    assert stranger.request("OPTIONS", path).status_code == 401


def test_a_browser_is_told_in_words(stranger: TestClient):
    page = stranger.get("/runs", headers={"accept": "text/html,*/*"})
    assert page.status_code == 401
    assert page.headers["content-type"].startswith("text/html")
    assert "Try again" in page.text
    assert stranger.get("/api/runs", headers={"accept": "text/html"}).json()["error"].startswith("This dashboard asks")


def test_the_token_in_the_address_becomes_a_cookie(stranger: TestClient):
    answer = stranger.get(f"/runs/abc/curves?axis=time&token={TOKEN}&smooth=0.5%2B")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/runs/abc/curves?axis=time&smooth=0.5%2B"
    cookie = answer.headers["set-cookie"]
    assert cookie == f"vitscope-8420={TOKEN}; HttpOnly; SameSite=Strict; Path=/"
    assert answer.headers["cache-control"] == "no-store"
    with_cookie = {"cookie": f"a=b; vitscope-8420={TOKEN}; c=d"}
    assert stranger.get("/api/session", headers=with_cookie).status_code == 200
    assert stranger.get("/?token=an-old-one", headers=with_cookie).headers["location"] == "/"


def test_an_address_never_leads_elsewhere(stranger: TestClient):
    for path in ("//evil.example/", "/\\evil.example", "///evil.example", "/%2F%2Fevil.example", "/%5Cevil.example"):
        location = stranger.get(f"{path}?token={TOKEN}").headers["location"]
        assert re.match(r"/[^/\\]", location) or location == "/", location
    strange = stranger.get(f"/%0d%0aset-cookie:%20a=b?token={TOKEN}")
    assert "%0D%0A" in strange.headers["location"]
    assert strange.headers["set-cookie"].startswith("vitscope")


def test_a_link_on_another_page_leads_in_by_a_page_of_our_own(stranger: TestClient):
    """A strict cookie is not sent along a redirect that began elsewhere."""
    visit = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    answer = stranger.get(f'/runs?a="<b>&token={TOKEN}', headers=visit)
    assert answer.status_code == 200
    (target,) = re.findall(r'<meta http-equiv="refresh" content="0;url=([^"]*)">', answer.text)
    assert target.startswith("/runs?a=")
    assert "<b>" not in answer.text
    assert "HttpOnly" in answer.headers["set-cookie"]


def test_the_cookie_is_named_by_the_port_that_the_browser_sees(stranger: TestClient):
    """Through a tunnel it is another than the one that is listened on; cookies do not know ports."""
    answer = stranger.get(f"http://localhost:9000/?token={TOKEN}")
    assert answer.headers["set-cookie"].startswith("vitscope-9000=")
    assert stranger.get(f"http://localhost/?token={TOKEN}").headers["set-cookie"].startswith("vitscope-80=")
    assert cookie_name("8420; x=y") == "vitscope-0"


def test_tokens_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch, stranger: TestClient):
    compared: list[bytes] = []
    real = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", lambda a, b: compared.append(a) or real(a, b))
    stranger.get("/api/session", headers={"authorization": "Bearer guess"})
    stranger.get("/?token=guess")
    assert compared == [b"guess", b"guess"]
    assert not Access(TOKEN).is_token("n\udcffé")


def test_a_code_for_one_use_is_good_for_one_use(monkeypatch: pytest.MonkeyPatch):
    access = Access(TOKEN)
    first, second = access.once(), access.once()
    assert access.redeem(first)
    assert not access.redeem(first)
    now = __import__("time").monotonic()
    monkeypatch.setattr("time.monotonic", lambda: now + ONCE_S + 1)
    assert not access.redeem(second)


@pytest.mark.parametrize("first", ["known", "bearer", "unknown"])
def test_whoever_opens_an_address_that_is_good_once_uses_it_up(workspace: Workspace, first: str):
    """Known already or not: it was on a command line, which everybody on the machine can read."""
    access = Access(TOKEN)
    headers = {"known": {"cookie": f"vitscope-8420={TOKEN}"}, "bearer": BEARER, "unknown": {}}[first]
    with asking(workspace, headers={}, access=access) as client:
        path = f"/?token={access.once()}"
        assert client.get(path, headers=headers).status_code == 303
        client.cookies.clear()
        again = client.get(path)
        assert again.status_code == 401
        assert "set-cookie" not in again.headers


# ---------------------------------------------------------------------------------------------- foreign hosts and pages


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8420", "127.0.0.1.evil.example", "localhost.evil", "", "0"]
)
def test_fault_67_a_foreign_host_is_refused(client: TestClient, host: str):
    for path in ("/", "/api/runs", f"/?token={TOKEN}"):
        answer = client.get(path, headers={"host": host})
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers
    assert client.get("/api/session", headers={"host": host}).json()["error"]


@pytest.mark.parametrize("host", ["127.0.0.1:8420", "localhost", "LOCALHOST:1", "[::1]:8420", "localhost.:8420"])
def test_our_own_names_are_answered_on_any_port(client: TestClient, host: str):
    assert client.get("/api/session", headers={"host": host}).status_code == 200


def test_another_host_is_answered_where_it_was_asked_for(workspace: Workspace):
    with asking(workspace, hosts=["Box.Example"]) as client:
        assert client.get("/api/session", headers={"host": "box.example:8420"}).status_code == 200
        assert client.get("/api/session", headers={"host": "other.example"}).status_code == 403
        assert client.get("/api/session", headers={"host": "192.168.1.5"}).status_code == 403
    with asking(workspace, hosts=["0.0.0.0"]) as client:
        for host, status in (
            ("192.168.1.5:8420", 200),
            ("[fe80::1]", 200),
            (socket.gethostname(), 200),
            ("evil.example", 403),
        ):
            assert client.get("/api/session", headers={"host": host}).status_code == status, host


def test_hosts_are_split_as_they_are_written():
    assert split_host("a:1") == ("a", "1")
    assert split_host("a") == ("a", "80")
    assert split_host("[::1]:8420") == ("::1", "8420")
    assert split_host("[::1]") == ("::1", "80")


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "http://127.0.0.1:9999"},
        {"origin": "http://localhost:8420"},
        {"origin": "null"},
        {"origin": ""},
        {"origin": "http://127.0.0.1:8420.evil.example"},
        {"origin": "http://[::1"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_fault_67_another_sites_page_is_refused(workspace: Workspace, headers: dict[str, str]):
    run = make_run(workspace)
    with asking(workspace, headers={"cookie": f"vitscope-8420={TOKEN}"}) as client:
        assert client.delete(f"/api/runs/{run.id}", headers=headers).status_code == 403
        assert client.post(f"/api/runs/{run.id}/stop", headers=headers).status_code == 403
        assert client.get("/api/runs", headers=headers | {"sec-fetch-mode": "no-cors"}).status_code == 403
        assert client.get("/api/live", headers=headers | {"sec-fetch-mode": "cors"}).status_code == 403
    assert runs.find_run(workspace.database, run.id)


def test_a_change_by_cookie_must_say_where_it_comes_from(workspace: Workspace):
    """Browsers always do; without it the cookie alone proves nothing."""
    run = make_run(workspace)
    with asking(workspace, headers={"cookie": f"vitscope-8420={TOKEN}"}) as client:
        assert client.delete(f"/api/runs/{run.id}").status_code == 403
        assert client.delete(f"/api/runs/{run.id}", headers={"origin": BASE}).status_code == 200
        assert client.post(f"/api/runs/{run.id}/restore", headers={"sec-fetch-site": "same-origin"}).status_code == 200
    with asking(workspace) as client:  # a script has the token itself
        assert client.delete(f"/api/runs/{run.id}").status_code == 200


def test_no_answer_is_meant_for_other_origins(client: TestClient):
    for path in ("/api/runs", "/"):
        answer = client.get(path, headers={"origin": BASE})
        assert not [name for name in answer.headers if name.startswith("access-control")]
    preflight = {"origin": "https://evil.example", "access-control-request-method": "DELETE"}
    assert client.request("OPTIONS", "/api/runs", headers=preflight).status_code == 403


# ---------------------------------------------------------------------------------------------- read-only, headers


def test_read_only_changes_nothing(workspace: Workspace):
    run = make_run(workspace)
    with asking(workspace, read_only=True) as client:
        assert client.get("/api/session").json()["read_only"] is True
        refused = [
            client.delete(f"/api/runs/{run.id}"),
            client.post("/api/runs", json={"source": "digits"}),
            client.post("/api/images", content=b"x"),
            *(client.post(f"/api/runs/{run.id}/{what}") for what in ("stop", "resume", "restore")),
        ]
        assert [answer.status_code for answer in refused] == [403] * len(refused)
        assert "--read-only" in refused[0].json()["error"]
        assert client.get("/api/runs").json()["runs"][0]["id"] == run.id
    changing = {(route.path, m) for route in routes_of(client.app) for m in route.methods - {"GET", "HEAD"}}
    assert len(changing) == len(refused)  # there are no others


@pytest.mark.parametrize("path", ["/", "/api/runs", "/api/nothing", "/api/runs/nothere2", "/nothing.js"])
def test_headers_of_every_answer(client: TestClient, stranger: TestClient, path: str):
    for answer in (client.get(path), stranger.get(path), client.post(path), client.get(path, headers={"host": "evil"})):
        assert answer.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        if path.startswith("/api/"):
            assert answer.headers["cache-control"] == "no-store"
            assert answer.headers["content-type"].startswith("application/json")


def test_the_policy_allows_what_is_ours_and_nothing_else():
    policy = dict(part.split(" ", 1) for part in CONTENT_SECURITY_POLICY.split("; "))
    assert policy["default-src"] == policy["script-src"] == policy["connect-src"] == policy["style-src"] == "'self'"
    assert policy["object-src"] == policy["frame-ancestors"] == "'none'"
    assert not re.search(r"unsafe-eval|https?:|\*", CONTENT_SECURITY_POLICY)


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "\u202e花\0"])
def test_fault_70_script_in_names_is_text(workspace: Workspace, name: str):
    run = make_run(workspace, name)
    with asking(workspace) as client:
        for path in ("/api/runs", f"/api/runs/{run.id}", f"/api/runs/{name.strip(chr(0))}"):
            answer = client.get(path)
            assert answer.headers["content-type"] == "application/json"  # a browser does not look for markup in it
            assert answer.headers["x-content-type-options"] == "nosniff"
        assert client.get("/api/runs").json()["runs"][0]["name"] == run.name
        page = client.get(f"/{name.strip(chr(0))}", headers={"accept": "text/html", "host": "<script>"})
    assert page.status_code == 403
    assert "<script>" not in page.text
    assert "<img" not in page.text


def test_a_fault_of_the_program_is_told_without_its_inside(workspace: Workspace, monkeypatch: pytest.MonkeyPatch):
    from vitscope.dashboard.run_table import RunTable

    def breaks(_: object) -> None:
        raise KeyError("/secret/path")

    monkeypatch.setattr(RunTable, "refresh", breaks)
    with asking(workspace) as client:
        answer = client.get("/api/runs")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert answer.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
    assert answer.json()["error"]


def test_bearer_is_a_word_in_any_case(stranger: TestClient):
    assert stranger.get("/api/session", headers={"authorization": f"bearer  {TOKEN} "}).status_code == 200
    assert BEARER["authorization"].startswith("Bearer ")
