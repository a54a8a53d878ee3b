"""A live stream as an HTTP answer: sent as long as its client is there and takes what it is sent."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from vitscope.dashboard.cursor import Cursor
from vitscope.dashboard.live import Hub, Listener, message

PING_S = 15.0  # a comment so often: whatever stands between keeps the connection, and a dead one is noticed
SEND_S = 30.0  # how long a client may leave what it is sent unread, before it is given up
RETRY_MS = 1_000  # after which a browser comes back


class EventStream(Response):
    """Server-sent events from a cursor on. The listener must be open already; it is closed by whoever opened it."""

    media_type = "text/event-stream"

    def __init__(self, hub: Hub, run_id: str | None, cursor: Cursor):
        self.background, self.status_code = None, 200
        self._hub, self._run_id, self._cursor = hub, run_id, cursor
        self.init_headers({"cache-control": "no-store", "x-accel-buffering": "no"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._hub.listen(self._run_id) as listener:
            tasks = [asyncio.ensure_future(self._send(listener, send)), asyncio.ensure_future(_leaves(receive))]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        if not tasks[0].cancelled() and (error := tasks[0].exception()) is not None:
            raise error

    async def _send(self, listener: Listener, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        with suppress(TimeoutError):  # it does not read: its connection is closed, and it may come back
            await _body(send, f"retry: {RETRY_MS}\n\n".encode())
            while not self._hub.is_closed:
                listener.bell.clear()
                told = await self._hub.tell(listener, self._cursor)
                if told.data:
                    await _body(send, told.data)
                    self._cursor = told.cursor
                if not told.is_more and not await _rung(listener.bell, PING_S):
                    await _body(send, b": still here\n\n")
            await _body(send, message("bye", {}))
            await _body(send, b"", is_last=True)


async def _body(send: Send, data: bytes, is_last: bool = False) -> None:
    async with asyncio.timeout(SEND_S):
        await send({"type": "http.response.body", "body": data, "more_body": not is_last})


async def _rung(bell: asyncio.Event, timeout_s: float) -> bool:
    try:
        async with asyncio.timeout(timeout_s):
            await bell.wait()
    except TimeoutError:
        return False
    return True


async def _leaves(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
