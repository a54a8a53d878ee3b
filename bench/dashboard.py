"""How long a recorded number takes to the screen: a real recorder, a real server, a real browser.

    python bench/dashboard.py [--seconds 60] [--every-ms 50]

Steps are told to the recorder as training tells them. The page notes when its head first shows each of them; the
difference of both clocks, which are one machine's, is the delay. Prints p50, p95 and the largest, and writes
`bench/results/dashboard.json`. It asserts nothing about time: machines differ.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from playwright.sync_api import sync_playwright

from vitscope import __version__
from vitscope.events import RunStarted, StepRecord, StepsDone
from vitscope.metrics.recorder import Recorder
from vitscope.storage import runs
from vitscope.storage.workspace import Workspace

RESULTS = Path(__file__).parent / "results"
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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--every-ms", type=float, default=50)
    given = parser.parse_args()
    steps = int(given.seconds * 1000 / given.every_ms)
    with tempfile.TemporaryDirectory() as temporary:
        workspace = Workspace(Path(temporary) / "workspace")
        run = runs.create_run(workspace.database, name="bench", source="digits", model="vit", total_steps=steps)
        with workspace.lock_run(run.id):
            delays = measured(workspace, run.id, Path(temporary), steps, given.every_ms / 1000)
    cut = statistics.quantiles(delays, n=100)
    figures = {"steps": steps, "seen": len(delays), "p50_ms": cut[49], "p95_ms": cut[94], "max_ms": max(delays)}
    for name, value in figures.items():
        print(f"{name:8} {value:10,.0f}")
    RESULTS.mkdir(exist_ok=True)
    machine = {"cpu": platform.processor() or platform.machine(), "cores": os.cpu_count(), "load": os.getloadavg()}
    kept = {"vitscope": __version__, "when": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine}
    (RESULTS / "dashboard.json").write_text(json.dumps({**kept, **figures, "delays_ms": delays}, indent=1) + "\n")


def measured(workspace: Workspace, run_id: str, temporary: Path, steps: int, every_s: float) -> list[float]:
    """Milliseconds from telling a step to seeing it; steps that the page passed over are not counted."""
    attempt = runs.begin_attempt(workspace.database, run_id, 0)
    recorder = Recorder(workspace.database, run_id, attempt, print)
    recorder(RunStarted(0, steps, 10, max(1, steps // 10)))
    command = [sys.executable, "-m", "vitscope", "--workspace", str(workspace.root), "ui", "--no-browser"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    told: dict[int, float] = {}

    def tell(step: int) -> None:
        told[step] = time.time() * 1000
        recorder(StepsDone((StepRecord(step, 0, 2 / step, 1e-3, 1.0, 100.0),)))

    try:
        assert server.stdout is not None
        address = re.search(r"http://\S+", server.stdout.readline())
        assert address is not None
        with sync_playwright() as playwright:
            context = playwright.chromium.launch_persistent_context(
                temporary / "browser",
                executable_path=shutil.which("chromium") or shutil.which("google-chrome"),
                headless=True,
                args=["--no-sandbox", "--disable-gpu"],
                locale="en-US",
            )
            page = context.pages[0]
            page.goto(address[0])
            page.goto(re.sub(r"/\?.*", f"/runs/{run_id}/curves", address[0]))
            tell(1)
            page.wait_for_selector("main header")
            page.wait_for_timeout(3000)
            page.evaluate(WATCH)
            for step in range(2, steps + 1):
                tell(step)
                time.sleep(every_s)
            page.wait_for_timeout(2000)
            seen = {int(step): at for step, at in page.evaluate("window.seen").items()}
            context.close()
    finally:
        recorder.close()
        server.terminate()
        server.wait(20)
    return [at - told[step] for step, at in sorted(seen.items()) if step > 1]


if __name__ == "__main__":
    main()
