"""The dashboard's delays: from a recorded number to the screen, a million points read, a thousand runs listed.

    python bench/dashboard.py [--seconds 60] [--every-ms 50] [--points 1000000] [--runs 1000] [--quick]

Steps are told to the recorder as training tells them, to a real server with a real browser (Chromium) before it. The
page notes when its head first shows each of them; the difference of both clocks, which are one machine's, is the delay.
Then the server is asked for a long run's curves and for the list of many runs.
"""

from __future__ import annotations

import re
import shutil
import statistics
import tempfile
import time
import urllib.request
from pathlib import Path

from measuring import arguments, write
from playwright.sync_api import sync_playwright
from sides.page import serving

from vitscope.events import Metric, MetricsLogged, RunStarted, StepRecord, StepsDone
from vitscope.metrics.recorder import Recorder
from vitscope.storage import runs
from vitscope.storage.workspace import Workspace

SERIES = 10  # of the long run
READS = 20
PATIENCE_MS = 60_000
WATCH = """() => {
  window.seen = {};
  const look = () => {
    const step = /Step\\s+([\\d,]+)/.exec(document.querySelector("main header").innerText);
    if (step) window.seen[step[1].replaceAll(",", "")] ??= Date.now();
  };
  const all = {subtree: true, childList: true, characterData: true};
  new MutationObserver(look).observe(document.querySelector("main"), all);
}"""


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--every-ms", type=float, default=50)
    parser.add_argument("--points", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=1_000)
    given = parser.parse_args()
    if given.quick:
        given.seconds, given.points, given.runs = 5, 50_000, 50
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        delays = event_to_screen(place, int(given.seconds * 1000 / given.every_ms), given.every_ms / 1000)
        figures = {"event to screen": delays} | answers(place, given.points, given.runs)
    figures["event to screen, p95"] = [statistics.quantiles(delays, n=20)[-1]]
    write("dashboard", figures, "ms", is_quick=given.quick)


def event_to_screen(place: Path, steps: int, every_s: float) -> list[float]:
    """Milliseconds from telling each step to seeing it, or a later one where the page passed over it."""
    workspace = Workspace(place / "watched")
    run = runs.create_run(workspace.database, name="watched", source="digits", model="vit", total_steps=steps)
    told: dict[int, float] = {}
    with workspace.lock_run(run.id), serving(workspace.root) as address, sync_playwright() as playwright:
        recorder = Recorder(workspace.database, run.id, runs.begin_attempt(workspace.database, run.id, 0), print)
        recorder(RunStarted(0, steps, 10, max(1, steps // 10)))

        def tell(step: int) -> None:
            told[step] = time.time() * 1000
            recorder(StepsDone((StepRecord(step, 0, 2 / step, 1e-3, 1.0, 100.0),)))

        context = playwright.chromium.launch_persistent_context(
            place / "browser",
            executable_path=shutil.which("chromium") or shutil.which("google-chrome"),
            headless=True,
            args=["--no-sandbox", "--disable-gpu"],
            locale="en-US",
        )
        try:
            page = context.pages[0]
            page.set_default_timeout(PATIENCE_MS)
            page.goto(address)
            page.goto(re.sub(r"/\?.*", f"/runs/{run.id}/curves", address))
            tell(1)
            page.wait_for_selector("main header")
            page.wait_for_timeout(3000)
            page.evaluate(WATCH)
            for step in range(2, steps + 1):
                tell(step)
                time.sleep(every_s)
            page.wait_for_timeout(2000)
            seen = {int(step): at for step, at in page.evaluate("window.seen").items()}
        finally:
            context.close()
            recorder.close()
    delays, shown = [], sorted(seen.items())
    for step in range(2, steps + 1):
        at = next((at for later, at in shown if later >= step), None)
        assert at is not None, f"step {step} was never shown"
        delays.append(at - told[step])
    return delays


def answers(place: Path, points: int, number: int) -> dict[str, list[float]]:
    """Milliseconds of the server's answers about a run of so many points, and about so many runs."""
    workspace = Workspace(place / "many")
    made = [runs.create_run(workspace.database, name=f"run {i}", source="digits", model="vit") for i in range(number)]
    long = made[-1].id
    recorder = Recorder(workspace.database, long, runs.begin_attempt(workspace.database, long, 0), print)
    for step in range(1, points // SERIES + 1):
        metrics = tuple(Metric("train", f"metric_{i}", step + i / 7) for i in range(SERIES))
        recorder(MetricsLogged(step, step / 1000, metrics))
    recorder.close()
    with serving(workspace.root) as address:
        base, token = address.split("/?token=")

        def ms(path: str) -> float:
            request = urllib.request.Request(base + path, headers={"Authorization": f"Bearer {token}"})
            began = time.perf_counter()
            with urllib.request.urlopen(request, timeout=300) as answer:
                answer.read()
            return (time.perf_counter() - began) * 1000

        curves = f"/api/runs/{long}/series?points=1000"
        first = ms(curves)
        again = [ms(curves) for _ in range(READS)]
        listed = ms("/api/runs")
        return {
            f"{points:,} points, first read": [first],
            f"{points:,} points, again": again,
            f"{number:,} runs, first list": [listed],
            f"{number:,} runs, again": [ms("/api/runs") for _ in range(READS)],
        }


if __name__ == "__main__":
    main()
