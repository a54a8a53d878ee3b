"""Inside is walked through as a person would; what the page says is compared with the model's own numbers."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

import vitscope
from tests.browser.conftest import Dashboard, Process, Tab
from tests.conftest import TINY, draw_folder

AXE = Path(__file__).parents[2] / "web" / "node_modules" / "axe-core" / "axe.min.js"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a finished run `fruits` and its snapshots."""
    root = tmp_path_factory.mktemp("inside")
    pictures = draw_folder(root / "pictures", {"apple": 16, "pear": 14, "plum": 10})
    record = {**TINY["record"], "snapshots": True, "snapshot_share": 0.5}
    vitscope.train(pictures, workspace=root / "ws", name="fruits", **{**TINY, "epochs": 6, "record": record})
    return root / "ws"


def opened(tab: Tab, running: list[Dashboard | Process], place: Path, path: str) -> Page:
    dashboard = Dashboard(place)
    running.append(dashboard)
    run = vitscope.Workspace(place).find_run("fruits").id
    tab.page.goto(dashboard.address)
    tab.page.goto(dashboard.url(path.format(run=run)))
    return tab.page


def view(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name).click()
    expect(page.get_by_role("tab", name=name)).to_have_attribute("aria-selected", "true")


def serious(page: Page) -> list[str]:
    """axe's serious and critical findings.

    Boxes of the diagram show figures beside their names, which their labels say in words, with the name first: that the
    figures stand otherwise in the labels is no finding.
    """
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run().then(r => r.violations)")
    told = [(v["id"], node["html"]) for v in found if v["impact"] in ("serious", "critical") for node in v["nodes"]]
    in_words = re.compile(r'<g role="button" class="box .* data-id="([^"]+)" .* aria-label="\1, ')
    kept = [(id_, html) for id_, html in told if not (id_ == "label-content-name-mismatch" and in_words.match(html))]
    return [f"{id_}: {html[:120]}" for id_, html in kept]


def test_every_view_of_the_inside(tab: Tab, running: list[Dashboard | Process], place: Path, tmp_path: Path):
    page = opened(tab, running, place, "/runs/{run}/inside")

    # Architecture: the module tree as it is.
    main = page.locator("main")
    expect(main).to_contain_text("blocks.1.mlp.fc2", timeout=90_000)
    module = vitscope.load("fruits", place).module
    names = [name for name, part in module.named_modules() if list(part.parameters(recurse=False)) and name]
    text = main.inner_text()
    assert [name for name in names if name not in text] == []
    assert f"{sum(p.numel() for p in module.parameters()):,}" in text

    # Layers: zoom to single numbers.
    view(page, "Layers")
    page.get_by_role("button", name=re.compile(r"attn\.qkv")).first.click()
    matrix = page.get_by_role("application", name=re.compile("^Weights of"))
    matrix.focus()
    for _ in range(6):
        page.keyboard.press("+")
    expect(page.get_by_text("Each cell is one weight.")).to_be_visible()
    page.keyboard.press("ArrowDown")
    said = page.get_by_text(re.compile(r"^output \d+.*, input \d+: ")).first
    expect(said).to_be_visible()
    found = re.search(r"output (\d+).*?, input (\d+): (−|-)?([\d.]+(?:e[−-]?\d+)?)", said.inner_text())
    assert found is not None, said.inner_text()
    weights = dict(module.named_parameters())["blocks.0.attn.qkv.weight"].detach().numpy()
    value = float((found[3] or "").replace("−", "-") + found[4].replace("−", "-"))
    assert value == pytest.approx(float(weights[int(found[1]), int(found[2])]), rel=0.01, abs=1e-4)

    # Attention: hover a patch, choose a head, hold the class token.
    view(page, "Attention")
    picture = page.get_by_role("application", name=re.compile("^The picture"))
    expect(picture).to_be_visible()
    box = picture.bounding_box()
    assert box is not None
    page.get_by_role("gridcell", name=re.compile("^Layer 1, head 1")).click()
    picture.hover(position={"x": box["width"] * 0.9, "y": box["height"] * 0.1})  # the patch in row 1, column 4 of 4
    sentence = page.locator(".said p[aria-live=polite]")
    expect(sentence).to_contain_text(re.compile(r"\d"))
    expect(page).to_have_url(re.compile("head=1"))
    query = re.search(r"(?:image=)([^&]+)", page.url)
    shown = hovered_attention(place, query[1] if query else None)
    assert f"{shown:.1%}" in sentence.inner_text(), (sentence.inner_text(), shown)
    page.get_by_role("button", name=re.compile("^Class token")).click()

    # A picture of one's own.
    own = tmp_path / "own.png"
    Image.fromarray(np.random.default_rng(5).integers(0, 255, (40, 50, 3), np.uint8)).save(own)
    page.locator("input[type=file]").set_input_files(own)
    expect(page.get_by_text("your picture", exact=False).first).to_be_visible()
    expect(page).to_have_url(re.compile("image=upload"))
    label = vitscope.predict(vitscope.load("fruits", place), [own])[0]
    expect(page.get_by_role("region", name="Prediction")).to_contain_text(f"{label.probability:.1%}")

    # Heads, and the time line by keys.
    view(page, "Heads")
    expect(main).to_contain_text("Entropy")
    slider = page.get_by_role("slider", name="Moment of training")
    slider.focus()
    page.keyboard.press("Home")
    expect(slider).to_have_attribute("aria-valuetext", re.compile("^Before training"))
    expect(page).to_have_url(re.compile("at=initial"))
    page.reload()
    expect(page.get_by_role("tab", name="Heads")).to_have_attribute("aria-selected", "true")
    expect(page).to_have_url(re.compile("image=upload.*at=initial"))
    page.get_by_role("slider", name="Moment of training").focus()
    page.keyboard.press("End")


def hovered_attention(place: Path, image: str | None) -> float:
    """The largest share that the top right patch gives, in layer 1, head 1 of the picture shown."""
    from vitscope.data.manifest import Manifest

    run = vitscope.Workspace(place).find_run("fruits")
    manifest = Manifest.load(place / "runs" / run.id / "manifest.parquet")
    samples = [manifest.sample(i) for i in range(len(manifest))]
    wanted = image.replace("%3A", ":").removeprefix("sample:") if image else pinned(place, run.id)
    path = next(s.path for s in samples if s.sample_id == wanted)
    weights = vitscope.inspect(vitscope.load("fruits", place), path).attention[1][1]
    return float(weights[1 + 3].max())


def pinned(place: Path, run: str) -> str:
    import json

    return json.loads((place / "runs" / run / "snapshots" / "pinned.json").read_text())["images"][0]["sample_id"]


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious(tab: Tab, running: list[Dashboard | Process], place: Path, width: int, theme: str):
    page = opened(tab, running, place, "/runs")
    page.set_viewport_size({"width": width, "height": 800})
    page.evaluate("theme => localStorage.setItem('vitscope.theme', theme)", theme)
    base = page.url.removesuffix("/runs")
    run = vitscope.Workspace(place).find_run("fruits").id
    found: dict[str, list[str]] = {}
    views = [f"runs/{run}/inside?view={name}" for name in ("architecture", "layers", "attention", "heads")]
    for path in ("runs", "new", f"runs/{run}/curves", f"runs/{run}/details", *views):
        page.goto(f"{base}/{path}")
        expect(page.locator("main h1, main h2").first).to_be_visible()
        expect(page.locator("main .wait")).to_have_count(0, timeout=90_000)
        if path.endswith("architecture"):
            expect(page.locator("[data-id=blocks]").first).to_be_visible(timeout=90_000)
        page.wait_for_timeout(1500)
        found[path] = serious(page)
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, path
    assert {path: told for path, told in found.items() if told} == {}
