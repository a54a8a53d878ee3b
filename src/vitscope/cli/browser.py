"""The person's browser, where there is one."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress


def has_browser() -> bool:
    """Whether a page can be opened here: not on a machine without a screen, as over SSH."""
    if not sys.platform.startswith("linux"):
        return True
    return any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"))


def open_page(address: str) -> None:
    """Ask the browser for a page, without waiting for it; that it does not come is no error."""
    threading.Thread(target=_open, args=(address,), name="vitscope-browser", daemon=True).start()


def _open(address: str) -> None:
    import webbrowser

    with suppress(webbrowser.Error, OSError):
        webbrowser.open(address)
