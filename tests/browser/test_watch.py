"""A run is watched from its first step to its end, by somebody whose network, server and training are not kind."""

from __future__ import annotations

import re
import signal
import time
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.browser.conftest import Dashboard, Process, Tab
from vitscope.metrics import query
from vitscope.storage import runs
from vitscope.storage.workspace import Workspace

FLAGS = ["--image-size", "32", "--batch-size", "8", "--workers", "0", "--device", "cpu"] + [
    part
    for option in (
        "model.kwargs={patch_size: 8, embed_dim: 32, depth: 2, num_heads: 2}",
        "train.threads=1",
        "train.attention=fused",  # else long runs measure first
        "train.compile=off",
        "record.charts=false",
        "record.tensorboard=false",
    )
    for part in ("--set", option)
]


def shown_step(page: Page) -> int:
    """The step that the head of a run's page tells."""
    text = page.locator("main header").inner_text()
    found = re.search(r"Step\s+([\d,]+)", text)
    return int(found[1].replace(",", "")) if found else -1


def wait_for_more(page: Page, than: int, timeout_s: float = 30) -> int:
    end = time.monotonic() + timeout_s
    while (step := shown_step(page)) <= than:
        assert time.monotonic() < end, f"still at step {step}: {page.locator('main header').inner_text()}"
        page.wait_for_timeout(50)
    return step


def recorded(page: Page, run_id: str) -> dict[str, list[int]]:
    """The steps of every series that the page's own server gives it."""
    answer = page.evaluate("path => fetch(path).then(r => r.json())", f"/api/runs/{run_id}/series?points=5000")
    return {name: series["step"] for name, series in answer["series"].items()}


def in_database(workspace: Workspace, run_id: str) -> dict[str, list[int]]:
    frame = query.frame(workspace.database, run_id)
    return {f"{s}/{n}": rows["step"].tolist() for (s, n), rows in frame.groupby(["split", "name"])}


def test_a_run_is_watched_start_to_end(tab: Tab, running: list[Dashboard | Process], pictures: Path, tmp_path: Path):
    page, place = tab.page, tmp_path / "ws"
    tab.complaints.allowed += [r"net::ERR_"]  # the server is stopped, by us
    dashboard = Dashboard(place)
    running.append(dashboard)

    page.goto(dashboard.address)
    expect(page).to_have_url(re.compile(r"/runs$|/$"))  # the token has left the address
    expect(page.locator("main")).to_contain_text("vitscope")  # an empty workspace says what to do first

    training = Process(place, "train", str(pictures), "--name", "watched", "--epochs", "4000", *FLAGS)
    running.append(training)
    page.get_by_role("link", name="watched").first.click(timeout=60_000)  # it came by itself
    expect(page.get_by_role("heading", name="watched")).to_be_visible()

    # Points appear while it trains.
    loss = page.get_by_role("application", name=re.compile("^Loss by"))
    expect(loss).to_be_visible(timeout=120_000)  # torch is imported meanwhile
    first = wait_for_more(page, 0)
    label = loss.get_attribute("aria-label")
    second = wait_for_more(page, first + 5)
    expect(loss).not_to_have_attribute("aria-label", label or "", timeout=30_000)
    run_id = page.url.split("/runs/")[1].split("/")[0]
    assert runs.get_run(Workspace(place).database, run_id).status == "running"

    page.reload()
    third = wait_for_more(page, second)

    # The server goes and comes back: what was shown stays, and goes on.
    dashboard.stop()
    expect(page.get_by_role("alert")).to_be_visible(timeout=30_000)
    assert shown_step(page) >= third
    dashboard.start()
    fourth = wait_for_more(page, shown_step(page) + 5, timeout_s=60)

    # The training is killed: what it had recorded is there, in the page too.
    training.end(signal.SIGKILL)
    expect(page.locator("main header")).to_contain_text("interrupted", timeout=30_000)
    workspace = Workspace(place)
    kept = in_database(workspace, run_id)
    assert max(kept["train/loss"]) >= fourth
    assert recorded(page, run_id) == kept
    page.reload()
    expect(page.locator("main header")).to_contain_text("interrupted")

    # Somebody resumes it elsewhere: the page follows, and what the new attempt supersedes goes.
    again = Process(place, "resume", run_id)
    running.append(again)
    expect(page.locator("main header")).to_contain_text("running", timeout=60_000)
    wait_for_more(page, fourth, timeout_s=60)
    assert again.end(signal.SIGTERM) == 143
    expect(page.locator("main header")).to_contain_text("interrupted", timeout=30_000)
    assert recorded(page, run_id) == in_database(workspace, run_id)
    steps = recorded(page, run_id)["train/loss"]
    assert steps == list(range(1, len(steps) + 1))  # none twice, none missing


def test_fault_70_names_are_text(tab: Tab, running: list[Dashboard | Process], tmp_path: Path):
    page, place = tab.page, tmp_path / "ws"
    evil = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
    runs.create_run(Workspace(place).database, name=evil, source=evil, model=evil, message=evil)
    dashboard = Dashboard(place)
    running.append(dashboard)
    page.goto(dashboard.address)
    expect(page.get_by_text(evil).first).to_be_visible()
    page.get_by_role("link", name=evil).first.click()
    expect(page.get_by_role("heading", name=evil)).to_be_visible()
    assert "owned" not in page.title() or evil in page.title()
    assert page.evaluate("document.querySelectorAll('img[src=x]').length") == 0
