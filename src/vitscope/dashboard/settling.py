"""Jobs whose process died without a word, seen while somebody looks: in a thread of its own, since what is written
down of them may have to wait for the database. Nobody waits with it for longer than they want to.
"""

from __future__ import annotations

import logging
import threading
import time

from vitscope.errors import ViTScopeError
from vitscope.storage.workspace import Workspace
from vitscope.workflows.jobs import settle

EVERY_S = 1.0


class Settling:
    """Threads may share it. `is_off`: nothing is looked for, and so nothing written."""

    def __init__(self, workspace: Workspace, *, is_off: bool = False):
        self._workspace, self._is_off = workspace, is_off
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._began_at = -EVERY_S
        self._is_failing = False

    def look(self, wait_s: float = 0.0) -> None:
        """Have it looked after, now and then; who gives a time to wait: now, and wait for its end as long at most."""
        if self._is_off:
            return
        with self._lock:
            is_at_it = self._thread is not None and self._thread.is_alive()
            if not is_at_it and (wait_s or time.monotonic() - self._began_at >= EVERY_S):
                self._began_at = time.monotonic()
                self._thread = threading.Thread(target=self._settle, name="vitscope-settling", daemon=True)
                self._thread.start()
            thread = self._thread
        if wait_s and thread is not None:
            thread.join(wait_s)

    def _settle(self) -> None:
        log = logging.getLogger("vitscope.dashboard")
        try:
            settle(self._workspace)
            self._is_failing = False
        except Exception as error:  # tried again; what is told of these runs meanwhile is what the table says
            if not self._is_failing:
                is_told = isinstance(error, ViTScopeError)
                log.warning(f"{error} How a job has ended cannot be written down.", exc_info=not is_told)
            self._is_failing = True
