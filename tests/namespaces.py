"""Faults of the system made real, each in a mount namespace of its own: a full disk, a read-only one, a small /dev/shm.

Nothing outside the namespace sees what is mounted in it, and it ends with the command.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TIMEOUT_S = 300
TRAIN = [
    *("--image-size", "32", "--batch-size", "8", "--workers", "0", "--device", "cpu"),
    *("--set", "model.kwargs={patch_size: 8, embed_dim: 32, depth: 2, num_heads: 2}", "--set", "train.threads=1"),
    *("--set", "record.charts=false", "--set", "record.tensorboard=false", "--set", "record.snapshots=false"),
]


def vitscope(workspace: Path, *words: str) -> list[str]:
    """The command line of `vitscope` in a process of its own."""
    return [sys.executable, "-m", "vitscope", "--workspace", str(workspace), *words]


def in_namespace(mounts: str, command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a command after `mounts`, lines of shell that see only its own namespace. Skips where that is not allowed."""
    if shutil.which("unshare") is None:
        pytest.skip("no 'unshare' here: mount namespaces cannot be made")
    probe = subprocess.run(
        ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, text=True, check=False
    )
    if probe.returncode != 0:
        pytest.skip(f"mount namespaces are not allowed here: {probe.stderr.strip()}")
    script = f'set -e\n{mounts}\nexec "$@"'
    return subprocess.run(
        ["unshare", "-rm", "sh", "-c", script, "sh", *command],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def tmpfs(size: str, folder: Path | str) -> str:
    """A line that mounts an empty disk of `size` over a folder."""
    return f'mount -t tmpfs -o size={size} tmpfs "{folder}"'


def read_only(folder: Path | str) -> str:
    """Lines after which a folder can be read and not be written, by root neither."""
    return f'mount --bind "{folder}" "{folder}"\nmount -o remount,ro,bind "{folder}"'
