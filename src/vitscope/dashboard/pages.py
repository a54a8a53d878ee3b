"""The page and its files. Only what was built is served, found by its name in a list: no path is made of an address."""

from __future__ import annotations

import gzip
import hashlib
import html
import mimetypes
import re
import threading
from pathlib import Path
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response

STATIC = Path(__file__).parent / "static"
PAGE = "index.html"
OFFLINE = "inspect.html"  # what `vitscope inspect` fills in; not a page of the dashboard
FOR_EVER = "public, max-age=31536000, immutable"  # files in assets/ have a sum in their name
COMPRESSED = (".js", ".css", ".html", ".svg", ".json")
TYPES = {".js": "text/javascript", ".mjs": "text/javascript", ".woff2": "font/woff2", ".svg": "image/svg+xml"}

NOT_BUILT = (
    "<!doctype html><html lang='en'><meta charset='utf-8'><title>ViTScope</title>"
    "<h1>The front end has not been built</h1><p>This is a checkout of the source. Run <code>make web</code> in it "
    "(Node comes with it from PyPI), then reload this page.</p></html>"
)


class File(NamedTuple):
    type: str
    data: bytes
    compressed: bytes | None
    etag: str


class Pages:
    """Files are read when first asked for; all anew when the page was built again."""

    def __init__(self, folder: Path = STATIC):
        self._folder = folder
        self._names: dict[str, Path] = {}
        self._files: dict[str, File] = {}
        self._built_at = 0
        self._lock = threading.Lock()

    def answer(self, path: str, request: Request) -> Response:
        """A file where there is one of that name; the page itself for the addresses of its views."""
        name = path.strip("/")
        if (file := self._file(name)) is not None and name != PAGE:
            return _sent(file, request, FOR_EVER if name.startswith("assets/") else "no-cache")
        if "." in name.rpartition("/")[2] and name != PAGE:
            return PlainTextResponse("There is no such file.", 404)
        return self._page(request)

    def _page(self, request: Request) -> Response:
        page = self._file(PAGE)
        if page is None:
            return HTMLResponse(NOT_BUILT, 503, {"cache-control": "no-store"})
        base = f'<base href="{html.escape(request.scope.get("root_path", ""))}/">'
        text = re.sub(r"<base\b[^>]*>", "", page.data.decode(), flags=re.I)
        return HTMLResponse(text.replace("<head>", f"<head>{base}", 1), headers={"cache-control": "no-cache"})

    def _file(self, name: str) -> File | None:
        with self._lock:
            self._look()
            if name not in self._files and name in self._names:
                try:
                    self._files[name] = _read(self._names[name])
                except OSError:  # it is being built anew
                    return None
            return self._files.get(name)

    def _look(self) -> None:
        try:
            built_at = (self._folder / PAGE).stat().st_mtime_ns
        except OSError:
            built_at = 0
        if built_at != self._built_at or not built_at:
            self._built_at, self._files = built_at, {}
            found = (f for f in self._folder.rglob("*") if f.is_file() and f.name[0] != "." and f.name != OFFLINE)
            self._names = {file.relative_to(self._folder).as_posix(): file for file in found} if built_at else {}


def _read(file: Path) -> File:
    data, kind = file.read_bytes(), TYPES.get(file.suffix) or mimetypes.guess_type(file.name)[0]
    compressed = gzip.compress(data, 6, mtime=0) if file.suffix in COMPRESSED and len(data) > 1_000 else None
    etag = f'"{hashlib.blake2b(data, digest_size=12).hexdigest()}"'
    return File(kind or "application/octet-stream", data, compressed, etag)


def _sent(file: File, request: Request, caching: str) -> Response:
    headers = {"cache-control": caching, "etag": file.etag, "vary": "accept-encoding"}
    if request.headers.get("if-none-match") == file.etag:
        return Response(status_code=304, headers=headers)
    if file.compressed is not None and "gzip" in request.headers.get("accept-encoding", ""):
        return Response(file.compressed, headers=headers | {"content-encoding": "gzip"}, media_type=file.type)
    return Response(file.data, headers=headers, media_type=file.type)
