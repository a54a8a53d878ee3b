"""Whether a folder lies on a file system that other machines share, where SQLite's write-ahead log is not safe.

That log keeps part of its state in memory which all who use the database share, so they must be on one machine:
https://www.sqlite.org/wal.html, "Advantages and disadvantages".
"""

from __future__ import annotations

import re
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")  # https://docs.kernel.org/filesystems/proc.html, section 3.5
SHARED = {"9p", "afs", "beegfs", "ceph", "cifs", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "smb3", "smbfs"}
CONTAINER = "fuse.fuse-overlayfs"  # the disk of a container without root: this machine's own


def network_file_system(folder: Path) -> str | None:
    """Its type, such as `nfs4` or `fuse.sshfs`; None for a disk of this machine, or where that cannot be known."""
    try:
        mounts = MOUNTS.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return None
    place = folder.resolve()
    kind, longest = "", -1
    for line in mounts.splitlines():
        before, separator, after = line.partition(" - ")
        fields = before.split(" ")
        if not separator or len(fields) < 5:
            continue
        point = Path(_unescaped(fields[4]))
        if place.is_relative_to(point) and len(point.parts) >= longest:  # of two at one place, the later covers it
            kind, longest = after.split(" ")[0], len(point.parts)
    is_shared = kind in SHARED or (kind.startswith("fuse.") and kind != CONTAINER)
    return kind if is_shared else None


def _unescaped(path: str) -> str:
    """A path of the table, in which blanks are written as \\040."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), path)
