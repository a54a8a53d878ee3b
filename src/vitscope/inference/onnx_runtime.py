"""An ONNX export in onnxruntime. Everything it needs to know lies in the file: class names, preprocessing, weights."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from vitscope.errors import RequestError
from vitscope.inference.predictor import stacks

IMAGES, PROBABILITIES = "images", "probabilities"


class OnnxPredictor:
    """Predicts with an exported graph: `images` (N, H, W, 3) uint8 → `probabilities` (N, C) float32.

    Raises `RequestError` when the file is missing, damaged, no export of this program, or wants data from outside its
    folder.
    """

    def __init__(self, file: Path):
        require_onnx()
        if not file.is_file():
            raise RequestError(f"{file}: no such file.")
        refuse_outside_data(file)
        self.file = file
        self.session = open_session(str(file))
        metadata = self.session.get_modelmeta().custom_metadata_map
        names = {value.name for value in (*self.session.get_inputs(), *self.session.get_outputs())}
        try:
            self.classes: tuple[str, ...] = tuple(json.loads(metadata["classes"]))
            self.preprocess: dict[str, Any] = json.loads(metadata["preprocess"])
        except (KeyError, ValueError, TypeError):
            raise RequestError(
                f"{file}: an ONNX file without class names and preprocessing (metadata 'classes' and 'preprocess'); "
                "only those that 'vitscope export' writes can be used here."
            ) from None
        if not {IMAGES, PROBABILITIES} <= names:
            raise RequestError(f"{file}: its graph does not lead from '{IMAGES}' to '{PROBABILITIES}'.")

    def __call__(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
        found = np.empty((len(pictures), len(self.classes)), np.float32)
        for positions, images in stacks(pictures):
            found[positions] = self.session.run([PROBABILITIES], {IMAGES: images})[0]
        return found


def require_onnx() -> None:
    """Raise `RequestError` when the optional packages are not installed."""
    missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]
    if missing:
        raise RequestError(f"ONNX needs {', '.join(missing)}, not installed here: pip install 'vitscope[onnx]'.")


def open_session(model: str | bytes) -> Any:
    """An onnxruntime session on the CPU that keeps the terminal quiet. Raises `RequestError` when it does not load."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only: warnings about the graph's form help nobody here
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own types have no common base but this
        where = f"{model}: " if isinstance(model, str) else ""
        raise RequestError(f"{where}not a usable ONNX file ({' '.join(str(error).split())}).") from None


def refuse_outside_data(file: Path) -> None:
    """Raise `RequestError` when the file takes weights from outside its own folder, before anything is read there."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(file, load_external_data=False)
    except (DecodeError, OSError, ValueError) as error:
        raise RequestError(f"{file}: not an ONNX file, or damaged ({error}).") from None
    folder = file.resolve().parent
    for tensor in _tensors(model):
        location = next((entry.value for entry in tensor.external_data if entry.key == "location"), None)
        if location is not None and not (folder / location).resolve().is_relative_to(folder):
            raise RequestError(
                f"{file}: takes its weights from '{location}', outside its own folder; such files are refused, because "
                "they could read any file of this machine."
            )


def _tensors(message: Any) -> Iterator[Any]:
    """Every tensor in a model, wherever it hides (initializers, attributes, subgraphs, functions)."""
    import onnx

    if isinstance(message, onnx.TensorProto):
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type is not None:
            for child in value if hasattr(value, "__len__") else (value,):
                if hasattr(child, "ListFields"):
                    yield from _tensors(child)
