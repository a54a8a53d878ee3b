"""Pictures of every page, in both themes, languages and widths, for the docs.

    python scripts/screenshots.py [--workspace DIR] [--only runs,curves] [--output docs/screenshots]

Without a workspace that holds a run called `demo` and one called `shapes`, both are trained first (some minutes).
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image, ImageChops
from playwright.sync_api import Page, expect, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
THEMES, LANGUAGES = ("light", "dark"), ("en", "zh")
WIDTHS = {1280: 800, 390: 844}
UNSEEN = 8  # of 255: so little may a pixel's colour be off in a picture of the docs

# Page → address below the root; {demo} and {shapes} are the runs' ids.
PAGES = {
    "runs": "runs",
    "curves": "runs/{demo}/curves",
    "details": "runs/{demo}/details",
    "new": "new",
    "inside-architecture": "runs/{demo}/inside",
    "inside-layers": "runs/{demo}/inside?view=layers",
    "inside-attention": "runs/{shapes}/inside?view=attention",
    "inside-heads": "runs/{shapes}/inside?view=heads",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path)
    parser.add_argument("--only", default=",".join(PAGES))
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "screenshots")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        workspace = given.workspace or Path(temporary) / "workspace"
        ids = {name: run_called(name, workspace) for name in ("demo", "shapes")}
        given.output.mkdir(parents=True, exist_ok=True)
        with dashboard(workspace) as address, sync_playwright() as playwright:
            for name in given.only.split(","):
                path = PAGES[name].format(**ids)
                for language in LANGUAGES:
                    for width, height in WIDTHS.items():
                        context = playwright.chromium.launch_persistent_context(
                            Path(temporary) / f"browser-{name}-{language}-{width}",
                            executable_path=shutil.which("chromium") or shutil.which("google-chrome"),
                            headless=True,
                            args=FLAGS,
                            viewport={"width": width, "height": height},
                            device_scale_factor=1.5 if width == 1280 else 2,
                            locale="zh-CN" if language == "zh" else "en-US",
                        )
                        page = context.pages[0]
                        page.goto(address)
                        for theme in THEMES:
                            page.evaluate("theme => localStorage.setItem('vitscope.theme', theme)", theme)
                            page.evaluate("language => localStorage.setItem('vitscope.language', language)", language)
                            file = given.output / f"{name}-{theme}-{language}-{width}.png"
                            take(page, address, path, file)
                            print(file.relative_to(ROOT) if file.is_relative_to(ROOT) else file, flush=True)
                        context.close()


def take(page: Page, address: str, path: str, file: Path) -> None:
    """Open the page, wait until it has what it shows, and keep it in colours that it has."""
    page.goto(re.sub(r"/\?token=.*", f"/{path}", address))
    page.wait_for_selector("main")
    page.wait_for_timeout(500)
    expect(page.locator("main .skeleton, main .wait")).to_have_count(0, timeout=60_000)
    page.wait_for_timeout(1200)
    page.screenshot(path=file)
    shrink(file)


def shrink(file: Path) -> None:
    """Fewer bytes, and the same to the eye: a palette where 256 colours do, small spots and gradients included."""
    with Image.open(file) as taken:
        picture = taken.convert("RGB")
    few = picture.quantize(256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    off = max(most for _, most in ImageChops.difference(picture, few.convert("RGB")).getextrema())
    (few if off <= UNSEEN else picture).save(file, optimize=True)


def run_called(name: str, workspace: Path) -> str:
    """Id of the finished run of that name, trained now where there is none."""
    import vitscope

    place = vitscope.Workspace(workspace)
    try:
        return place.find_run(name).id
    except vitscope.RequestError:
        if name == "demo":
            return vitscope.train("digits", workspace=place, recipe="digits", name="demo").id
        options = {"image_size": 64, "kwargs": {"patch_size": 8}}
        return vitscope.train(
            "shapes:count=1600,size=64", workspace=place, recipe="digits", name="shapes", epochs=8, model=options
        ).id


@contextmanager
def dashboard(workspace: Path) -> Iterator[str]:
    """Address of a dashboard on the workspace, with its token."""
    command = [sys.executable, "-m", "vitscope", "--workspace", str(workspace), "ui", "--no-browser", "--port", "8437"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        found = re.search(r"http://\S+", process.stdout.readline())
        assert found is not None
        yield found[0]
    finally:
        process.terminate()
        process.wait(20)


if __name__ == "__main__":
    main()
