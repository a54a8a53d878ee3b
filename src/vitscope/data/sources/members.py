"""What an archive holds, judged before anything is written: where each member would go, and how much it all is."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from vitscope.data.sources.names import is_ignored
from vitscope.errors import RequestError
from vitscope.text import brief, count, shown, size

MOST_MEMBERS = 10_000_000
MOST_TIMES = 100  # the size of the archive that it may unpack to
SMALL_BYTES = 100_000_000  # up to which it may at any rate
LINKS_FOLLOWED = 8  # from link to link
DRIVE = re.compile(r"[A-Za-z]:")


class Member(NamedTuple):
    """A file or a link of an archive. `handle` is what the module that reads the archive knows it by."""

    name: str  # as it is in the archive
    place: str  # below the folder to which it is unpacked, parts joined by '/'
    size_bytes: int
    link: str | None = None  # the place of what a link means, "" outside of the archive
    handle: Any = None


class UnsafeName(ValueError):
    """Why a name is refused, in words that go behind it."""


def place_of(name: str) -> str:
    """Where a member of this name goes; "" for the root itself. Raises `UnsafeName` for what leads elsewhere.

    Backslashes separate folders too, as they do where such archives are made.
    """
    if "\0" in name:
        raise UnsafeName("has a NUL in its name")
    if name.startswith(("/", "\\")):
        raise UnsafeName("has an absolute path")
    parts = [part for part in re.split(r"[/\\]", name) if part not in ("", ".")]
    if ".." in parts:
        raise UnsafeName("leads out of it by '..'")
    if parts and DRIVE.match(parts[0]):
        raise UnsafeName("begins with a drive letter")
    return "/".join(parts)


def link_place(member_place: str, target: str, *, from_root: bool) -> str:
    """The place that a link means: from its own folder, or, as hard links do, from the root; "" outside."""
    if "\0" in target or target.startswith(("/", "\\")) or DRIVE.match(target):
        return ""
    parts = [] if from_root else member_place.split("/")[:-1]
    for part in re.split(r"[/\\]", target):
        if part == "..":
            if not parts:
                return ""
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "" if parts and DRIVE.match(parts[0]) else "/".join(parts)


class Contents(NamedTuple):
    """What is unpacked: the files, and copies of files for the links to them, both by place."""

    files: dict[str, Member]
    copies: dict[str, str]  # link → the file that it means
    notices: list[str]

    @property
    def size_bytes(self) -> int:
        copied = sum(self.files[target].size_bytes for target in self.copies.values())
        return copied + sum(member.size_bytes for member in self.files.values())


def judged(members: Iterable[Member], archive: object, archive_bytes: int) -> Contents:
    """The members that are of use. Raises `RequestError` for a link that leads out, and for more than the limits.

    What systems leave behind is ignored. Of two members at one place the later counts, as where it is unpacked by hand.
    """
    files: dict[str, Member] = {}
    links: dict[str, str] = {}
    total = number = 0
    most = most_bytes(archive_bytes)
    for member in members:
        number += 1
        if number > MOST_MEMBERS:
            raise RequestError(f"{shown(archive)}: more than {MOST_MEMBERS:,} members. {BY_HAND}")
        if member.link == "":
            raise refused(archive, member.name, "is a link that leads out of it")
        total += member.size_bytes
        if member.size_bytes < 0 or total > most:
            raise too_large(archive, archive_bytes)
        if not member.place or any(is_ignored(part) for part in member.place.split("/")):
            continue
        files.pop(member.place, None)
        links.pop(member.place, None)
        if member.link is None:
            files[member.place] = member
        else:
            links[member.place] = member.link
    contents = Contents(files, {}, [])
    left_out = []
    for place in links:
        if (target := _meant(place, links)) in files:
            contents.copies[place] = target
        else:
            left_out.append(place)
    if left_out:
        contents.notices.append(f"{count(len(left_out), 'link')} of it left out, to no file in it.")
    if contents.size_bytes > most:
        raise too_large(archive, archive_bytes)
    if clash := next((f for f in _folders((*files, *contents.copies)) if f in files or f in contents.copies), None):
        raise RequestError(f"{shown(archive)}: this archive is damaged: '{brief(clash)}' is a file and a folder in it.")
    return contents


def most_bytes(archive_bytes: int) -> int:
    """What an archive of this size may unpack to."""
    return max(MOST_TIMES * archive_bytes, SMALL_BYTES)


BY_HAND = "If you trust it, unpack it by hand and give the folder."


def too_large(archive: object, archive_bytes: int) -> RequestError:
    """What it unpacks to is beyond the limit."""
    return RequestError(
        f"{shown(archive)}: it would unpack to more than {size(most_bytes(archive_bytes))}, the limit for an archive "
        f"of {size(archive_bytes)} ({MOST_TIMES} times its size). {BY_HAND}"
    )


def refused(archive: object, name: str, why: str) -> RequestError:
    """A member for which nothing of the archive is unpacked."""
    return RequestError(
        f"{shown(archive)}: refused, and nothing of it unpacked: its member '{brief(name)}' {why}. Such an archive can "
        "overwrite files elsewhere."
    )


def _folders(places: Iterable[str]) -> set[str]:
    """Every folder above the places."""
    found: set[str] = set()
    for place in places:
        above = place.rpartition("/")[0]
        while above and above not in found:
            found.add(above)
            above = above.rpartition("/")[0]
    return found


def _meant(place: str, links: dict[str, str]) -> str:
    """Where links lead from one to the next; "" where they go on too long."""
    for _ in range(LINKS_FOLLOWED):
        if place not in links:
            return place
        place = links[place]
    return ""
