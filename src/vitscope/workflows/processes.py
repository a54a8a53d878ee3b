"""Which process is which: numbers are given to others in time, so a process is known by when it began, too."""

from __future__ import annotations

import os
from pathlib import Path

import psutil

_UNIX_S = 1e9  # times of the clock are larger, seconds since a start of the machine smaller
_SAME_S = 2.0  # by which the beginning by the clock may differ when it is told twice: the clock is set meanwhile


def began_at(pid: int) -> float:
    """When a process began: seconds since the machine was started where the system tells that, since no clock that is
    set changes it; else Unix seconds. Raises `psutil.Error` where there is no such process."""
    since_boot = _since_boot(pid)
    return psutil.Process(pid).create_time() if since_boot is None else since_boot


def is_the_same(pid: int, began: float) -> bool:
    """Whether the process that began then is still there. True where it cannot be asked."""
    try:
        process = psutil.Process(pid)
        if began < _UNIX_S:
            now = _since_boot(pid)
            is_same = now is not None and abs(now - began) < 0.005  # exact: as many ticks of the system
        else:
            is_same = abs(process.create_time() - began) < _SAME_S
        return is_same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.AccessDenied:
        return True
    except psutil.NoSuchProcess:
        return False


def _since_boot(pid: int) -> float | None:
    """From /proc (man 5 proc_pid_stat, field 22), where there is one."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        return int(fields[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError, ValueError, AttributeError):
        return None
