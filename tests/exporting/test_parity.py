"""Parity must catch what is broken, one step of the preprocessing at a time, whatever the pictures and the model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.trained import tiny_bundle
from vitscope import preprocess
from vitscope.exporting import parity
from vitscope.exporting.formats import Exported, onnx
from vitscope.inference.torch_runtime import TorchPredictor
from vitscope.models.bundle import ModelBundle
from vitscope.preprocess import PixelPipeline, Preprocess

GREY_AT_MODEL_SIZE = Preprocess(32, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "bicubic")


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Grey pictures of the model's own size: by themselves they would hide a wrong filter, channels and rotation."""
    made = [tmp_path / f"{i}.png" for i in range(5)]
    for i, file in enumerate(made):
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (32, 32), dtype=np.uint8)).save(file)
    return made


@contextmanager
def broken(step: str) -> Iterator[None]:
    """This program's own preprocessing with one step broken, in whatever runs or is exported inside."""
    with pytest.MonkeyPatch.context() as patch:
        match step:
            case "resize filter":
                patch.setitem(preprocess._FILTERS, "bicubic", preprocess._FILTERS["bilinear"])
                patch.setattr(preprocess, "known_matrix", preprocess.resize_matrix)  # which keeps what was right
            case "mean and std":
                normalize = Preprocess.normalize
                patch.setattr(
                    Preprocess, "normalize", lambda self, x: normalize(replace(self, mean=(0.49, 0.5, 0.5)), x)
                )
            case "channel order":
                forward = PixelPipeline.forward
                patch.setattr(PixelPipeline, "forward", lambda self, images: forward(self, images).flip(1))
            case "EXIF":
                patch.setattr(preprocess, "_UPRIGHT", {})
        yield


def prove(bundle: ModelBundle, exported: Exported, files: list[Path]) -> parity.Parity:
    return parity.prove(bundle, exported, files)


@pytest.fixture(scope="module")
def small() -> ModelBundle:
    return tiny_bundle(depth=1, preprocess=GREY_AT_MODEL_SIZE)


def test_a_sound_export_passes(small: ModelBundle, files: list[Path]) -> None:
    found = prove(small, TorchPredictor(small), files)
    assert found.passed
    assert found.failures == []
    assert found.images == 5
    assert len(found.measured) == 5 + 14


@pytest.mark.parametrize("step", ["resize filter", "mean and std", "channel order", "EXIF"])
def test_fault_63_the_programs_own_preprocessing_broken(step: str, small: ModelBundle, files: list[Path]) -> None:
    """Broken alike on both sides: only the reference can tell."""
    with broken(step):
        found = prove(small, TorchPredictor(small), files)
    assert not found.passed
    assert found.worst["pixels"] == 0
    assert found.worst["pixels_reference"] > parity.LIMITS["pixels_reference"]
    assert any("reference" in text for text in found.failures)


@pytest.mark.parametrize("step", ["resize filter", "mean and std", "channel order"])
def test_fault_63_the_exported_graph_broken(step: str, small: ModelBundle, files: list[Path], tmp_path: Path) -> None:
    """A real ONNX file whose graph differs from what training did."""
    with broken(step):
        onnx.write(small, tmp_path)
    found = prove(small, onnx.read(tmp_path), files)
    assert not found.passed
    assert found.worst["pixels"] > parity.LIMITS["pixels"]
    assert found.worst["pixels_reference"] <= parity.LIMITS["pixels_reference"]
    assert any("the export and this program feed" in text for text in found.failures)


@pytest.mark.parametrize("step", ["resize filter", "mean and std", "channel order", "EXIF"])
def test_a_model_that_answers_alike_hides_nothing(step: str, small: ModelBundle, files: list[Path]) -> None:
    weak = tiny_bundle(depth=1, preprocess=GREY_AT_MODEL_SIZE)
    torch.nn.init.zeros_(weak.module.get_parameter("head.weight"))
    assert prove(weak, TorchPredictor(weak), files).passed
    with broken(step):
        found = prove(weak, TorchPredictor(weak), files)
    assert found.worst["probability_reference"] == 0
    assert not found.passed


def test_fault_62_other_weights_differ_in_probabilities_and_class(small: ModelBundle, files: list[Path]) -> None:
    other = tiny_bundle(depth=1, preprocess=GREY_AT_MODEL_SIZE, seed=8)
    found = prove(small, TorchPredictor(other), files)
    assert not found.passed
    assert found.worst["probability"] > 0.01
    assert found.worst["pixels"] == 0
    assert any("most probable class changes" in text for text in found.failures)


def test_nan_fails_and_is_null_in_the_proof(small: ModelBundle, files: list[Path]) -> None:
    diverged = tiny_bundle(depth=1, preprocess=GREY_AT_MODEL_SIZE)
    torch.nn.init.constant_(diverged.module.get_parameter("head.weight"), float("nan"))
    found = prove(small, TorchPredictor(diverged), files)
    assert not found.passed
    told = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert told["measured"]["probability"] is None
    assert told["failures"]


def test_pictures_are_told_worst_first(small: ModelBundle, files: list[Path]) -> None:
    with broken("EXIF"):
        told = prove(small, TorchPredictor(small), files).to_dict()
    assert "EXIF orientation" in told["files"][0]["picture"]
    assert [one["passed"] for one in told["files"]] == [False] * 7 + [True] * 12  # orientation 1 needs no turning
    shares = [max(one[name] / limit for name, limit in parity.LIMITS.items()) for one in told["files"][:7]]
    assert shares == sorted(shares, reverse=True)


def test_a_tie_may_fall_either_way() -> None:
    ours = np.array([0.4999, 0.5000, 0.0001])
    assert parity._same_top1(ours, np.array([0.5, 0.4999, 0.0001]))
    assert not parity._same_top1(np.array([0.4, 0.5, 0.1]), np.array([0.5, 0.4, 0.1]))


def test_files_that_are_no_pictures_are_replaced_by_the_next(
    small: ModelBundle, files: list[Path], tmp_path: Path
) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"")
    found = parity.prove(small, TorchPredictor(small), [bad, *files], count=3)
    assert found.images == 3
    assert found.left_out == [f"{bad}: an empty file (0 bytes)"]
    assert [one.picture for one in found.measured[:3]] == [str(file) for file in files[:3]]
    assert not parity.prove(small, TorchPredictor(small), [bad]).passed


def test_a_proof_on_fewer_pictures_than_there_should_be_fails(small: ModelBundle, files: list[Path]) -> None:
    """Files that are gone are not forgiven; damaged ones are, as long as most are sound."""
    count = len(files)
    assert parity.prove(small, TorchPredictor(small), files).wanted == count
    files[0].write_bytes(b"no picture")
    forgiven = parity.prove(small, TorchPredictor(small), files)
    assert (forgiven.passed, forgiven.images, forgiven.wanted) == (True, count - 1, count - 1)
    files[1].unlink()
    gone = parity.prove(small, TorchPredictor(small), files)
    assert (gone.passed, gone.images, gone.wanted) == (False, count - 2, count - 1)
    assert gone.failures == [f"only {count - 2} of {count - 1} pictures could be compared"]
    for file in files[2 : 2 + count // 2]:
        file.write_bytes(b"no picture")
    assert not parity.prove(small, TorchPredictor(small), files).passed


def test_pictures_of_equal_size_are_proven_as_a_batch(small: ModelBundle, files: list[Path]) -> None:
    sizes: list[int] = []

    class Counting(TorchPredictor):
        def __call__(self, pictures: Any) -> np.ndarray:
            sizes.append(len(pictures))
            return super().__call__(pictures)

    assert prove(small, Counting(small), files).passed
    assert max(sizes) > 1
