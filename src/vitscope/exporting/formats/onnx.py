"""ONNX: `images` uint8 [N, H, W, 3] of any height and width → `probabilities` float32 [N, C].

Resize, crop, mean and std are inside the graph (`preprocess.PixelPipeline`, the very code that evaluation runs), and
class names and preprocessing are in its metadata, so that the file is all that a receiver needs. The tensor that is fed
to the model keeps the name `pixels` in the graph without being an output: the proof of parity makes it one in memory.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import warnings
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from vitscope._version import __version__
from vitscope.errors import WorkFailed
from vitscope.inference.onnx_runtime import IMAGES, PROBABILITIES, OnnxPredictor, open_session, require_onnx
from vitscope.inference.predictor import stacks
from vitscope.inspection.probe import unfused
from vitscope.models.bundle import ModelBundle

FILE: str = "model.onnx"
PIXELS = "pixels"

require = require_onnx


class Graph(torch.nn.Module):
    """Preprocessing, model and softmax as one module."""

    def __init__(self, bundle: ModelBundle):
        super().__init__()
        self.pipeline = bundle.preprocess.pipeline
        self.module = bundle.module

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        pixels = self.pipeline(images)
        return self.module(pixels).softmax(dim=-1), pixels


# Ways to export, tried in turn: (torch's fused attention, the exporter's optimizations). Fused attention is exported
# for four axes alone, and windows may have five; the optimizer of torch 2.14's exporter loses nodes of some graphs.
WAYS = ((True, True), (False, True), (True, False))


def write(bundle: ModelBundle, folder: Path) -> None:
    """Write `model.onnx` (beside it `model.onnx.data` where the weights pass 2 GB). Raises `WorkFailed`."""
    reasons: list[str] = []
    for is_fused, is_optimized in WAYS:
        try:
            with contextlib.nullcontext() if is_fused else unfused(bundle.module):
                program = _traced(bundle, is_optimized)
        except Exception as error:  # torch.export can fail in many ways, by architecture
            reasons.append(_first_line(error))
            continue
        _save(program, bundle, folder / FILE)
        if not (fault := _fault(folder / FILE)):
            return
        reasons.append(fault)
    raise WorkFailed(f"'{bundle.name}' cannot be exported to ONNX: {reasons[0]}")


def _traced(bundle: ModelBundle, is_optimized: bool) -> torch.onnx.ONNXProgram:
    size = bundle.preprocess.size
    example = torch.zeros(2, size + 13, size + 29, 3, dtype=torch.uint8)  # no two sizes alike: none is taken for fixed
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            Graph(bundle).eval(),
            (example,),
            dynamo=True,
            input_names=[IMAGES],
            output_names=[PROBABILITIES, PIXELS],
            dynamic_shapes={"images": {axis: torch.export.Dim(name) for axis, name in enumerate(("N", "H", "W"))}},
            optimize=is_optimized,
            verbose=False,
        )
    assert program is not None  # with dynamo=True and no file to write to
    return program


def _save(program: torch.onnx.ONNXProgram, bundle: ModelBundle, file: Path) -> None:
    model = program.model
    del model.graph.outputs[1]
    model.producer_name, model.producer_version = "vitscope", __version__
    model.metadata_props["classes"] = json.dumps(bundle.classes, ensure_ascii=False)
    model.metadata_props["preprocess"] = json.dumps(bundle.preprocess.to_dict())
    with _quiet():
        program.save(file)


def _fault(file: Path) -> str:
    """What makes the graph of a file no graph; "" where nothing does."""
    import onnx

    try:
        onnx.checker.check_model(str(file))
    except onnx.checker.ValidationError as error:
        return _first_line(error)
    return ""


def read(folder: Path) -> OpenGraph:
    """The exported file in onnxruntime."""
    return OpenGraph(folder / FILE)


class OpenGraph(OnnxPredictor):
    """The exported file as it is, and a copy in memory that gives `pixels`."""

    def pixels(self, pictures: Sequence[np.ndarray]) -> torch.Tensor:
        size = self.preprocess["size"]
        fed = torch.empty(len(pictures), 3, size, size)
        for positions, images in stacks(pictures):
            fed[positions] = torch.from_numpy(self._pixel_session.run([PIXELS], {IMAGES: images})[0])
        return fed

    @cached_property
    def _pixel_session(self):
        import onnx

        model = onnx.load(self.file, load_external_data=False)
        wanted = _upstream(model.graph, PIXELS)
        nodes = [node for node in model.graph.node if not wanted.isdisjoint(node.output)]
        weights = [tensor for tensor in model.graph.initializer if tensor.name in wanted]
        output = onnx.helper.make_tensor_value_info(PIXELS, onnx.TensorProto.FLOAT, None)
        graph = onnx.helper.make_graph(nodes, PIXELS, model.graph.input, [output], weights)
        preprocessing = onnx.helper.make_model(
            graph, opset_imports=model.opset_import, functions=model.functions, ir_version=model.ir_version
        )
        return open_session(preprocessing.SerializeToString())


def _upstream(graph, name: str) -> set[str]:
    """Names of all values that `name` is computed from, itself included."""
    producer = {output: node for node in graph.node for output in node.output}
    found: set[str] = set()
    pending = [name]
    while pending:
        value = pending.pop()
        if value and value not in found:
            found.add(value)
            pending += producer[value].input if value in producer else ()
    return found


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter tells of its passes on every channel there is; none of it is for the person at the terminal."""
    level = logging.root.manager.disable
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        logging.disable(logging.ERROR)
        try:
            yield
        finally:
            logging.disable(level)


def _first_line(error: BaseException) -> str:
    """The cause's first line: exporters wrap it in pages of advice."""
    while error.__cause__ is not None:
        error = error.__cause__
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
