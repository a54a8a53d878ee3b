"""The errors that people meet: one clear paragraph each, and the exit code of the command line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ViTScopeError(Exception):
    """Base of every error that is told to a person as one paragraph, without a traceback."""

    exit_code = 1


class RequestError(ViTScopeError):
    """The request was wrong: a bad option, a missing file, an unknown name. Nothing has been done."""

    exit_code = 2


class Conflict(RequestError):
    """The request does not fit what is going on now: a run that is being trained, or that has ended already."""


class WorkFailed(ViTScopeError):
    """The request was right, the work could not be finished. What was done is kept."""

    exit_code = 1


class BadImage(ViTScopeError):
    """A file or array that cannot be used as a picture; the text is the reason, without the file's name."""


class Interrupted(ViTScopeError):
    """The person or the system asked to stop; the run can be resumed."""

    def __init__(self, message: str, *, exit_code: int = 130):
        super().__init__(message)
        self.exit_code = exit_code


def closest(name: str, choices: Iterable[str]) -> str:
    """A hint such as ``Did you mean 'adamw'?``, else the choices themselves when they are few, else ''."""
    known = list(dict.fromkeys(choices))
    match = difflib.get_close_matches(name.lower(), [c.lower() for c in known], n=3, cutoff=0.5)
    if match:
        by_lower = {c.lower(): c for c in reversed(known)}
        return "Did you mean " + " or ".join(f"'{by_lower[m]}'" for m in match) + "?"
    return f"Known: {', '.join(known)}." if 0 < len(known) <= 12 else ""


def unknown(kind: str, name: str, choices: Iterable[str], advice: str = "") -> RequestError:
    """The error for a name that no table holds: says which, and the closest match."""
    parts = [f"Unknown {kind} '{name}'.", closest(name, choices), advice]
    return RequestError(" ".join(p for p in parts if p))
