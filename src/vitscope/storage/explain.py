"""What is wrong with a database, in words for a person."""

from __future__ import annotations

from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError

from vitscope.errors import RequestError, ViTScopeError, WorkFailed

_LOCKED = "is locked by another process. Find what holds it (another vitscope, a database browser), then try again."
_SQLITE: dict[str, tuple[type[ViTScopeError], str]] = {
    "SQLITE_BUSY": (WorkFailed, _LOCKED),
    "SQLITE_LOCKED": (WorkFailed, _LOCKED),
    "SQLITE_READONLY": (
        RequestError,
        "is read-only. Make the file and its folder writable, or copy the workspace to where you may write.",
    ),
    "SQLITE_CANTOPEN": (
        RequestError,
        "cannot be opened. Its folder must exist and be writable; otherwise choose another --workspace.",
    ),
    "SQLITE_PERM": (
        RequestError,
        "may not be opened. Check the permissions of the file and its folder.",
    ),
    "SQLITE_NOTADB": (
        RequestError,
        "is not one: the file holds something else and was left as it is. Choose another --workspace.",
    ),
    "SQLITE_CORRUPT": (
        WorkFailed,
        "is damaged and was left as it is. Restore a backup, or save what can be read: sqlite3 FILE .recover.",
    ),
    "SQLITE_FULL": (
        WorkFailed,
        "cannot grow: the disk is full. Free some space, then try again.",
    ),
    "SQLITE_IOERR": (
        WorkFailed,
        "cannot be read or written: the disk reports an error. Check the disk and its free space.",
    ),
}


def explain(url: URL, error: DBAPIError) -> ViTScopeError | None:
    """The told form of an error that lies in the database's state; None for one that is a fault of the program."""
    return _sqlite(url, error) if url.get_backend_name() == "sqlite" else _postgresql(url, error)


def _sqlite(url: URL, error: DBAPIError) -> ViTScopeError | None:
    code = getattr(error.orig, "sqlite_errorname", "")
    for name, (kind, text) in _SQLITE.items():
        if code == name or code.startswith(f"{name}_"):
            return kind(f"{url.database}: the database {text}")
    return None


def _postgresql(url: URL, error: DBAPIError) -> ViTScopeError | None:
    """By SQLSTATE, https://www.postgresql.org/docs/current/errcodes-appendix.html; none: no connection."""
    state = getattr(error.orig, "sqlstate", None) or ""
    where = url.set(drivername="postgresql").render_as_string(hide_password=True)
    said = " ".join(str(error.orig).split())
    if state in ("42501", "25006"):  # insufficient privilege, read-only transaction
        return RequestError(f"{where}: this user may not write to the database ({said}).")
    if error.connection_invalidated or state[:2] in ("", "08", "40", "53", "55", "57", "58"):
        return WorkFailed(f"{where}: the database cannot be used ({said}). Check the URL and its server.")
    return None
