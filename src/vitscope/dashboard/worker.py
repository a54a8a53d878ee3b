"""The dashboard's side of the process that opens pictures and models: started when needed, asked one thing at a time.

The process is spawned, never forked, and ends when it is idle. One that dies is told to whoever waits for it, and
started anew for the next. Whoever leaves while waiting for a turn is not served. What is being computed already is
finished, and who asked is told when that begins, so that the result can be kept (`documents.py` does).
"""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import sys
from asyncio.subprocess import PIPE, Process
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from vitscope.errors import ViTScopeError
from vitscope.workflows.stop import signal_name

MOST_WAITING = 32
IDLE_S = 600.0
LIMIT_S = 180.0  # of one answer
CHILD = (sys.executable, "-P", "-m", "vitscope.dashboard.answers")


class Reply(NamedTuple):
    """An answer: HTTP status, type, and bytes, which may be compressed."""

    status: int
    type: str
    data: bytes
    is_gzip: bool
    files: Sequence[tuple[str, str]] = ()  # what it was made of, each with what `child.stamp` gave

    @property
    def plain(self) -> bytes:
        return gzip.decompress(self.data) if self.is_gzip else self.data

    @property
    def json(self) -> Any:
        return json.loads(self.plain)


class TooMany(ViTScopeError):
    """More wait than is sensible. `retry_s`: when to ask again."""

    def __init__(self, retry_s: int):
        super().__init__(f"Too much is asked at once. Try again in {retry_s} s.")
        self.retry_s = retry_s


class Worker:
    """One process, told of `where` it works. Belongs to one event loop."""

    def __init__(self, where: Mapping[str, Any], command: Sequence[str] = CHILD, idle_s: float = IDLE_S):
        self._where, self._command, self._idle_s = where, command, idle_s
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._process: Process | None = None
        self._stderr: deque[str] = deque(maxlen=20)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._idle: asyncio.TimerHandle | None = None
        self._usual_s = 1.0  # of an answer, lately

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    @property
    def waiting(self) -> int:
        """Requests that wait for their turn, or for their answer."""
        return self._waiting

    def warm(self) -> None:
        """Start the process where there is none, so that who asks first waits for the answer alone."""
        if self._process is None and not self._turn.locked():
            self._task(self._warm())

    async def ask(self, begun: Callable[[], None] = lambda: None, /, **request: Any) -> Reply:
        """The answer; `begun` is called when it is this one's turn. Raises `TooMany` at once where too many wait.

        May be cancelled; after `begun` that ends the waiting alone.
        """
        if self._waiting >= MOST_WAITING:
            raise TooMany(max(1, min(60, round(self._usual_s * self._waiting / 2))))
        self._waiting += 1
        try:
            await self._turn.acquire()
            begun()
            task = self._task(self._answer(request))
            task.add_done_callback(lambda _: self._turn.release())  # not before, whoever waits for it
            return await asyncio.shield(task)
        finally:
            self._waiting -= 1

    async def close(self) -> None:
        """End the process, whatever it does."""
        if self._idle is not None:
            self._idle.cancel()
        await self._kill()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # ------------------------------------------------------------------------------------------ asking

    async def _answer(self, request: Mapping[str, Any]) -> Reply:
        if self._idle is not None:
            self._idle.cancel()
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with asyncio.timeout(LIMIT_S):
                return await self._exchange(request)
        except TimeoutError:
            await self._kill()
            return _failed(f"This took longer than {LIMIT_S:.0f} s and was given up.")
        except (OSError, EOFError, ValueError) as error:
            return _failed(await self._ended(error))
        finally:
            self._usual_s += 0.2 * (loop.time() - began - self._usual_s)
            self._rest()

    async def _exchange(self, request: Mapping[str, Any]) -> Reply:
        process = self._process or await self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(request).encode() + b"\n")
        await process.stdin.drain()
        head = json.loads(await process.stdout.readuntil())
        data = await process.stdout.readexactly(head["length"])
        return Reply(head["status"], head["type"], data, head["is_gzip"], head["files"])

    async def _warm(self) -> None:
        async with self._turn:
            with suppress(OSError):  # who asks will be told
                self._process = self._process or await self._start()
                self._rest()

    async def _start(self) -> Process:
        process = await asyncio.create_subprocess_exec(
            *self._command, stdin=PIPE, stdout=PIPE, stderr=PIPE, limit=2**20, start_new_session=True
        )
        assert process.stdin is not None
        process.stdin.write(json.dumps(self._where).encode() + b"\n")
        self._process = process
        self._stderr.clear()
        self._task(self._listen(process))
        return process

    async def _listen(self, process: Process) -> None:
        """Keep the last of what the process complains of; whatever is not read would block it."""
        assert process.stderr is not None
        while line := await process.stderr.read(4096):
            self._stderr.append(line.decode("utf-8", "replace"))

    # ------------------------------------------------------------------------------------------ ending

    async def _ended(self, error: Exception) -> str:
        """Why the process does not answer any more, in words."""
        process = self._process
        await self._kill()
        code = process.returncode if process is not None else None
        how = f"was killed ({signal_name(-code)})" if code is not None and code < 0 else "ended"
        said = "".join(self._stderr)
        logging.getLogger("vitscope.dashboard").warning(f"The process that looks into models {how}: {error}\n{said}")
        return (
            f"The process that looks into models {how} before it could answer. It is started again with the next "
            "request. Where this happens again there may be too little memory."
        )

    async def _kill(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
        await process.wait()

    def _rest(self) -> None:
        """From now on it is idle, until it is asked again."""
        if self._idle is not None:
            self._idle.cancel()
        self._idle = asyncio.get_running_loop().call_later(self._idle_s, self._end_idle)

    def _end_idle(self) -> None:
        if self._waiting == 0 and self._process is not None:
            process, self._process = self._process, None
            if process.stdin is not None:
                process.stdin.close()  # the end of its input is its end
            self._task(process.wait())

    def _task(self, work: Any) -> asyncio.Task[Any]:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _failed(text: str) -> Reply:
    return Reply(500, "application/json", json.dumps({"error": text}).encode(), False)
