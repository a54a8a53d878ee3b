"""A connection, as uvicorn's, but for those who take what is not theirs: the head of a request must come within a time,
and there are only so many connections. Both are cut without a word, for who they are is not known yet.
"""

from __future__ import annotations

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_S = 20.0
MOST_CONNECTIONS = 2_000  # twice as many as may listen


class Connection(H11Protocol):
    _head_is_due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            transport.close()
        else:
            self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_watching()
        super().connection_lost(exc)

    def _watch(self) -> None:
        """From the first moment, or the first byte of a further request, until its head is there."""
        if self.conn.their_state is not h11.IDLE:
            self._stop_watching()
        elif self._head_is_due is None:
            self._head_is_due = self.loop.call_later(HEAD_S, self._late)

    def _late(self) -> None:
        self._head_is_due = None
        if self.conn.their_state is h11.IDLE:
            self.transport.close()

    def _stop_watching(self) -> None:
        if self._head_is_due is not None:
            self._head_is_due.cancel()
            self._head_is_due = None
