"""How much of a step is ours: training end to end, recorded and watched, over the bare step on resident data.

    python bench/overhead.py [--data FOLDER] [--rounds 5] [--browser] [--quick]

`vit_tiny_patch16_224`, batch 32, photos with RandomResizedCrop + flip + RandAugment, two workers; all is recorded as it
is by default; where there is a cache of decoded pictures, it is warm. The dashboard serves one page that listens to the
live stream (a small Python client). `--browser` adds Chromium on the same cores, reported apart.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import sides
from measuring import DATA, alternate, arguments, ratios, write
from peers.work import Work, pictures
from sides.page import Listener, browsing, serving
from sides.trees import DRAWN, tree

from vitscope.config import options

CACHE = "data.cache"


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--data", help=f"a folder of photos; by default {DATA / 'clothing'}, else drawn ones")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=40, help="of a round; the first quarter does not count")
    parser.add_argument("--browser", action="store_true", help="also with Chromium before the dashboard")
    given = parser.parse_args()
    source = given.data or (str(DATA / "clothing") if (DATA / "clothing").is_dir() else DRAWN)
    if given.quick:
        given.rounds, given.steps = 2, 4
    has_cache = any(option.path == CACHE for option in options())
    with tempfile.TemporaryDirectory() as place:
        data, workspace = tree(source, Path(place), limit=40 if given.quick else None), Path(place) / "workspace"
        work = Work(
            task="throughput", settings="best", data=str(data), batch_size=8 if given.quick else 32, workers=2,
            steps=given.steps, warmup=max(1, given.steps // 4), policy="randaugment", workspace=str(workspace),
            options=(f"{CACHE}=on",) if has_cache else (),
        )  # fmt: skip
        if pictures(data)["train"] < work.steps * 8:
            raise SystemExit(f"{source}: too few pictures for {work.steps} steps of an epoch.")
        work = sides.settled(work, is_quick=given.quick)
        heard: list[int] = []
        chosen: dict[str, Callable[[], float]] = {
            "bare step": lambda: sides.images_per_s(sides.BARE, work),
            "nobody looks": lambda: sides.images_per_s(sides.OURS, work),
            "a page listens": lambda: watched(work, workspace, heard, has_browser=False),
        }
        if given.browser:
            chosen["a browser, same cores"] = lambda: watched(work, workspace, [], has_browser=True)
        found = alternate(chosen, given.rounds)
    shares = {f"{side} / bare step": ratios(found[side], found["bare step"]) for side in found if side != "bare step"}
    write(
        "overhead", found | shares, "images/s (ratios are shares of 1)",
        work=work.__dict__, source=source, cache="on" if has_cache else "there is none", events_heard=heard,
        is_quick=given.quick,
    )  # fmt: skip


def watched(work: Work, workspace: Path, heard: list[int], *, has_browser: bool) -> float:
    """Images a second while the dashboard serves a page; how many events it was told is added to `heard`."""
    with ExitStack() as closing:
        address = closing.enter_context(serving(workspace))
        if has_browser:
            closing.enter_context(browsing(address))
            return sides.images_per_s(sides.OURS, work)
        page = Listener(address)
        closing.callback(page.close)
        rate = sides.images_per_s(sides.OURS, work)
        heard.append(page.events)
        return rate


if __name__ == "__main__":
    main()
