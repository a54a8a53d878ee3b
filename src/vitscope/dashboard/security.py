"""Who may ask: a token as Jupyter's, checks against foreign pages, and headers that keep the page to itself.

In the way of every request, before anything else:

- **Host** must be one of ours. A page elsewhere whose name is pointed at this machine (DNS rebinding) says its own.
- **Origin**, and what browsers tell of where a request comes from (Fetch Metadata), must not be another page's (CSRF).
- **Token**: in the address once, which sets a cookie and leads to the same address without it; else the cookie, or
  `Authorization: Bearer`.
- What changes something is refused where the dashboard is read-only.
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
import socket
import time
from collections.abc import Collection, Iterable
from typing import NamedTuple
from urllib.parse import quote, unquote_plus

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = ("127.0.0.1", "localhost", "::1")
ANY_ADDRESS = ("0.0.0.0", "::", "")
ONCE_S = 120.0  # how long an address that is good for one use stays good
READING = ("GET", "HEAD")

CONTENT_SECURITY_POLICY = "; ".join(
    [
        "default-src 'self'",
        "script-src 'self'",
        "style-src 'self'",
        "style-src-attr 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "connect-src 'self'",
        "object-src 'none'",
        "base-uri 'self'",
        "frame-ancestors 'none'",
        "form-action 'self'",
    ]
)
HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}

NO_TOKEN = "This dashboard asks for its token: open the address that 'vitscope ui' printed, which holds it."
NO_ORIGIN = "What changes something must come from the dashboard's own page, or carry the token in a header."
READ_ONLY = "This dashboard is read-only: it was started with --read-only."

_PAGE = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><title>ViTScope</title>'
    '<meta name="viewport" content="width=device-width, initial-scale=1">{more}<p>{text}</p></html>'
)


class Access:
    """The token, codes that are good for one use, and the names under which the dashboard may be asked for."""

    def __init__(self, token: str, *, hosts: Collection[str] = (), is_read_only: bool = False):
        self._token, self.is_read_only = token.encode(), is_read_only
        self._hosts = {_plain(host) for host in (*LOOPBACK, *hosts)}
        self._is_open_to_all = any(host in ANY_ADDRESS for host in hosts)
        self._once: dict[str, float] = {}

    def is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), self._token)

    def once(self) -> str:
        """A code that takes the token's place in an address once: the command line of a browser can be seen by all."""
        code = secrets.token_urlsafe(24)
        self._once[code] = time.monotonic() + ONCE_S
        return code

    def redeem(self, given: str) -> bool:
        until = self._once.pop(given, None)
        return until is not None and time.monotonic() < until

    @property
    def token(self) -> str:
        return self._token.decode()

    def is_ours(self, host: str) -> bool:
        """Whether a name, without its port, is one that this dashboard answers to.

        Listening on every address means any address of this machine and its own name; a foreign name still is none.
        """
        name = _plain(host)
        if name in self._hosts:
            return True
        return self._is_open_to_all and (_is_address(name) or name in map(_plain, own_names()))


class Guard:
    """ASGI middleware: lets through what may be asked, and adds the headers to every answer."""

    def __init__(self, app: ASGIApp, access: Access):
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            answer = self._refusal(scope) or self._app
            await answer(scope, receive, _with_headers(send, is_api=_is_api(scope)))

    def _refusal(self, scope: Scope) -> Response | None:
        headers, method = Headers(scope=scope), scope["method"]
        host = split_host(headers.get("host", ""))
        if not self._access.is_ours(host.name):
            return _refused(scope, 403, f"This dashboard does not answer to the name '{host.name}'.")
        if _is_foreign(headers, method):
            return _refused(scope, 403, "This request comes from another site's page.")
        has_bearer = self._has_bearer(headers)
        is_known = has_bearer or self._has_cookie(headers, host.port)
        if method == "GET" and (given := _tokens(scope["query_string"])):
            redeemed = list(map(self._access.redeem, given))  # used up by whoever opens it, known or not
            if is_known or any(redeemed) or any(self._access.is_token(g) for g in given):
                return self._welcome(scope, headers, host.port)
            return _refused(scope, 401, NO_TOKEN)
        if not is_known:
            return _refused(scope, 401, NO_TOKEN)
        if not has_bearer and method not in READING and not _is_from_our_page(headers):
            return _refused(scope, 403, NO_ORIGIN)
        if self._access.is_read_only and method not in READING:
            return _refused(scope, 403, READ_ONLY)
        return None

    def _has_bearer(self, headers: Headers) -> bool:
        kind, _, given = headers.get("authorization", "").partition(" ")
        return kind.lower() == "bearer" and self._access.is_token(given.strip())

    def _has_cookie(self, headers: Headers, port: str) -> bool:
        pairs = (part.partition("=") for part in headers.get("cookie", "").split(";"))
        return any(
            name.strip() == cookie_name(port) and self._access.is_token(given.strip()) for name, _, given in pairs
        )

    def _welcome(self, scope: Scope, headers: Headers, port: str) -> Response:
        """Set the cookie, and lead to the same address without the token."""
        query = "&".join(
            part for part in scope["query_string"].decode("latin-1").split("&") if not _is_token_part(part)
        )
        # One slash at its beginning, whatever was asked for: two would lead to another host.
        address = "/" + quote(scope["path"].lstrip("/\\"), safe="/:@!$&'()*+,;=~") + (f"?{query}" if query else "")
        answer: Response = RedirectResponse(address, 303)
        if headers.get("sec-fetch-site") in ("cross-site", "same-site"):
            # A link on another page (a terminal in the browser, say). A strict cookie is not sent along a redirect that
            # began there; going on from a page of our own, it is.
            more = f'<meta http-equiv="refresh" content="0;url={_in_attribute(answer.headers["location"])}">'
            answer = HTMLResponse(_PAGE.format(more=more, text="…"))
        cookie = f"{cookie_name(port)}={self._access.token}; HttpOnly; SameSite=Strict; Path=/"
        answer.headers["set-cookie"] = cookie
        answer.headers["cache-control"] = "no-store"
        return answer


class Host(NamedTuple):
    name: str
    port: str


def split_host(text: str) -> Host:
    """Name and port of a Host header; an IPv6 address is in brackets there, and without them here."""
    if text.startswith("["):
        name, _, port = text[1:].partition("]")
        return Host(name, port.lstrip(":") or "80")
    name, _, port = text.partition(":")
    return Host(name, port or "80")


def cookie_name(port: str) -> str:
    """Named by the port that the browser sees: cookies belong to a host, on which there may be several dashboards."""
    return f"vitscope-{port if port.isdigit() else 0}"


def own_names() -> Iterable[str]:
    """What this machine calls itself."""
    return socket.gethostname(), socket.gethostname() + ".local"


def _is_foreign(headers: Headers, method: str) -> bool:
    """Whether a request says that another page sent it. A link that leads here is none, nor what says nothing."""
    origin = headers.get("origin")
    if origin is not None:
        return origin.partition("://")[2].lower() != headers.get("host", "").lower()
    is_visit = (headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest")) == ("navigate", "document")
    return headers.get("sec-fetch-site") in ("cross-site", "same-site") and not (method in READING and is_visit)


def _is_from_our_page(headers: Headers) -> bool:
    """Browsers say where a change comes from; a foreign origin has been refused already."""
    return "origin" in headers or headers.get("sec-fetch-site") in ("same-origin", "none")


def _refused(scope: Scope, status: int, text: str) -> Response:
    headers = {"www-authenticate": "Bearer"} if status == 401 else {}
    if "text/html" in Headers(scope=scope).get("accept", "") and not _is_api(scope):
        again = '<a href="">Try again</a>' if status == 401 else ""  # from our own page the cookie is sent
        return HTMLResponse(_PAGE.format(more="", text=f"{_in_attribute(text)} {again}"), status, headers)
    return JSONResponse({"error": text}, status, headers)


def _with_headers(send: Send, is_api: bool) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            if is_api:
                headers.setdefault("cache-control", "no-store")
        await send(message)

    return sending


def _is_api(scope: Scope) -> bool:
    return scope["path"].startswith("/api/")


def _tokens(query: bytes) -> list[str]:
    parts = query.decode("latin-1").split("&")
    return [unquote_plus(part.partition("=")[2]) for part in parts if _is_token_part(part)]


def _is_token_part(part: str) -> bool:
    return unquote_plus(part.partition("=")[0]) == "token"


def _plain(host: str) -> str:
    return host.strip("[]").rstrip(".").lower()


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _in_attribute(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;")
