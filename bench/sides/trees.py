"""The same split for everybody: a tree of links, train, val and test, as ViTScope splits a data set."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from vitscope.config import DataConfig
from vitscope.storage.workspace import Workspace
from vitscope.workflows.data import prepare

DRAWN = "shapes:count=600,size=128"  # where no data are given


def tree(source: str, place: Path, limit: int | None = None) -> Path:
    """Links to the pictures of `source` below `place`; at most `limit` a class for training, a tenth of it else."""
    manifest = prepare(DataConfig(source=source), Workspace(place / "workspace")).manifest
    root = place / "tree"
    many: Counter[tuple[str, int]] = Counter()
    for split in ("train", "val", "test"):
        most = None if limit is None else limit if split == "train" else max(2, limit // 10)
        part = manifest.of_split(split)
        for row in range(len(part)):
            sample = part.sample(row)
            number = many[split, sample.label]
            if most is None or number < most:
                folder = root / split / manifest.classes[sample.label]
                folder.mkdir(parents=True, exist_ok=True)
                (folder / f"{number:06d}{sample.path.suffix}").symlink_to(sample.path)
                many[split, sample.label] += 1
    return root
