from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import vitscope
from tests.trained import FRUITS, answer, save_run, tiny_bundle
from vitscope.errors import RequestError
from vitscope.inspection import snapshots
from vitscope.storage.workspace import Workspace


def test_what_is_inside(pictures: Path) -> None:
    bundle, image = tiny_bundle(), pictures / "pear" / "002.png"
    inside = vitscope.inspect(bundle, image)
    assert isinstance(inside, vitscope.Inside)
    assert inside.pixels is not None
    np.testing.assert_array_equal(inside.pixels, bundle.preprocess(image)[None].numpy())
    assert inside.attention_kind == "global"
    assert [(w.shape, w.dtype) for w in inside.attention] == [((3, 17, 17), np.float32)] * 2
    assert inside.prediction is not None
    assert inside.prediction.path == str(image)
    expected = answer(bundle, image)
    assert inside.prediction.label == FRUITS[int(expected.argmax())]
    assert inside.prediction.probability == pytest.approx(float(expected.max()), abs=1e-6)
    # Fed again, the pixels give the same attention: nothing is hidden between the two.
    probed = vitscope.probe(bundle.module, inside.pixels)
    np.testing.assert_array_equal(probed.attention[1][0], inside.attention[1])


@pytest.mark.parametrize("form", ["path", "pillow", "array", "bytes"])
def test_an_image_is_an_image_in_every_form(pictures: Path, form: str) -> None:
    file = pictures / "plum" / "000.png"
    with Image.open(file) as opened:
        picture = opened.copy()
    images: dict[str, Any] = {"path": file, "pillow": picture, "array": np.asarray(picture), "bytes": file.read_bytes()}
    inside = vitscope.inspect(tiny_bundle(), images[form])
    np.testing.assert_array_equal(inside.attention[0], vitscope.inspect(tiny_bundle(), file).attention[0])


def test_the_structure_is_a_table_of_modules() -> None:
    bundle = tiny_bundle()
    table = vitscope.inspect(bundle).structure
    assert table.index[0] == ""
    assert table.loc["", "parameters"] == sum(p.numel() for p in bundle.module.parameters())
    assert table.loc["blocks.1.mlp.fc1", ["type", "parent", "depth"]].tolist() == ["Linear", "blocks.1.mlp", 4]
    assert table.loc["blocks.1.mlp.fc1", "flops"] == 2 * 17 * 48 * 192
    assert table.loc["blocks.1.mlp.fc1", "output_shape"] == (1, 17, 192)
    assert table["own_parameters"].sum() == table.loc["", "parameters"]


def test_the_layers_are_a_table_of_matrices() -> None:
    bundle, before = tiny_bundle(), tiny_bundle(seed=4)
    table = vitscope.inspect(bundle, initial=before).layers
    weight = bundle.module.get_submodule("blocks.0.attn.proj").weight.detach().double()  # type: ignore[union-attr]
    start = before.module.get_submodule("blocks.0.attn.proj").weight.detach().double()  # type: ignore[union-attr]
    row = table.loc["blocks.0.attn.proj"]
    assert (row["role"], row["block"], row["outputs"], row["inputs"]) == ("proj", 0, 48, 48)
    assert row["spectral"] == pytest.approx(float(torch.linalg.svdvals(weight)[0]))
    assert row["change"] == pytest.approx(float((weight - start).norm() / start.norm()))
    assert table.loc["head", "role"] == "head"
    assert vitscope.inspect(bundle).layers["change"].isna().all()


def test_a_run_knows_its_start(tmp_path: Path, pictures: Path) -> None:
    place = Workspace(tmp_path / "workspace")
    run = save_run(place, tiny_bundle(), pictures)
    snapshots.write_initial(run.folder / "snapshots", tiny_bundle(seed=8).module.state_dict())
    for model in (run, run.id, str(run.folder / "checkpoints" / "best")):
        inside = vitscope.inspect(model, workspace=place)
        assert (inside.pixels, inside.prediction, inside.attention, inside.attention_kind) == (None, None, [], "global")
        expected = vitscope.inspect(tiny_bundle(), initial=tiny_bundle(seed=8)).layers
        np.testing.assert_allclose(inside.layers["change"], expected["change"])


def test_what_cannot_be_looked_into_is_told(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="no such file"):
        vitscope.inspect(tiny_bundle(), tmp_path / "missing.png")
    with pytest.raises(RequestError, match="The image: an array must be"):
        vitscope.inspect(tiny_bundle(), np.zeros((3, 3), np.uint8))
    with pytest.raises(RequestError, match="nobody"):
        vitscope.inspect("nobody", workspace=tmp_path)


def test_the_probe_takes_a_bundle_and_arrays() -> None:
    bundle = tiny_bundle()
    pixels = np.zeros((2, 3, 32, 32), np.float32)
    probed = vitscope.probe(bundle, pixels, attention=False, activations=["norm"])
    assert (probed.attention, probed.kind) == ([], "global")
    assert probed.activations["norm"].shape == (2, 17, 48)
    with torch.no_grad():
        torch.testing.assert_close(torch.from_numpy(probed.logits), bundle.module(torch.from_numpy(pixels)))
