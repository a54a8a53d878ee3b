from __future__ import annotations

import base64
import gc
import io
import json
import math
import re
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from sklearn.metrics import roc_auc_score

from tests.inspection.tiny import ALL, SIDE, tiny
from tests.trained import FRUITS, save_run, tiny_bundle
from vitscope.config import DataConfig
from vitscope.data.manifest import Manifest
from vitscope.data.sources.shapes import mask_of
from vitscope.errors import RequestError
from vitscope.inspection import attention as measure
from vitscope.inspection import snapshots
from vitscope.inspection.probe import capture
from vitscope.inspection.tokens import tokens_of
from vitscope.inspection.weights import linears
from vitscope.models.bundle import ModelBundle
from vitscope.preprocess import Preprocess
from vitscope.storage.artifacts import point
from vitscope.storage.runs import create_run
from vitscope.storage.workspace import Workspace
from vitscope.visualization.document import to_json, unpack
from vitscope.workflows.data import prepare
from vitscope.workflows.moments import KEPT, NoWeights
from vitscope.workflows.pictures import upload_id
from vitscope.workflows.run import Run
from vitscope.workflows.views import KEYS, Views

QUERIES = {"layer/INDEX": "layer/1", "attention/LAYER": "attention/1"}


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def run(place: Workspace, pictures: Path) -> Run:
    """Two checkpoints of one model, its weights at the start, and a time line of three moments."""
    run = save_run(place, tiny_bundle(), pictures, steps=2)
    folder, first = run.folder / "snapshots", tiny_bundle(seed=9)
    manifest = Manifest.load(run.folder / "manifest.parquet").of_split("val")
    pinned = [snapshots.Pinned(manifest.sample(i).sample_id, FRUITS[manifest.sample(i).label], "val") for i in range(2)]
    snapshots.write_pinned(folder, pinned, first.module)
    snapshots.write_initial(folder, first.module.state_dict())
    fed = torch.stack([first.preprocess(manifest.sample(i).path) for i in range(2)])
    edges = snapshots.fixed_edges(first.module)
    for step in (0, 1, 7):
        arrays = snapshots.take(first.module, fed, tokens_of(first.module, 32), first.module.state_dict(), edges)
        snapshots.write(folder, step, step / 4, 0.1, [one.sample_id for one in pinned], arrays)
    return run


@pytest.fixture
def views(run: Run, place: Workspace) -> Views:
    return Views(run.id, place)


def sample(run: Run, split: str = "val", row: int = 0) -> tuple[str, Path, str]:
    manifest = Manifest.load(run.folder / "manifest.parquet").of_split(split)
    one = manifest.sample(row)
    return f"sample:{one.sample_id}", one.path, manifest.classes[one.label]


def test_every_document_is_strict_json(views: Views) -> None:
    for key in KEYS:
        told = json.loads(to_json(views.document(QUERIES.get(key, key))))
        assert isinstance(told, dict), key


def test_overview(views: Views, run: Run) -> None:
    told = views.document("overview")
    bundle = tiny_bundle()
    assert told["model"] == {
        "name": "vit_tiny_patch16_224",
        "family": "vit",
        "parameters": sum(p.numel() for p in bundle.module.parameters()),
        "flops": views.document("structure")["nodes"][0]["flops"],
        "image_size": 32,
        "patch_size": [8, 8],
        "grid": [4, 4],
        "prefix_tokens": 1,
        "has_class_token": True,
        "reads": "class token",
        "embed_dim": 48,
        "depth": 2,
        "num_heads": 3,
        "classes": list(FRUITS),
    }
    assert told["attention"] == {"kind": "global", "reason": ""}
    assert [(m["id"], m["step"], m["is_checkpoint"]) for m in told["moments"]] == [
        ("initial", 0, True),
        ("step-00000001", 1, True),
        ("step-00000002", 2, True),
        ("best", 2, True),
        ("last", 2, True),
        ("step-00000007", 7, False),
    ]
    assert told["moments"][1]["epoch"] == 0.25
    assert told["moments"][-1]["epoch"] == 1.75
    assert told["pinned"][0] == {"id": sample(run)[0], "label": sample(run)[2], "split": "val"}
    assert told["run"] == {"id": run.id, "name": "fruits", "status": run.status, "step": 0, "total_steps": None}


def test_pictures_to_begin_with_where_none_was_pinned(place: Workspace, pictures: Path) -> None:
    run = save_run(place, tiny_bundle(), pictures)
    told = Views(run.id, place).document("overview")
    assert {choice["split"] for choice in told["pinned"]} == {"val"}
    with pytest.raises(RequestError, match="no time line"):
        Views(run.id, place).document("timeline")
    assert Views(run.id, place).document("timeline/layers") == {"layers": [], "moments": []}


# ------------------------------------------------------------------------------------------------ layers


def test_layers_tell_the_change_since_the_start(views: Views) -> None:
    now, start = tiny_bundle().module.state_dict(), tiny_bundle(seed=9).module.state_dict()
    for layer in views.document("layers")["layers"]:
        a, b = (state[f"{layer['id']}.weight"].double().flatten(1) for state in (now, start))
        assert layer["change"]["relative_frobenius"] == pytest.approx(float((a - b).norm() / b.norm()))
        assert layer["singular_count"] == min(a.shape)
        values = unpack(layer["singular_values"])
        np.testing.assert_allclose(values, torch.linalg.svdvals(a)[:64], rtol=1e-5)
    assert views.document("layers", at="initial")["layers"][0]["change"]["relative_frobenius"] == 0.0


def test_a_tile_is_the_weights_themselves(views: Views) -> None:
    layer = linears(tiny_bundle().module)[1]
    told = views.document("layer/1", rows="10:20", cols="4:40")
    assert (told["rows"], told["cols"], told["cell"]) == ([10, 20], [4, 40], [1, 1])
    np.testing.assert_array_equal(unpack(told["mean"]), layer.weight[10:20, 4:40])
    assert told["low"] is None
    assert told["high"] is None
    assert layer.bias is not None
    np.testing.assert_array_equal(unpack(told["biases"]), layer.bias[10:20])
    assert told["scale"] == float(layer.weight.abs().max())
    coarse = views.document("layer/1", cells="10")
    assert coarse["cell"] == [15, 5]
    assert unpack(coarse["high"])[0, 0] == float(layer.weight[:15, :5].max())
    moved = views.document("layer/1", of="change", rows="0:3", cols="0:3")
    before = linears(tiny_bundle(seed=9).module)[1].weight
    np.testing.assert_array_equal(unpack(moved["mean"]), (layer.weight - before)[:3, :3])
    assert moved["biases"] is None
    np.testing.assert_array_equal(unpack(views.whole_layer(1)["mean"]), layer.weight)


def test_the_moment_decides_the_weights(views: Views, run: Run) -> None:
    start = linears(tiny_bundle(seed=9).module)[3].weight
    np.testing.assert_array_equal(unpack(views.document("layer/3", at="initial")["mean"]), start)
    now = linears(tiny_bundle().module)[3].weight
    for at in ("best", "last", "step-00000001"):
        np.testing.assert_array_equal(unpack(views.document("layer/3", at=at)["mean"]), now)
    other = tiny_bundle(seed=11)
    other.save(run.folder / "checkpoints" / "step-00000002")  # the best is another from now on
    np.testing.assert_array_equal(unpack(views.document("layer/3")["mean"]), linears(other.module)[3].weight)


def test_filters_show_the_patch_embedding(views: Views) -> None:
    told = views.document("filters")
    weight = linears(tiny_bundle().module)[0].weight.reshape(48, 3, 8, 8)
    shown = unpack(told["patch"]["pixels"])
    assert told["scale"] == float(weight.abs().max())
    np.testing.assert_allclose(
        (shown.astype(float) - 127.5) / 127.5, weight.permute(0, 2, 3, 1) / told["scale"], atol=0.004
    )
    module: Any = tiny_bundle().module
    rows = module.pos_embed[0, 1:].detach().numpy()
    expected = rows @ rows.T / np.outer(np.linalg.norm(rows, axis=1), np.linalg.norm(rows, axis=1))
    assert told["position"]["grid"] == [4, 4]
    np.testing.assert_allclose(unpack(told["position"]["similarity"]).reshape(16, 16), expected, atol=1e-3)


# ------------------------------------------------------------------------------------------------ attention


def test_attention_on_a_picture_of_the_run(views: Views, run: Run) -> None:
    name, path, label = sample(run, row=1)
    bundle = tiny_bundle()
    fed = bundle.preprocess(path)[None]
    probed = capture(bundle.module, fed)
    told = views.document("attention", image=name)
    assert (told["image"]["id"], told["image"]["label"], told["kind"]) == (name, label, "global")
    assert (told["layers"], told["heads"], told["tokens"], told["grid"]) == (2, [3, 3], 17, [4, 4])
    with Image.open(io.BytesIO(base64.b64decode(told["image"]["pixels"].partition(",")[2]))) as shown:
        seen = torch.from_numpy(np.array(shown)).permute(2, 0, 1).float()
    black, white = (bundle.preprocess.normalize(torch.full_like(seen, end)) for end in (0.0, 255.0))
    expected = fed[0].clamp(black, white)  # where the filter overshoots there is no colour to show it
    torch.testing.assert_close(bundle.preprocess.normalize(seen), expected, atol=0.01, rtol=0)
    shares = bundle.probabilities(fed)[0]
    assert [guess["label"] for guess in told["prediction"]] == [FRUITS[i] for i in shares.argsort(descending=True)]
    assert told["prediction"][0]["probability"] == pytest.approx(float(shares.max()), abs=1e-5)
    for layer in range(2):
        weights = unpack(views.document(f"attention/{layer}", image=name)["weights"])
        np.testing.assert_allclose(weights, probed.attention[layer][0], atol=1e-3)
        largest = probed.attention[layer][0, :, 0, 1:].max(axis=-1)
        np.testing.assert_allclose(unpack(told["thumbnail_max"])[layer], largest, rtol=1e-6)
        mapped = unpack(told["thumbnails"])[layer].reshape(3, 16) / 255 * largest[:, None]
        np.testing.assert_allclose(mapped, probed.attention[layer][0, :, 0, 1:], atol=0.003)
    np.testing.assert_allclose(unpack(told["rollout"]), measure.rollout(probed.attention)[:, 0, 0], rtol=1e-5)
    np.testing.assert_allclose(unpack(told["entropy"])[1], measure.entropy(probed.attention[1])[0], rtol=1e-5)
    assert told["score"] is None


def test_heads_are_means_over_pictures(views: Views, run: Run) -> None:
    bundle = tiny_bundle()
    manifest = Manifest.load(run.folder / "manifest.parquet").of_split("train")
    chosen = sorted(range(len(manifest)), key=lambda row: manifest.sample(row).sample_id)[:5]
    fed = torch.stack([bundle.preprocess(manifest.sample(row).path) for row in chosen])
    each = np.stack([measure.entropy(weights) for weights in capture(bundle.module, fed).attention], axis=1)
    told = views.document("heads", split="train", count="5")
    assert (told["count"], told["is_complete"]) == (5, True)
    np.testing.assert_allclose(unpack(told["entropy"]), each.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(unpack(told["entropy_std"]), each.std(axis=0), atol=1e-5)
    assert told["max_entropy"] == pytest.approx(math.log(17))
    assert told["largest_distance"] == pytest.approx(math.hypot(24, 24))


def test_what_is_slow_can_come_in_parts(views: Views, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = [views.document("heads", split="train", count="3"), views.document("layers")]
    monkeypatch.setattr("vitscope.workflows.views.PATIENCE_S", 1e-9)
    views._measured.clear()
    views._made.clear()
    counts = [views.document("heads", split="train", count="3", partial="1") for _ in range(3)]
    assert [(d["count"], d["is_complete"]) for d in counts] == [(1, False), (2, False), (3, True)]
    np.testing.assert_allclose(unpack(counts[-1]["entropy"]), unpack(whole[0]["entropy"]), rtol=1e-5)
    monkeypatch.setattr("vitscope.workflows.views.PATIENCE_S", -1.0)
    first = views.document("layers", partial="1")
    assert not first["is_complete"]
    assert {(one["singular_values"], one["spectral"]) for one in first["layers"]} == {(None, None)}
    assert [one["mean"] for one in first["layers"]] == [one["mean"] for one in whole[1]["layers"]]
    monkeypatch.setattr("vitscope.workflows.views.PATIENCE_S", 60.0)
    assert views.document("layers", partial="1") == whole[1]
    assert whole[1]["is_complete"]


def test_a_picture_that_is_gone_is_not_counted(views: Views, run: Run) -> None:
    manifest = Manifest.load(run.folder / "manifest.parquet").of_split("val")
    count = len(manifest)
    manifest.sample(0).path.unlink()
    assert views.document("heads")["count"] == count - 1
    with pytest.raises(RequestError, match="no such file"):
        views.document("attention", image=sample(run)[0])


@pytest.mark.parametrize("name", ALL)
def test_every_family_has_every_document(name: str, place: Workspace, pictures: Path) -> None:
    bundle = ModelBundle(tiny(name), name, ALL[name], FRUITS, Preprocess(SIDE))
    views = Views(bundle, place, images=[pictures / "apple" / "000.png"])
    kind = views.document("overview")["attention"]["kind"]
    told = json.loads(to_json(views.document("attention")))
    assert told["kind"] == kind != "none"
    for layer in range(told["layers"]):
        weights = unpack(views.document(f"attention/{layer}")["weights"])
        np.testing.assert_allclose(weights.astype(float).sum(axis=-1), 1.0, atol=0.01)
        assert weights.shape[-3] == told["heads"][layer]
    assert [int(np.isfinite(row).sum()) for row in unpack(told["entropy"])] == told["heads"]
    assert (told["rollout"] is not None) == (kind == "global") == (told["rollout_reason"] == "")
    assert (told["thumbnails"] is None) == (kind == "channel")
    if told["thumbnails"] is not None:
        assert unpack(told["thumbnails"]).shape[2:] == tuple(told["grid"])
    for key in ("structure", "layers", "filters", "layer/0"):
        json.loads(to_json(views.document(key)))


def test_windows_that_do_not_divide_the_picture(place: Workspace, pictures: Path) -> None:
    name = "swin_tiny_patch4_window7_224"
    kwargs = {**ALL[name], "img_size": 30}  # 15 patches a side, then 8; windows of 4
    module = timm.create_model(name, num_classes=len(FRUITS), **kwargs).eval()
    views = Views(
        ModelBundle(module, name, kwargs, FRUITS, Preprocess(30)), place, images=[pictures / "pear" / "000.png"]
    )
    told = views.document("attention")
    assert (told["kind"], told["grid"], unpack(told["thumbnails"]).shape) == ("window", [15, 15], (4, 4, 15, 15))
    assert np.isfinite(unpack(told["distance"])[:, 0]).all()
    assert [views.document(f"attention/{layer}")["windows"] for layer in range(4)] == [[4, 4], [4, 4], [2, 2], [2, 2]]


def test_the_object_is_scored_where_its_mask_is_known(place: Workspace) -> None:
    bundle = tiny_bundle(preprocess=Preprocess(32), classes=("a", "b", "c", "d", "e", "f"))
    row = create_run(place.database, name="shapes", source="shapes", model=bundle.name)
    folder = place.run_folder(row.id) / "checkpoints" / "step-00000001"
    folder.mkdir(parents=True)
    bundle.save(folder)
    point(folder.with_name("best"), folder)
    manifest = prepare(DataConfig(source="shapes:count=40,size=32"), place).manifest
    manifest.save(folder.parents[1] / "manifest.parquet", within=place.root)
    views = Views(row.id, place)
    part = manifest.of_split("val")
    one = part.sample(0)
    told = views.document("attention", image=f"sample:{one.sample_id}")
    mask_file = mask_of(one.path)
    assert mask_file is not None
    with Image.open(mask_file) as drawn:
        truth = np.asarray(drawn.convert("L")) > 127
    np.testing.assert_array_equal(unpack(told["image"]["mask"]) > 0, truth)
    share = truth.reshape(4, 8, 4, 8).mean(axis=(1, 3)).ravel()
    looked = unpack(told["rollout"])[-1, 1:]
    if 0 < (share > 0.5).sum() < 16:
        assert told["score"]["rollout_auc"] == pytest.approx(roc_auc_score(share > 0.5, looked), abs=1e-6)
    assert told["score"]["object_share"] == pytest.approx(truth.mean(), abs=1e-6)
    assert views.document("heads", count="2")["score"]["count"] == 2


# ------------------------------------------------------------------------------------------------ time line


def test_timeline_is_what_was_recorded(views: Views, run: Run) -> None:
    name, path, label = sample(run, row=1)
    told = views.document("timeline", image=name)
    assert [(m["step"], m["epoch"]) for m in told["moments"]] == [(0, 0.0), (1, 0.25), (7, 1.75)]
    assert told["image"]["label"] == label
    first = tiny_bundle(seed=9)
    probed = capture(first.module, first.preprocess(path)[None])
    moment = told["moments"][0]
    np.testing.assert_allclose(unpack(moment["entropy"])[0], measure.entropy(probed.attention[0])[0], rtol=1e-5)
    assert moment["prediction"][0]["label"] == FRUITS[int(probed.logits[0].argmax())]
    assert unpack(moment["rollout"]).shape == (2, 4, 4)
    layers = views.document("timeline/layers")
    assert [layer["id"] for layer in layers["layers"]] == [layer.id for layer in linears(first.module)]
    assert unpack(layers["moments"][2]["change"]).tolist() == [0.0] * len(layers["layers"])
    with pytest.raises(RequestError, match="does not follow"):
        views.document("timeline", image=sample(run, "train")[0])


# ------------------------------------------------------------------------------------------------ requests


@pytest.mark.parametrize(
    ("key", "query"),
    [
        ("attention/", {}),
        ("layer/x", {}),
        ("layer/-1", {}),
        ("layer/ 1", {}),
        ("layer/99", {}),
        ("layer/INDEX", {}),
        ("attention/2", {}),
        ("attention/1", {"heads": "0:4"}),
        ("attention/1", {"rows": "17:18"}),
        ("../overview", {}),
        ("", {}),
        ("overview", {"at": "best"}),
        ("layers", {"at": "step-00000099"}),
        ("layers", {"at": "step-00000007"}),
        ("layers", {"at": "../checkpoints/best"}),
        ("layers", {"image": "x"}),
        ("layer/0", {"rows": "3:3"}),
        ("layer/0", {"rows": "0:49"}),
        ("layer/0", {"cols": "-1:4"}),
        ("layer/0", {"cols": "1:２"}),
        ("layer/0", {"cells": "0"}),
        ("layer/0", {"cells": "100000"}),
        ("layer/0", {"of": "bias"}),
        ("attention", {"image": "/etc/passwd"}),
        ("attention", {"image": "upload:../../x"}),
        ("attention", {"image": "sample:0123456789abcdef"}),
        ("attention", {"image": f"upload:{'0' * 64}"}),
        ("heads", {"split": "all"}),
        ("heads", {"count": "257"}),
        ("heads", {"count": "1e2"}),
    ],
)
def test_a_wrong_request_is_told_as_one(views: Views, key: str, query: dict[str, str]) -> None:
    with pytest.raises(RequestError) as told:
        views.document(key, **query)
    assert "\n" not in str(told.value)


def test_an_upload_is_found_by_its_sum_alone(views: Views, place: Workspace, pictures: Path) -> None:
    content = (pictures / "plum" / "001.png").read_bytes()
    name = upload_id(content)
    uploads = place.cache_folder / "uploads"
    uploads.mkdir(parents=True)
    (uploads / name.partition(":")[2]).write_bytes(content)
    assert views.document("attention", image=name)["image"]["label"] is None
    (uploads / ("f" * 64)).write_bytes(b"no picture")
    with pytest.raises(RequestError, match=r"^The picture: not an image"):
        views.document("attention", image=f"upload:{'f' * 64}")


def test_a_run_without_weights_says_so(place: Workspace) -> None:
    row = create_run(place.database, name="young", source="x", model="vit_tiny_patch16_224")
    with pytest.raises(NoWeights, match="no checkpoint yet"):
        Views(row.id, place).document("overview")
    with pytest.raises(RequestError, match="Unknown run"):
        Views("nobody", place)


def test_a_model_by_path_has_no_other_moments(run: Run, place: Workspace, tmp_path: Path) -> None:
    checkpoint = run.folder / "checkpoints" / "step-00000001"
    views = Views(checkpoint, place)
    told = views.document("overview")
    assert [(m["id"], m["is_checkpoint"]) for m in told["moments"]] == [("best", True)]
    assert told["run"] is None
    assert views.document("layers")["layers"][0]["change"] is not None  # the run that it lies in knows the start
    alone = tmp_path / "alone"
    alone.mkdir()
    tiny_bundle().save(alone)
    bare = Views(alone, place)
    assert bare.document("layers")["layers"][0]["change"] is None
    for key, query in (
        ("attention", {}),
        ("heads", {}),
        ("timeline", {}),
        ("layers", {"at": "initial"}),
        ("layer/0", {"of": "change"}),
    ):
        with pytest.raises(RequestError):
            bare.document(key, **query)


def test_looking_changes_nothing(views: Views, run: Run) -> None:
    before = {file: file.read_bytes() for file in sorted(run.folder.rglob("*")) if file.is_file()}
    bundle = tiny_bundle()
    own = Views(replace(bundle), images=[np.zeros((9, 9, 3), np.uint8)])
    weights = {k: v.clone() for k, v in bundle.module.state_dict().items()}
    generator = torch.get_rng_state()
    for source in (views, own):
        for key in ("overview", "structure", "layers", "layer/0", "filters", "attention", "attention/0"):
            source.document(key)
    assert torch.equal(torch.get_rng_state(), generator)
    assert all(torch.equal(weights[k], v) for k, v in bundle.module.state_dict().items())
    assert {file: file.read_bytes() for file in sorted(run.folder.rglob("*")) if file.is_file()} == before


# ------------------------------------------------------------------------------------------------ whose rows


def test_what_the_classifier_does_not_read_says_nothing_of_where_it_looks(place: Workspace, pictures: Path) -> None:
    """Averaging models: maps and rollout are means over the patches' rows, by hand."""
    bundle, image = tiny_bundle(global_pool="avg"), pictures / "apple" / "000.png"
    views = Views(bundle, place, images=[image])
    told = views.document("attention")
    assert (told["reads"], views.document("overview")["model"]["reads"]) == ("patches", "patches")
    assert views.document("overview")["model"]["has_class_token"]
    weights = capture(bundle.module, bundle.preprocess(image)[None]).attention
    for layer in range(2):
        row = weights[layer][0, :, 1:, 1:].astype(float).mean(axis=1)
        largest = row.max(axis=-1)
        np.testing.assert_allclose(unpack(told["thumbnail_max"])[layer], largest, rtol=1e-6)
        mapped = unpack(told["thumbnails"])[layer].reshape(3, 16) / 255 * largest[:, None]
        np.testing.assert_allclose(mapped, row, atol=0.003)
    np.testing.assert_allclose(unpack(told["rollout"]), measure.rollout(weights)[:, 0, 1:].mean(axis=1), rtol=1e-5)
    token = Views(tiny_bundle(global_pool="token"), place, images=[image]).document("attention")
    assert token["reads"] == "class token"
    assert token["thumbnails"] != told["thumbnails"]


def test_old_moments_are_of_the_class_token(run: Run, place: Workspace) -> None:
    file = snapshots.moment_file(run.folder / "snapshots", 1)
    with np.load(file) as content:
        arrays = {name: content[name] for name in content.files if name != "reads"}
    np.savez(file, **arrays)
    assert [one["reads"] for one in Views(run.id, place).document("timeline")["moments"]] == ["class token"] * 3


@pytest.mark.parametrize("name", ["swin_tiny_patch4_window7_224", "vit_tiny_patch16_224", "cait_xxs24_224"])
def test_a_head_that_looks_everywhere_the_same(name: str, place: Workspace, pictures: Path) -> None:
    """Queries and keys of zero: what the model then measures is what the document says of such a head."""
    module: Any = tiny(name)
    for part in module.modules():
        if isinstance(getattr(part, "attn_drop", None), torch.nn.Module):
            for weight in part.parameters():
                torch.nn.init.zeros_(weight)
    bundle = ModelBundle(module, name, ALL[name], FRUITS, Preprocess(SIDE))
    views = Views(bundle, place)
    views.pictures = Views(save_run(place, tiny_bundle(), pictures).id, place).pictures
    told = views.document("heads", count="2")
    if told["kind"] == "class":
        assert (told["uniform_entropy"], told["uniform_distance"]) == (None, None)
        return
    plain = slice(None, None, 2) if told["kind"] == "window" else slice(None)  # a shifted window has a mask besides
    for what in ("entropy", "distance"):
        measured, uniform = unpack(told[what])[plain], unpack(told[f"uniform_{what}"])[plain]
        expected = np.where(np.isnan(measured), np.nan, uniform[:, None])
        np.testing.assert_allclose(measured, expected, rtol=1e-5)
    if told["kind"] == "window":  # 4 × 4 patches of 2 and of 4 pixels, by hand
        corners = [math.hypot(a - c, b - d) for a in range(4) for b in range(4) for c in range(4) for d in range(4)]
        np.testing.assert_allclose(
            unpack(told["uniform_distance"]), np.mean(corners) * np.array([2, 2, 4, 4]), rtol=1e-6
        )
        np.testing.assert_allclose(unpack(told["uniform_entropy"]), [math.log(16)] * 4, rtol=1e-6)


# ------------------------------------------------------------------------------------------------ why there is none


@pytest.mark.parametrize(
    ("name", "kwargs", "side", "why"),
    [
        ("nest_tiny", {}, 224, "every token"),
        ("pvt_v2_b0", {"depths": (1, 1, 1, 1)}, 64, "Only|every token|different numbers"),
        ("crossvit_tiny_240", {}, 240, "different numbers|every token"),
        (
            "vit_dlittle_patch16_reg1_gap_256",
            {"img_size": 32, "depth": 2, "embed_dim": 40, "num_heads": 5},
            32,
            "difference",
        ),
    ],
)
def test_the_overview_says_what_the_documents_show(
    name: str, kwargs: dict[str, Any], side: int, why: str, place: Workspace, pictures: Path
) -> None:
    module = timm.create_model(name, num_classes=len(FRUITS), **kwargs).eval()
    image = pictures / "apple" / "000.png"
    views = Views(ModelBundle(module, name, kwargs, FRUITS, Preprocess(side)), place, images=[image])
    told, overview = views.document("attention"), views.document("overview")["attention"]
    assert told["kind"] == overview["kind"] == "none"
    assert told["reason"] == overview["reason"] == told["rollout_reason"]
    assert re.search(why, overview["reason"])


# ------------------------------------------------------------------------------------------------ what is kept


def test_every_moment_has_its_own_numbers(views: Views) -> None:
    """Nothing that was kept of one moment is shown for another."""
    for key in ("filters", "attention", "heads", "layers"):
        now, start = views.document(key), views.document(key, at="initial")
        fresh = {"filters": "patch", "attention": "entropy", "heads": "entropy", "layers": "layers"}[key]
        assert now[fresh] != start[fresh], key
        assert views.document(key)[fresh] == now[fresh], key


def test_models_that_are_closed_leave_memory(views: Views, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two models stay open, whatever was told of others: also where nobody asked for a list of layers to the end."""
    monkeypatch.setattr("vitscope.workflows.views.PATIENCE_S", -1.0)
    alive = []
    for seed in range(5):
        tiny_bundle(seed=seed).save(run.folder / "checkpoints" / "step-00000002")
        assert not views.document("layers", partial="1")["is_complete"]
        for key in ("filters", "attention", "layer/0"):
            views.document(key)
        module: Any = views.moments.open().bundle.module
        alive.append(weakref.ref(module))
        held = module.blocks[0].attn.qkv.weight.untyped_storage().data_ptr()
        assert not any(
            tensor.untyped_storage().data_ptr() == held for kept in views._made.values() for tensor in tensors_in(kept)
        )
        del module
    gc.collect()
    assert sum(one() is not None for one in alive) == KEPT == 2


def tensors_in(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, dict):
        return [found for part in value.values() for found in tensors_in(part)]
    if isinstance(value, (list, tuple)):
        return [found for part in value for found in tensors_in(part)]
    return tensors_in(vars(value)) if hasattr(value, "__dict__") else []


def test_a_new_moment_costs_the_reading_of_one_file(views: Views, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    views.document("timeline")
    read: list[int] = []
    honest = snapshots.read_moment
    monkeypatch.setattr(snapshots, "read_moment", lambda folder, step: read.append(step) or honest(folder, step))
    file = snapshots.moment_file(run.folder / "snapshots", 7)
    file.with_name("step-00000009.npz").write_bytes(file.read_bytes())
    assert len(views.document("timeline/layers")["moments"]) == 4
    assert read == [9]
    file.unlink()
    assert len(views.document("timeline")["moments"]) == 3
    assert read == [9]


def test_a_picture_that_was_rewritten_is_seen_anew(views: Views, run: Run) -> None:
    name, path, _ = sample(run)
    before = views.document("attention", image=name)
    heads = views.document("heads")
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)).save(path)
    after = views.document("attention", image=name)
    fresh = Views(run.id, views._place)
    assert after["image"]["pixels"] != before["image"]["pixels"]
    assert after == fresh.document("attention", image=name)
    assert views.document("attention/0", image=name) == fresh.document("attention/0", image=name)
    assert views.document("heads")["entropy"] != heads["entropy"]
    assert views.document("heads") == fresh.document("heads")


def test_a_picture_that_was_moved_is_not_the_first_one(views: Views, run: Run) -> None:
    sample(run)[1].unlink()
    for key in ("attention", "timeline"):
        assert views.document(key)["image"]["id"] == sample(run, row=1)[0]
        with pytest.raises(RequestError, match="no such file"):
            views.document(key, image=sample(run)[0])


# ------------------------------------------------------------------------------------------------ large layers


def test_a_large_layer_comes_in_parts(views: Views, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = views.document("attention/1")
    every = unpack(whole["weights"])
    assert (whole["heads"], whole["rows"], whole["shape"]) == ([0, 3], [0, 17], [3, 17, 17])
    part = views.document("attention/1", heads="1:3", rows="4:9")
    np.testing.assert_array_equal(unpack(part["weights"]), every[1:3, 4:9])
    assert (part["heads"], part["rows"]) == ([1, 3], [4, 9])
    assert views.document("attention")["layer_bytes"] == [2 * 3 * 17 * 17] * 2
    for most, asked, hint in ((2 * 2 * 17 * 17, {}, "heads=0:2"), (2 * 17 * 5, {"heads": "1:2"}, "rows=0:5")):
        monkeypatch.setattr("vitscope.workflows.documents.attention.MOST_BYTES", most)
        with pytest.raises(RequestError, match=hint):
            views.document("attention/1", **asked)
        told = dict(asked, **dict([hint.split("=")]))
        assert 2 * unpack(views.document("attention/1", **told)["weights"]).size <= most
