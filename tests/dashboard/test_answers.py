"""What the process beside the dashboard answers, asked without a process: pictures, names, and real documents."""

from __future__ import annotations

import io
import json
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import draw_folder
from tests.trained import FRUITS, save_run, tiny_bundle
from vitscope.dashboard.answers import KEPT, Answerer
from vitscope.dashboard.child import Refusal
from vitscope.data.manifest import Manifest
from vitscope.errors import Conflict, RequestError
from vitscope.models.families import FAMILIES
from vitscope.preprocess import decode
from vitscope.storage import runs
from vitscope.storage.workspace import Workspace
from vitscope.visualization.document import unpack
from vitscope.workflows.inspect import inspect
from vitscope.workflows.run import Run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    place = tmp_path_factory.mktemp("answers")
    pictures = draw_folder(place / "pictures", dict.fromkeys(FRUITS, 20))
    return save_run(Workspace(place / "ws"), tiny_bundle(), pictures)


@pytest.fixture(scope="module")
def answerer(run: Run) -> Answerer:
    return Answerer(run.workspace)


def test_pictures_of_a_split_are_listed_with_their_classes(answerer: Answerer, run: Run):
    manifest = Manifest.load(run.folder / "manifest.parquet")
    expected = {
        f"sample:{i}": manifest.classes[label]
        for i, label, split in zip(
            *(manifest.table[c].to_pylist() for c in ("sample_id", "label", "split")), strict=True
        )
        if split == "test"
    }
    told = json.loads(answerer.images({"run": run.id, "split": "test", "offset": 0, "limit": 500}).data)
    assert {image["id"]: image["label"] for image in told["images"]} == expected
    assert told["total"] == len(expected)
    assert told["splits"] == {split: len(manifest.of_split(split)) for split in ("train", "val", "test")}
    page = json.loads(answerer.images({"run": run.id, "split": "test", "offset": 3, "limit": 4}).data)["images"]
    assert page == told["images"][3:7]
    assert len({image["label"] for image in told["images"][:6]}) > 1  # not class by class


def test_a_thumbnail_is_the_picture(answerer: Answerer, run: Run):
    manifest = Manifest.load(run.folder / "manifest.parquet")
    sample = manifest.sample(0)
    content = answerer.thumbnail({"run": run.id, "image": f"sample:{sample.sample_id}", "side": 96})
    assert content.type == "image/png"
    small = np.asarray(Image.open(io.BytesIO(content.data)))
    pixels = decode(sample.path)  # 24 × 28: enlarged three times, each pixel as it is
    assert np.array_equal(small, pixels.repeat(3, 0).repeat(3, 1))
    large = answerer.thumbnail({"run": run.id, "image": f"sample:{sample.sample_id}", "side": 16})
    assert max(Image.open(io.BytesIO(large.data)).size) == 16


@pytest.mark.parametrize("image", ["sample:0123456789abcdef", "upload:" + "0" * 64, "../x", "sample:../x"])
def test_a_picture_that_is_not_there_is_told(answerer: Answerer, run: Run, image: str):
    with pytest.raises(RequestError):
        answerer.thumbnail({"run": run.id, "image": image, "side": 96})


def test_a_run_that_has_just_begun_has_no_pictures_yet_and_then_has(answerer: Answerer, run: Run):
    row = runs.create_run(run.workspace.database, name="new", source="s", model="m")
    asked = {"run": row.id, "split": "test", "offset": 0, "limit": 5}
    assert json.loads(answerer.images(asked).data) == {"total": 0, "images": [], "splits": {}}
    folder = run.workspace.run_folder(row.id)
    folder.mkdir()
    Manifest.load(run.folder / "manifest.parquet").save(folder / "manifest.parquet")
    assert json.loads(answerer.images(asked).data)["total"] > 0


def test_what_a_run_can_be_made_of(answerer: Answerer):
    told = json.loads(answerer.models({}).data)
    assert {model["family"] for model in told["models"]} >= set(FAMILIES)


def test_names_are_checked(answerer: Answerer):
    right = {"data": {"source": "digits"}, "recipe": "digits"}
    told = json.loads(answerer.check({"requested": right, "limit_s": 60}).data)
    assert told == {"is_checked": True}
    with pytest.raises(Refusal) as caught:
        wrong = {"data": {"source": "digits"}, "model": {"name": "vit_tny_patch16_224"}}
        answerer.check({"requested": wrong, "limit_s": 60})
    assert caught.value.status == 422
    assert "vit_tiny_patch16_224" in str(caught.value)


def test_what_training_would_refuse_is_refused_before(answerer: Answerer, tmp_path: Path):
    """An empty folder, pictures without class folders, one class alone, an image size that patches do not divide."""
    (tmp_path / "empty").mkdir()
    flat = draw_folder(tmp_path / "flat", {"cat": 2})
    for picture in (flat / "cat").iterdir():
        picture.rename(flat / picture.name)
    (flat / "cat").rmdir()
    one = draw_folder(tmp_path / "one", {"cat": 8})
    asked = [{"data": {"source": str(folder)}} for folder in (tmp_path / "empty", flat, one)]
    asked.append({"data": {"source": "digits"}, "model": {"name": "vit_tiny_patch16_224", "image_size": 31}})
    for requested in asked:
        with pytest.raises(Refusal) as caught:
            answerer.check({"requested": requested, "limit_s": 60})
        assert caught.value.status == 422, requested
        assert len(str(caught.value)) > 20


def test_a_check_that_takes_long_says_nothing_either_way(answerer: Answerer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("vitscope.dashboard.answers.check", lambda *_: time.sleep(30))
    began = time.monotonic()
    told = answerer.check({"requested": {"data": {"source": "digits"}}, "limit_s": 0.2})
    assert json.loads(told.data) == {"is_checked": False}
    assert time.monotonic() - began < 10
    time.sleep(0.3)  # no alarm is left behind


def test_why_a_file_cannot_be_used_is_told(answerer: Answerer, run: Run):
    folder = run.workspace.cache_folder / "uploads"
    folder.mkdir(parents=True, exist_ok=True)
    whole = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(whole, "JPEG")
    files = {
        b"": "an empty file",
        b"<svg/>": "not an image (6 bytes)",
        whole.getvalue()[:1500]: "a damaged image",
        _large_png(30_000): "more than 50 million pixels",
        _large_png(8_000): "64 million pixels",
    }
    for content, why in files.items():
        (folder / "sum").write_bytes(content)
        with pytest.raises(Refusal, match="cannot be used") as caught:
            answerer.upload({"sum": "sum"})
        assert why in str(caught.value)


def _large_png(side: int) -> bytes:
    """The head of one, which says how large it would be."""
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    packed = [struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def test_documents_are_those_of_the_model(answerer: Answerer, run: Run):
    """Attention as the public function gives it, which is tested against timm's own."""
    manifest = Manifest.load(run.folder / "manifest.parquet")
    sample = manifest.of_split("test").sample(0)
    query = {"image": f"sample:{sample.sample_id}"}
    content = answerer.document({"run": run.id, "key": "attention/1", "query": query, "threads": 1})
    told = json.loads(content.data)
    inside = inspect(run, sample.path)
    assert np.allclose(unpack(told["weights"]), inside.attention[1], atol=1e-3)  # sent with half precision
    overview = json.loads(answerer.document({"run": run.id, "key": "overview", "query": {}, "threads": 1}).data)
    assert overview["run"]["id"] == run.id
    assert overview["model"]["classes"] == list(FRUITS)


def test_a_run_without_weights_is_told_apart(answerer: Answerer, run: Run):
    row = runs.create_run(run.workspace.database, name="new", source="s", model="m")
    with pytest.raises(Conflict):
        answerer.document({"run": row.id, "key": "structure", "query": {}, "threads": 1})
    with pytest.raises(RequestError):
        answerer.document({"run": run.id, "key": "nothing", "query": {}, "threads": 1})


def test_a_folder_of_the_runs_name_where_the_person_is_changes_nothing(
    answerer: Answerer, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    bundle = tmp_path / run.id
    bundle.mkdir()
    tiny_bundle(classes=("x", "y")).save(bundle)
    answerer._views.clear()
    told = json.loads(answerer.document({"run": run.id, "key": "overview", "query": {}, "threads": 1}).data)
    assert told["model"]["classes"] == list(FRUITS)


def test_the_pictures_are_put_in_order_once(run: Run, monkeypatch: pytest.MonkeyPatch):
    answerer, asked = Answerer(run.workspace), []
    real = Manifest.of_split
    monkeypatch.setattr(Manifest, "of_split", lambda self, split: asked.append(split) or real(self, split))
    for offset in range(4):
        for split in ("test", "train"):
            told = json.loads(answerer.images({"run": run.id, "split": split, "offset": offset, "limit": 1}).data)
            assert [image["split"] for image in told["images"]] == [split]
    assert sorted(asked) == ["test", "train"]


def test_the_models_of_few_runs_are_kept_in_memory(tmp_path: Path):
    workspace = Workspace(tmp_path / "ws")
    pictures = draw_folder(tmp_path / "pictures", dict.fromkeys(FRUITS, 6))
    assert KEPT <= 4  # each is as large as its model
    made = [save_run(workspace, tiny_bundle(), pictures, name=f"run {i}") for i in range(KEPT + 2)]
    answerer = Answerer(workspace)
    for one in [*made[:KEPT], made[0], *made[KEPT:]]:  # the first is used again, so it stays longer
        answerer.document({"run": one.id, "key": "filters", "query": {}, "threads": 1})
        answerer.images({"run": one.id, "split": "test", "offset": 0, "limit": 1})
    expected = [one.id for one in (made[2], made[0], *made[KEPT:])][-KEPT:]
    assert list(answerer._views) == expected
    assert list(answerer._pictures) == expected


@pytest.mark.parametrize("key", ["attention", "attention/0", "heads"])
def test_a_picture_that_is_another_by_now_is_seen_as_it_is(tmp_path: Path, key: str):
    """On the disk, while its model stays in memory."""
    pictures = draw_folder(tmp_path / "pictures", dict.fromkeys(FRUITS, 6))
    run = save_run(Workspace(tmp_path / "ws"), tiny_bundle(), pictures)
    sample = Manifest.load(run.folder / "manifest.parquet").of_split("train").sample(0)
    query = {"split": "train", "count": "256"} if key == "heads" else {"image": f"sample:{sample.sample_id}"}
    asked = {"run": run.id, "key": key, "query": query, "threads": 1}
    answerer = Answerer(run.workspace)
    before = answerer.document(asked)
    assert str(sample.path.resolve()) in dict(before.files)
    assert answerer.document(asked) == before
    Image.fromarray(np.random.default_rng(1).integers(0, 255, (30, 30, 3), dtype=np.uint8)).save(sample.path)
    after = answerer.document(asked)
    assert after.data != before.data
    assert dict(after.files) != dict(before.files)
    assert after.data == Answerer(run.workspace).document(asked).data
