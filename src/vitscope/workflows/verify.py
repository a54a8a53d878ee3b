"""Large data sets are opened by a kept index: whether each file is as it says is found out beside the training."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from threading import Event as Flag
from threading import Thread

from vitscope.data.manifest import Manifest
from vitscope.events import Event
from vitscope.text import count, some

SHARE = 0.1  # of the thread's time in which it asks; the rest it sleeps, so that training does not notice
SLICE = 1_000  # pictures asked for at a time


class Verification:
    """An observer: compares the files with the manifest in a thread, and tells what differs in the training thread.

    Kept indexes that turn out to be old are removed, so that the next run looks at every file.
    """

    def __init__(self, manifest: Manifest, warn: Callable[[str], None]):
        self._manifest, self._warn = manifest, warn
        self._changed: list[str] = []
        self._is_done, self._is_stopped = Flag(), Flag()
        self._thread = Thread(target=self._work, name="vitscope-verify", daemon=True)
        self._thread.start()

    def __call__(self, event: Event) -> None:
        if self._is_done.is_set() and self._changed:
            changed, self._changed = self._changed, []
            self._warn(
                f"{count(len(changed), 'picture')} of {len(self._manifest):,} changed or vanished since the data were "
                f"indexed ({some(changed)}). They are used as they are now; the next run looks at every file."
            )

    def close(self) -> None:
        """Stop, whether or not all files were asked for."""
        self._is_stopped.set()
        self._thread.join()

    def _work(self) -> None:
        for start in range(0, len(self._manifest), SLICE):
            began = time.perf_counter()
            self._changed += self._manifest.rows(start, SLICE).changed()
            if self._is_stopped.wait((time.perf_counter() - began) * (1 / SHARE - 1)):
                return
        if self._changed:
            for file in self._manifest.kept:
                with suppress(OSError):
                    file.unlink(missing_ok=True)
        self._is_done.set()
