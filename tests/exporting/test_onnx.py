from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx as onnx_package
import onnxruntime
import pytest
import torch
from PIL import Image

from tests.trained import tiny_bundle
from vitscope.errors import WorkFailed
from vitscope.exporting import parity
from vitscope.exporting.formats import FORMATS, onnx
from vitscope.inference.torch_runtime import TorchPredictor
from vitscope.models.bundle import ModelBundle
from vitscope.preprocess import Preprocess

# One of every family: tests/workflows/test_families.py.
NAMES = ["vit_tiny_patch16_224", "eva02_tiny_patch14_224"]


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    made = [tmp_path / f"{i}.png" for i in range(6)]
    for i, file in enumerate(made):
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (20 + 9 * i, 45, 3), dtype=np.uint8)).save(file)
    return made


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[ModelBundle, Path]:
    bundle = tiny_bundle(depth=1, classes=("苹果", "pear's", 'a "plum"'))
    folder = tmp_path_factory.mktemp("exported")
    onnx.write(bundle, folder)
    return bundle, folder


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("format", FORMATS)
def test_a_model_is_exported_with_parity(
    name: str, format: str, files: list[Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    bundle = tiny_bundle(name, preprocess=Preprocess(32, interpolation="bilinear", crop_pct=0.875), depth=1)
    FORMATS[format].write(bundle, folder)
    found = parity.prove(bundle, FORMATS[format].read(folder), files)
    assert found.passed, found.failures
    assert found.images == 6
    assert capfd.readouterr() == ("", "")  # the exporter keeps its remarks to itself


def test_the_file_tells_its_shapes_and_all_that_a_receiver_needs(exported: tuple[ModelBundle, Path]) -> None:
    bundle, folder = exported
    model = onnx_package.load(folder / "model.onnx")
    onnx_package.checker.check_model(model, full_check=True)
    (images,), (found,) = model.graph.input, model.graph.output
    assert (images.name, found.name) == ("images", "probabilities")
    assert images.type.tensor_type.elem_type == onnx_package.TensorProto.UINT8
    assert found.type.tensor_type.elem_type == onnx_package.TensorProto.FLOAT
    shape = images.type.tensor_type.shape.dim
    assert all(axis.dim_param for axis in shape[:3])
    assert shape[3].dim_value == 3
    assert found.type.tensor_type.shape.dim[0].dim_param
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(metadata["classes"]) == list(bundle.classes)
    assert Preprocess.from_dict(json.loads(metadata["preprocess"])) == bundle.preprocess
    assert model.producer_name == "vitscope"
    assert not any(node.op_type == "Resize" for node in model.graph.node)  # resized by products, alike in every runtime


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 32, 32), (2, 500, 333), (1, 3, 700), (5, 31, 17)], ids=str)
def test_any_number_and_size_of_pictures_in_bare_onnxruntime(
    exported: tuple[ModelBundle, Path], shape: tuple[int, ...]
) -> None:
    bundle, folder = exported
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    pictures = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    found = np.asarray(session.run(None, {"images": pictures})[0])
    assert found.shape == (shape[0], 3)
    assert found.dtype == np.float32
    assert np.allclose(found, TorchPredictor(bundle)(list(pictures)), atol=1e-5)


def test_pixels_are_taken_out_of_the_graph_in_memory_alone(exported: tuple[ModelBundle, Path]) -> None:
    bundle, folder = exported
    before = (folder / "model.onnx").read_bytes()
    pictures = [np.random.default_rng(i).integers(0, 256, (40, 30 + i, 3), dtype=np.uint8) for i in range(3)]
    found = onnx.read(folder).pixels(pictures)
    assert np.allclose(found, TorchPredictor(bundle).pixels(pictures), atol=1e-5)
    assert (folder / "model.onnx").read_bytes() == before


def test_an_architecture_that_cannot_be_exported_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("pages of advice") from ValueError("data-dependent branch\nand more")

    monkeypatch.setattr(torch.onnx, "export", fail)
    with pytest.raises(WorkFailed, match=r"'vit_tiny_patch16_224' cannot be exported to ONNX: data-dependent branch$"):
        onnx.write(tiny_bundle(depth=1), tmp_path)
