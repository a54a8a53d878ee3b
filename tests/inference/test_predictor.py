from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.trained import tiny_bundle
from vitscope.errors import BadImage, WorkFailed
from vitscope.inference import predictor
from vitscope.inference.predictor import answers, batches, decoded, stacks
from vitscope.inference.torch_runtime import TorchPredictor


class MeanColour:
    """A runtime whose answer is the mean colour of a picture: no model needed to see who got which answer."""

    classes = ("red", "green", "blue")

    def __init__(self) -> None:
        self.calls: list[int] = []

    def __call__(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
        self.calls.append(len(pictures))
        return np.stack([picture.mean(axis=(0, 1)) for picture in pictures]).astype(np.float32)


def picture(*size: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *size]).integers(0, 256, (*size, 3), dtype=np.uint8)


def save(pixels: np.ndarray, file: Path) -> Path:
    Image.fromarray(pixels).save(file)
    return file


def test_answers_come_in_order_whatever_the_size(tmp_path: Path) -> None:
    pixels = [picture(8 + i % 3, 9 + i % 2, seed=i) for i in range(50)]
    files = [save(one, tmp_path / f"{i}.png") for i, one in enumerate(pixels)]
    found = list(answers(MeanColour(), files, batch_size=7))
    assert np.allclose(np.stack(found), [one.mean(axis=(0, 1)) for one in pixels])  # type: ignore[arg-type]


def test_fault_78_one_bad_picture_fails_the_others_answer(tmp_path: Path) -> None:
    good = save(picture(8, 8), tmp_path / "good.png")
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.jpg").write_text("no picture")
    images = [good, tmp_path / "empty.png", tmp_path / "missing.png", picture(5, 6), tmp_path / "text.jpg", good]
    first, empty, missing, array, text, last = answers(MeanColour(), images)
    assert [str(reason) for reason in (empty, missing, text)] == [
        "an empty file (0 bytes)",
        "no such file",
        "not an image (10 bytes)",
    ]
    assert np.allclose(first, picture(8, 8).mean(axis=(0, 1)))  # type: ignore[arg-type]
    assert np.allclose(array, picture(5, 6).mean(axis=(0, 1)))  # type: ignore[arg-type]
    assert np.array_equal(first, last)  # type: ignore[arg-type]


def test_only_bad_pictures_never_reach_the_model(tmp_path: Path) -> None:
    runtime = MeanColour()
    assert all(isinstance(answer, BadImage) for answer in answers(runtime, [tmp_path / "a", tmp_path / "b"]))
    assert runtime.calls == []


def test_answers_that_are_no_numbers_are_refused() -> None:
    class Diverged(MeanColour):
        def __call__(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
            return np.full((len(pictures), 3), np.nan, np.float32)

    with pytest.raises(WorkFailed, match="NaN"):
        list(answers(Diverged(), [picture(4, 4)]))


def test_large_photographs_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predictor, "MAX_BATCH_BYTES", 1000)
    runtime = MeanColour()
    list(answers(runtime, [picture(10, 10)] * 10, batch_size=64))  # 300 bytes each
    assert runtime.calls == [3, 3, 3, 1]
    assert list(batches([2000, 1, 2000], 64, lambda n: n)) == [[2000], [1], [2000]]


def test_reading_ahead_is_bounded() -> None:
    taken = 0

    def images():
        nonlocal taken
        for i in range(1000):
            taken = i
            yield picture(4, 4)

    stream = decoded(images(), threads=2)
    next(stream)
    assert taken < 10
    stream.close()  # type: ignore[attr-defined]


def test_stacks_hold_each_picture_once() -> None:
    pictures = [picture(h, w, seed=i) for i, (h, w) in enumerate([(4, 4), (4, 5), (4, 4), (5, 4), (4, 5)])]
    found = {position: stack[i] for positions, stack in stacks(pictures) for i, position in enumerate(positions)}
    assert sorted(found) == [0, 1, 2, 3, 4]
    assert all(np.array_equal(found[i], pictures[i]) for i in found)
    assert sorted(len(stack) for _, stack in stacks(pictures)) == [1, 2, 2]


def test_torch_runtime_is_the_bundles_own_prediction() -> None:
    bundle = tiny_bundle()
    pictures = [picture(40, 50), picture(32, 32), picture(40, 50, seed=1), picture(1, 7)]
    found = TorchPredictor(bundle)(pictures)
    assert found.shape == (4, 3)
    assert found.dtype == np.float32
    for row, one in zip(found, pictures, strict=True):
        with torch.no_grad():
            expected = bundle.module(bundle.preprocess(one)[None]).softmax(-1)[0]
        assert np.allclose(row, expected.numpy(), atol=1e-6)
    assert np.ptp(found, axis=0).max() > 0.01  # the model does see the pictures
