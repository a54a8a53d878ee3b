"""A loopback server that speaks as much of the hub's protocol as downloads need: models' files and data sets."""

from __future__ import annotations

import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote, urlsplit

Files = dict[str, bytes]


@dataclass
class FakeHub:
    """`repositories`: by name (data sets' begin with `datasets/`) their commits, the newest last, with their files."""

    repositories: dict[str, dict[str, Files]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)  # the paths of all requests
    is_busy: bool = False  # answers 503 to everything
    url: str = ""

    def answer(self, path: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and content."""
        if self.is_busy:
            return 503, {}, b""
        parts = urlsplit(path)
        words = unquote(parts.path).lstrip("/").split("/")
        is_of_api = words[0] == "api"
        words = words[1:] if is_of_api else words
        for name, commits in self.repositories.items():
            own = name.split("/")
            if words[: len(own)] == own:
                return self._of(name, commits, words[len(own) :], is_of_api, body)
        return 404, {"X-Error-Code": "RepoNotFound"}, b""

    def _of(
        self, name: str, commits: dict[str, Files], words: list[str], is_of_api: bool, body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        what, revision, *rest = [*words, "", ""][: max(2, len(words))]
        commit = revision if revision in commits else list(commits)[-1]
        if revision not in ("", "main", *commits):
            return 404, {"X-Error-Code": "RevisionNotFound"}, b""
        files = commits[commit]
        if is_of_api and what in ("", "revision"):
            repository = name.removeprefix("datasets/")
            info = {"_id": "1", "id": repository, "sha": commit, "private": False, "gated": False, "disabled": False}
            info |= {"downloads": 0, "likes": 0, "tags": [], "siblings": [{"rfilename": file} for file in files]}
            return 200, {}, json.dumps(info).encode()
        if is_of_api and what == "tree":
            below = "/".join(rest)
            return 200, {}, json.dumps(_tree(files, below)).encode()
        if is_of_api and what == "paths-info":
            wanted = json.loads(body)["paths"] if body.startswith(b"{") else parse_qs(body.decode())["paths"]
            found = [entry for entry in _tree(files, "") if entry["path"] in wanted]
            return 200, {}, json.dumps(found).encode()
        if not is_of_api and what == "resolve" and (file := "/".join(rest)) in files:
            etag = hashlib.sha256(files[file]).hexdigest()
            return 200, {"ETag": f'"{etag}"', "X-Repo-Commit": commit, "Accept-Ranges": "bytes"}, files[file]
        return 404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit}, b""


def _tree(files: Files, below: str) -> list[dict[str, object]]:
    """Files and folders, whole paths, those at any depth."""
    inside = f"{below}/" if below else ""
    names = [name for name in files if name.startswith(inside)]
    folders = {"/".join(name.split("/")[:depth]) for name in names for depth in range(1, name.count("/") + 1)}
    found: list[dict[str, object]] = [
        {"type": "directory", "path": folder, "oid": "0" * 40, "size": 0}
        for folder in sorted(folders)
        if folder != below
    ]
    for name in names:
        oid = hashlib.sha1(files[name]).hexdigest()
        found.append({"type": "file", "path": name, "oid": oid, "size": len(files[name])})
    return found


@contextmanager
def serving(hub: FakeHub) -> Iterator[FakeHub]:
    """The hub at its `url`, on a free port of the loopback, until the end."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def respond(self, *, with_body: bool) -> None:
            given = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            hub.asked.append(f"{self.command} {self.path}")
            status, headers, content = hub.answer(self.path, given)
            start = int(self.headers.get("Range", "bytes=0-").split("=")[1].split("-")[0])
            self.send_response(206 if start and status == 200 else status)
            for header, value in headers.items():
                self.send_header(header, value)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            if with_body:
                self.wfile.write(content[start:])

        def do_HEAD(self) -> None:
            self.respond(with_body=False)

        def do_GET(self) -> None:
            self.respond(with_body=True)

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
