"""The dashboard's server: listens on a port of its own, in this thread or in one beside it."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI

from vitscope.dashboard.app import create_app
from vitscope.dashboard.connections import Connection
from vitscope.dashboard.security import ANY_ADDRESS, LOOPBACK, Access
from vitscope.dashboard.token import kept_token
from vitscope.errors import RequestError, WorkFailed
from vitscope.storage.workspace import Workspace
from vitscope.workflows.stop import SIGNALS

HOST, PORT = "127.0.0.1", 8420
TRIES = 20  # ports, from the one asked for on
GRACE_S = 3.0  # for requests that are being answered when the server stops
UNREAD_MS = 60_000  # a connection whose other end takes nothing for so long is cut by the system


class Server:
    """Listens from the moment it is made; `run` or `start` answers. Raises `RequestError` where it cannot listen.

    A port that is taken is passed over: `port` is the one that is used.
    """

    def __init__(
        self,
        workspace: Workspace,
        *,
        host: str = HOST,
        port: int = PORT,
        read_only: bool = False,
        token: str | None = None,
    ):
        _ = workspace.existing_database  # one that cannot be read is told now
        self._socket = listen(host, port)
        self.host, self.port = host, int(self._socket.getsockname()[1])
        self.access = Access(token or kept_token(workspace), hosts=[host], is_read_only=read_only)
        self.app = create_app(workspace, token=self.access.token, access=self.access)
        self._uvicorn: _Uvicorn | None = None
        self._thread: threading.Thread | None = None

    @property
    def address(self) -> str:
        """With the token: what a person opens."""
        return f"{self.root}/?token={self.access.token}"

    @property
    def address_once(self) -> str:
        """The same, good for one use: for a browser's command line, which others on this machine can read."""
        return f"{self.root}/?token={self.access.once()}"

    @property
    def root(self) -> str:
        name = own_address() if self.host in ANY_ADDRESS else self.host
        return f"http://{f'[{name}]' if ':' in name else name}:{self.port}"

    def run(self, started: Callable[[], None] = lambda: None) -> int:
        """Answer until a signal says stop; gives its number. `started` is called once requests are answered."""
        self._uvicorn = _Uvicorn(self.app, started)
        try:
            asyncio.run(self._uvicorn.serve(sockets=[self._socket]))
        finally:
            self._socket.close()
        return self._uvicorn.stopped_by

    def start(self) -> None:
        """Answer in a thread beside this one, until `stop`."""
        is_up = threading.Event()
        self._thread = threading.Thread(target=self._run_beside, args=(is_up,), name="vitscope-dashboard", daemon=True)
        self._thread.start()
        is_up.wait()
        if self._uvicorn is None or not self._uvicorn.started:
            raise WorkFailed("The dashboard could not be started.")

    def stop(self) -> None:
        """End it; those who listen are told."""
        if self._uvicorn is not None:
            self._uvicorn.should_exit = True
        if self._thread is not None:
            self._thread.join(GRACE_S + 10)

    def _run_beside(self, is_up: threading.Event) -> None:
        try:
            self.run(is_up.set)
        finally:
            is_up.set()


@contextmanager
def serving(workspace: Workspace, *, host: str = HOST, port: int = PORT, read_only: bool = False) -> Iterator[str]:
    """A dashboard beside what this thread does while inside; gives its address, which holds the token."""
    server = Server(workspace, host=host, port=port, read_only=read_only)
    server.start()
    try:
        yield server.address
    finally:
        server.stop()


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens on the port, or on one of the next few where it is taken; 0: any free one.

    Raises `RequestError`.
    """
    last = port if port == 0 else min(port + TRIES - 1, 65_535)
    for number in range(port, last + 1):
        try:
            return _listen(host, number)
        except OSError as error:
            if error.errno == errno.EADDRINUSE and number < last:
                continue
            why = (
                f"ports {port} to {last} are all taken"
                if error.errno == errno.EADDRINUSE
                else f"port {number} cannot be used ({error.strerror or error})"
            )
            raise RequestError(f"{host}: {why}. Choose another --port or --host.") from None
    raise RequestError(f"--port {port}: a port is a number from 0 to 65535.")


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches it."""
    return host in LOOPBACK or host.startswith("127.")


def own_address() -> str:
    """This machine's address on its network, as others would reach it; nothing is sent to find out."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # an address for documentation: the system only chooses a way to it
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"


def _listen(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    made = socket.socket(family, kind, protocol)  # named: only then asyncio sends small answers at once
    try:
        if os.name == "posix":  # elsewhere it lets two programs have one port
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_MS)
        made.bind(address)
        made.listen(512)  # at once: two that are only bound could have the same port
    except BaseException:
        made.close()
        raise
    return made


class _Uvicorn(uvicorn.Server):
    """Tells when it is up, tells streams before it goes, and leaves signals as it found them."""

    def __init__(self, app: FastAPI, started: Callable[[], None]):
        super().__init__(
            uvicorn.Config(
                app,
                http=Connection,
                ws="none",
                loop="asyncio",
                lifespan="on",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=30,
                timeout_graceful_shutdown=int(GRACE_S),
            )
        )
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # faults are told by app.py, leavers are none
        self._app, self._started = app, started
        self.stopped_by = 0

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._app.state.parts.hub.close()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before: dict[int, Any] = {}
        for number in SIGNALS:
            if signal.getsignal(number) != signal.SIG_IGN:  # nohup: it is meant to outlive the terminal
                before[number] = signal.signal(number, self.handle_exit)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit, self.stopped_by = True, sig
