from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from vitscope.errors import RequestError
from vitscope.inference import onnx_runtime
from vitscope.inference.onnx_runtime import OnnxPredictor

METADATA = {"classes": json.dumps(["red", "green", "蓝"]), "preprocess": json.dumps({"size": 8})}


def graph(weights: onnx.TensorProto | None = None) -> onnx.ModelProto:
    """The mean colour of each picture, times weights: what an export looks like from outside, written by hand."""
    weights = weights or numpy_helper.from_array(np.ones(3, np.float32), "weights")
    nodes = [
        helper.make_node("Cast", ["images"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["float", "axes"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "weights"], ["probabilities"]),
    ]
    axes = numpy_helper.from_array(np.array([1, 2]), "axes")
    images = helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", "H", "W", 3])
    found = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 3])
    model = helper.make_model(
        helper.make_graph(nodes, "mean", [images], [found], [axes, weights]),
        opset_imports=[helper.make_opsetid("", 18)],
    )
    model.ir_version = 10
    helper.set_model_props(model, METADATA)
    return model


def save(model: onnx.ModelProto, file: Path) -> Path:
    file.write_bytes(model.SerializeToString())
    return file


def external(location: str) -> onnx.TensorProto:
    """Three floats that lie in another file."""
    tensor = TensorProto(name="weights", data_type=TensorProto.FLOAT, dims=[3], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", location), ("offset", "0"), ("length", "12")):
        tensor.external_data.add(key=key, value=value)
    return tensor


def test_pictures_of_any_size_in_their_order(tmp_path: Path) -> None:
    predictor = OnnxPredictor(save(graph(), tmp_path / "m.onnx"))
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in ((4, 5), (1, 1), (4, 5), (30, 2))]
    assert predictor.classes == ("red", "green", "蓝")
    assert np.allclose(predictor(pictures), [one.mean(axis=(0, 1)) for one in pictures], rtol=1e-5)


def test_fault_61_data_outside_the_folder_is_refused_before_it_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret.bin").write_bytes(np.ones(3, np.float32).tobytes())
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    for location in ("../secret.bin", str(tmp_path / "secret.bin"), "link.bin"):
        with pytest.raises(RequestError, match="outside its own folder"):
            OnnxPredictor(save(graph(external(location)), folder / "m.onnx"))


def test_fault_61_data_hidden_in_a_subgraph_is_found(tmp_path: Path) -> None:
    inner = helper.make_graph([], "inner", [], [], [external("../secret.bin")])
    model = graph()
    model.graph.node[0].attribute.append(helper.make_attribute("body", inner))
    with pytest.raises(RequestError, match="outside its own folder"):
        OnnxPredictor(save(model, tmp_path / "m.onnx"))


def test_data_beside_the_file_is_used(tmp_path: Path) -> None:
    (tmp_path / "m.onnx.data").write_bytes(np.full(3, 2, np.float32).tobytes())
    predictor = OnnxPredictor(save(graph(external("m.onnx.data")), tmp_path / "m.onnx"))
    assert np.allclose(predictor([np.full((2, 2, 3), 7, np.uint8)]), 14)


def test_other_files_are_refused_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "noise.onnx").write_bytes(b"\xff" * 100)
    (tmp_path / "empty.onnx").touch()
    stranger = graph()
    del stranger.metadata_props[:]
    renamed = graph()
    renamed.graph.output[0].name = renamed.graph.node[2].output[0] = "logits"
    for file, reason in {
        tmp_path / "missing.onnx": "no such file",
        tmp_path / "noise.onnx": "not an ONNX file, or damaged",
        tmp_path / "empty.onnx": "not a usable ONNX file",
        save(stranger, tmp_path / "stranger.onnx"): "without class names and preprocessing",
        save(renamed, tmp_path / "renamed.onnx"): "does not lead from 'images' to 'probabilities'",
    }.items():
        with pytest.raises(RequestError, match=reason):
            OnnxPredictor(file)


def test_a_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_runtime, "find_spec", lambda name: None if name == "onnxruntime" else object())
    with pytest.raises(RequestError, match=r"needs onnxruntime.*pip install 'vitscope\[onnx\]'"):
        OnnxPredictor(tmp_path / "m.onnx")
