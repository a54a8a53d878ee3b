"""Whether a run keeps its training pictures decoded, and where: the cache of a workspace."""

from __future__ import annotations

import math
import statistics
from pathlib import Path
from typing import NamedTuple

from vitscope.config import RunConfig
from vitscope.data import cache
from vitscope.data.manifest import Manifest
from vitscope.data.pictures import Decoded, Pictures, Reduced, side_for
from vitscope.data.sizes import some_sizes
from vitscope.storage.workspace import Workspace
from vitscope.text import size as told_size

MOST_OF_FREE = 0.5  # share of the free disk that a cache may take by itself


class Decision(NamedTuple):
    """Whether the cache is on, and why, in a sentence."""

    is_on: bool
    reason: str


def decide(c: RunConfig, training: Manifest, image_size: int, workspace: Workspace) -> Decision:
    """`data.cache` resolved: on where pictures are seen more than once and fit the limit and the disk."""
    if c.data.cache != "auto":
        return Decision(c.data.cache == "on", f"cache {c.data.cache}: asked for")
    if c.train.epochs < 2 and c.train.time_budget is None:
        return Decision(False, "cache off: each picture is seen once")
    need = expected_bytes(training, side_for(image_size, c.augment.crop_scale))
    room = min(c.data.cache_gb * 1e9, MOST_OF_FREE * workspace.free_bytes)
    if need > room:
        return Decision(
            False,
            f"cache off: {told_size(need)} of decoded pictures, and room for {told_size(room)}",
        )
    return Decision(True, f"cache on: decoded pictures ({told_size(need)}) are kept in the workspace")


def pictures_of(c: RunConfig, whole: Manifest, training: Manifest, image_size: int, workspace: Workspace) -> Pictures:
    """What the loader reads: from the cache, where the run has one. Raises `OSError` when it cannot be made."""
    if c.data.cache != "on":
        return Decoded(training)
    side = side_for(image_size, c.augment.crop_scale)
    kind = cache.CacheKind(whole.fingerprint, side)
    folder = folder_of(workspace)
    folder.mkdir(parents=True, exist_ok=True)
    needed = expected_bytes(training, side)
    cache.make_room(folder, folder / kind.name, needed, int(c.data.cache_gb * 1e9))
    place = cache.opened(folder, kind, len(whole), whole.source)
    return cache.CachedPictures(Reduced(training, side), place, cache.slots_of(training, whole), kind.stride)


def list_(workspace: Workspace) -> list[cache.Kept]:
    """The caches of a workspace, the one used last first."""
    return cache.kept(folder_of(workspace))


def clear(workspace: Workspace) -> list[cache.Kept]:
    """Remove them all and return what they were; runs that use one keep what they have open."""
    found = list_(workspace)
    for each in found:
        cache.discard(each)
    return found


def folder_of(workspace: Workspace) -> Path:
    """Where a workspace keeps its caches of pictures."""
    return workspace.cache_folder / "pictures"


def expected_bytes(training: Manifest, side: int) -> int:
    """What the reduced pictures would take on disk, from the headers of a few spread over them."""
    sizes = some_sizes(training)
    if not sizes:
        return 0
    scales = [min(1.0, side / min(size)) for size in sizes]
    pages = [math.ceil(3 * w * h * scale**2 / cache.PAGE) for (w, h), scale in zip(sizes, scales, strict=True)]
    return round(statistics.mean(pages) * cache.PAGE * len(training))
