"""Threads for one kind of work: it waits for its like alone, whatever else is slow."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class Threads:
    """At most `most` of them, started when needed."""

    def __init__(self, name: str, most: int):
        self._pool = ThreadPoolExecutor(most, f"vitscope-{name}")

    async def run(self, work: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work, *arguments)

    def close(self) -> None:
        """Begin nothing more; what is being done is left to its end."""
        self._pool.shutdown(wait=False, cancel_futures=True)
