"""Ctrl-C and SIGTERM while training: the first finishes the step and saves, a second Ctrl-C stops now."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import suppress
from types import FrameType
from typing import Any

# SIGHUP comes when the terminal is closed or the connection to it drops.
SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class StopSignals:
    """Inside `with`, `requested()` becomes true on the first of `SIGNALS`; `exit_code` says which (130, 143, 129)."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self.is_graceful = False  # while there is nothing to save, the first signal stops at once
        self._before: dict[int, Any] = {}

    @property
    def exit_code(self) -> int:
        return 128 + (self.signal or signal.SIGINT)

    def requested(self) -> bool:
        return self.signal is not None

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():  # elsewhere Python forbids handlers
            for number in SIGNALS:
                if number == getattr(signal, "SIGHUP", None) and signal.getsignal(number) == signal.SIG_IGN:
                    continue  # started with nohup: it is meant to outlive the terminal
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, _: FrameType | None) -> None:
        if not self.is_graceful or (self.signal is not None and number == signal.SIGINT):
            self.signal = self.signal or number
            raise KeyboardInterrupt
        self.signal = number
        word = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
        text = f"\n{word}: finishing the step and saving a checkpoint" + (
            " (Ctrl-C again stops now).\n" if number == signal.SIGINT else ".\n"
        )
        with suppress(OSError):  # the terminal may be gone
            os.write(2, text.encode())  # print may be in the middle of a line of its own


def signal_name(number: int) -> str:
    """As people know it; the real-time signals have no names."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
