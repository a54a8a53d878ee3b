"""Indexing a million files: the first look, the second opening, and what follows before a training starts.

    python bench/indexing.py [--files 1000000] [--place FOLDER] [--rounds 3] [--quick]

The files are hard links to 200 drawn 8×8 PNGs, in 100 class folders on disk: made in half a minute, and to the walk,
one `stat` a name, like files of their own, but for the inodes that a cold disk would have to read. Nothing is decoded
or hashed. The first opening walks the tree and keeps the index in the workspace; the second opens it by the times of
the folders. The system's cache of names is warm in all rounds.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from measuring import arguments, write
from PIL import Image

from vitscope.data import checks, split
from vitscope.data.sources import kept
from vitscope.storage.workspace import Workspace
from vitscope.workflows.data import INDEXES, import_dataset, read

CLASSES, DISTINCT = 100, 200
LONG_AGO_S = 3600  # the folders of a real set have been as they are for a while


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--files", type=int, default=1_000_000)
    parser.add_argument("--place", help="where the tree is made, on disk; by default the folder for temporary files")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    if given.quick:
        given.files, given.rounds = 60_000, 1
    with tempfile.TemporaryDirectory(dir=given.place) as place:
        root = Path(place).resolve()
        free = os.statvfs(root)
        if 0 < free.f_favail < DISTINCT + CLASSES or free.f_bavail * free.f_frsize < 300 * given.files:
            raise SystemExit(f"{root}: too little room for the names of {given.files:,} files.")
        began = time.perf_counter()
        make(root, given.files)
        print(f"{given.files:,} files made in {time.perf_counter() - began:.1f} s")
        rounds = []
        for number in range(given.rounds):
            workspace = Workspace(root / f"workspace-{number}")
            rounds.append(measure(root, workspace))
            shutil.rmtree(workspace.root)
    rows = {f"{name}, s": [found[name] for found in rounds] for name in rounds[0]}
    for name in ("first opening", "import under a name"):
        rows[f"{name}, files/s"] = [given.files / found[name] for found in rounds]
    write("indexing", rows, "seconds, files/s", files=given.files, kept_from=kept.LARGE, is_quick=given.quick)


def make(root: Path, files: int) -> None:
    (root / "drawn").mkdir()
    for number in range(DISTINCT):
        Image.new("RGB", (8, 8), (number, 7 * number % 256, 13 * number % 256)).save(root / "drawn" / f"{number}.png")
    for label in range(CLASSES):
        folder = root / "set" / f"class_{label:03d}"
        folder.mkdir(parents=True)
        for number in range(files // CLASSES):
            os.link(root / "drawn" / f"{(number * CLASSES + label) % DISTINCT}.png", folder / f"{number:06d}.png")
    past = time.time() - LONG_AGO_S
    for folder in ((root / "set"), *(root / "set").iterdir()):
        os.utime(folder, (past, past))


def measure(root: Path, workspace: Workspace) -> dict[str, float]:
    """Seconds of each step."""
    found: dict[str, float] = {}
    source, place = str(root / "set"), workspace.cache_folder / INDEXES

    def timed(name: str, work: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        result = work()
        found[name] = time.perf_counter() - began
        return result

    timed("first opening", lambda: read(source, workspace, place))
    manifest = timed("second opening", lambda: read(source, workspace, place)).manifest
    assert manifest.kept, "the index was not kept"
    timed("import under a name", lambda: import_dataset(source, "million", workspace))
    timed("the import opened again", lambda: read("million", workspace, place))
    timed("every file compared (in the background)", manifest.changed)
    timed("fingerprint", lambda: manifest.fingerprint)
    checked = timed("checked for training", lambda: checks.check_trainable(manifest)[0])
    parts = timed("split", lambda: split.assign(checked, 0.1, 0.2, 0)[0])
    training = timed("the rows of one split", lambda: parts.of_split("train"))
    timed("1,000 samples asked for", lambda: [training.sample(row) for row in range(1_000)])
    return found


if __name__ == "__main__":
    main()
