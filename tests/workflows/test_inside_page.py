from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Callable
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.trained import FRUITS, save_run, tiny_bundle
from vitscope.data.manifest import Manifest
from vitscope.errors import RequestError
from vitscope.inspection.weights import linears
from vitscope.storage.workspace import Workspace
from vitscope.visualization.document import unpack
from vitscope.workflows import inside_page
from vitscope.workflows.inside_page import MARKER, Written
from vitscope.workflows.views import Views

EVIL = "</script><script>alert(1)</script>"


@pytest.fixture
def template(tmp_path: Path) -> Path:
    file = tmp_path / "template.html"
    file.write_text(f"<!doctype html><title>x</title><body><p>before</p>{MARKER}<p>after</p></body>", encoding="utf-8")
    return file


@pytest.fixture
def write_page(template: Path) -> Callable[..., Written]:
    return partial(inside_page.write_page, template=template)


class Scripts(HTMLParser):
    """The page as a browser's parser takes it apart: the script elements with their attributes, and all other text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.documents: dict[str, Any] = {}
        self.others, self.text, self._now = 0, "", ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        if tag == "script":
            assert (told["type"], told["data-encoding"]) == ("application/json", "gzip")
            self._now = told["data-key"] or ""

    def handle_data(self, data: str) -> None:
        if self._now:
            self.documents[self._now] = json.loads(gzip.decompress(base64.b64decode(data, validate=True)))
            self._now = ""
        else:
            self.text += data


def documents(file: Path) -> dict[str, Any]:
    return Scripts(file.read_text(encoding="utf-8")).documents


def test_a_run_in_one_file(write_page: Callable[..., Written], tmp_path: Path, pictures: Path) -> None:
    place = Workspace(tmp_path / "workspace")
    run = save_run(place, tiny_bundle(), pictures)
    written = write_page(run.id, None, tmp_path / "model.html", workspace=place)
    page = Scripts(written.path.read_text(encoding="utf-8"))
    told = page.documents
    assert "".join(page.text.split()) == "xbeforeafter"
    layers = {f"layer/{layer.index}" for layer in linears(tiny_bundle().module)}
    assert set(told) == layers | {
        "overview", "structure", "layers", "filters", "attention", "attention/0", "attention/1", "heads", "left_out",
    }  # fmt: skip
    assert told["heads"]["is_complete"]
    assert max(unpack(told["layer/1"]["mean"]).shape) <= 96
    assert any("--layers" in item for item in told["left_out"]["items"])
    assert any("--layers" in notice for notice in written.notices)
    assert not re.search(r"https?://", written.path.read_text(encoding="utf-8"))


def test_every_weight_where_asked(write_page: Callable[..., Written], tmp_path: Path, pictures: Path) -> None:
    image = pictures / "pear" / "001.png"
    written = write_page(tiny_bundle(), image, tmp_path / "model.html", layers=True)
    told = documents(written.path)
    for layer in linears(tiny_bundle().module):
        assert told[f"layer/{layer.index}"]["cell"] == [1, 1]
        np.testing.assert_array_equal(unpack(told[f"layer/{layer.index}"]["mean"]), layer.weight)
    assert told["left_out"] == {"items": []}
    assert written.notices == []
    assert told["attention"]["image"]["id"].startswith("upload:")
    assert "heads" not in told  # this model is of no run


def test_no_name_can_become_a_script(write_page: Callable[..., Written], tmp_path: Path, pictures: Path) -> None:
    evil = tmp_path / 'a"><img src=x onerror=alert(1)>.png'
    evil.write_bytes((pictures / "pear" / "001.png").read_bytes())
    bundle = tiny_bundle(classes=(EVIL, *FRUITS[1:]))
    file = write_page(bundle, evil, tmp_path / "model.html").path
    text = file.read_text(encoding="utf-8")
    assert "alert" not in text
    assert "onerror" not in text
    assert documents(file)["overview"]["model"]["classes"][0] == EVIL


def test_what_has_no_room_is_left_out_and_named(
    write_page: Callable[..., Written], tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    everything = write_page(tiny_bundle(), pictures / "pear" / "001.png", tmp_path / "a.html").path
    limit = everything.stat().st_size * 2 // 3
    monkeypatch.setattr(inside_page, "LIMIT_BYTES", limit)
    monkeypatch.setattr(inside_page, "RESERVED_BYTES", 2_000)
    written = write_page(tiny_bundle(), pictures / "pear" / "001.png", tmp_path / "b.html")
    told = documents(written.path)
    assert written.path.stat().st_size <= limit
    assert {"overview", "structure", "layers", "attention"} <= set(told)
    missing = set(documents(everything)) - set(told)
    assert missing
    for key in missing:
        assert any(item.startswith(f"{key}:") for item in told["left_out"]["items"])


def test_without_a_picture_the_rest_is_there(write_page: Callable[..., Written], tmp_path: Path) -> None:
    written = write_page(tiny_bundle(), None, tmp_path / "model.html")
    assert not any(key.startswith("attention") for key in documents(written.path))
    assert "--image" in written.notices[0]


def test_nothing_is_written_where_it_cannot_be(
    write_page: Callable[..., Written], tmp_path: Path, template: Path, pictures: Path
) -> None:
    target = tmp_path / "model.html"
    with pytest.raises(RequestError, match=r"ends in \.html"):
        write_page(tiny_bundle(), None, tmp_path / "model.png")
    with pytest.raises(RequestError, match="no folder"):
        write_page(tiny_bundle(), None, tmp_path / "nowhere" / "model.html")
    with pytest.raises(RequestError, match=r"missing\.png"):
        write_page(tiny_bundle(), tmp_path / "missing.png", target)
    template.write_text("no marker", encoding="utf-8")
    with pytest.raises(RequestError, match="not a template"):
        write_page(tiny_bundle(), None, target)
    template.unlink()
    with pytest.raises(RequestError, match="front end is not built"):
        write_page(tiny_bundle(), None, target)
    assert not target.exists()


def test_pictures_that_were_moved_away_cost_the_attention_alone(
    write_page: Callable[..., Written], tmp_path: Path, pictures: Path
) -> None:
    place = Workspace(tmp_path / "workspace")
    run = save_run(place, tiny_bundle(), pictures)
    first, second, *_ = [choice["id"] for choice in Views(run, place).document("overview")["pinned"]]
    manifest = Manifest.load(run.folder / "manifest.parquet")
    paths = {f"sample:{one.sample_id}": one.path for one in map(manifest.sample, range(len(manifest)))}
    paths[first].unlink()
    told = documents(write_page(run, None, tmp_path / "a.html", workspace=place).path)
    assert told["attention"]["image"]["id"] == second
    assert any(item.startswith(f"attention on {first}: ") for item in told["left_out"]["items"])
    pictures.rename(tmp_path / "elsewhere")
    written = write_page(run, None, tmp_path / "b.html", workspace=place)
    told = documents(written.path)
    assert {"overview", "structure", "layers", "layer/0"} <= set(told)
    assert not any(key.startswith(("attention", "heads")) for key in told)
    assert "none of its own can be read" in written.notices[0]
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    with pytest.raises(RequestError, match="not an image"):
        write_page(run, broken, tmp_path / "c.html", workspace=place)


def test_a_layer_that_is_too_large_is_left_out_and_named(
    write_page: Callable[..., Written], tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vitscope.workflows.documents.attention.MOST_BYTES", 2 * 3 * 17 * 17 - 1)
    told = documents(write_page(tiny_bundle(), pictures / "pear" / "001.png", tmp_path / "a.html").path)
    assert "attention" in told and "attention/0" not in told
    assert any(item.startswith("attention/1: 1.7 kB") for item in told["left_out"]["items"])
