"""Model files of any content: opened, or refused in a paragraph; never run, never followed elsewhere."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from tests.hostile import EXAMPLES, changed, fuzz, mutated, told
from tests.trained import tiny_bundle

from vitscope.errors import RequestError
from vitscope.exporting.formats import safetensors
from vitscope.models.bundle import DESCRIPTION, WEIGHTS, ModelBundle, load_weights, tensor_names
from vitscope.storage.artifacts import write_json
from vitscope.training.checkpoint import STATE, SUMS, Checkpoints


def answers(bundle: ModelBundle) -> None:
    """It predicts."""
    side = bundle.preprocess.size
    assert bundle.probabilities(torch.zeros(1, 3, side, side)).shape == (1, len(bundle.classes))


def resum(folder: Path) -> None:
    """Right sums for what lies there now: of what was altered by somebody who knows them."""
    described = json.loads((folder / DESCRIPTION).read_text())
    described["sha256"][WEIGHTS] = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    (folder / DESCRIPTION).write_text(json.dumps(described))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "model").mkdir()
    tiny_bundle(depth=1).save(tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize("examples", EXAMPLES)
def test_any_description_is_a_bundles_or_told(folder: Path, tmp_path: Path, examples: int):
    valid = json.loads((folder / DESCRIPTION).read_text())

    def check(content: Any) -> None:
        raw = content if isinstance(content, bytes) else json.dumps(content).encode()
        (folder / DESCRIPTION).write_bytes(raw)
        with told(tmp_path):
            answers(ModelBundle.load(folder))

    fuzz(examples, check, changed(valid) | mutated(json.dumps(valid).encode()))


@pytest.mark.parametrize("examples", EXAMPLES)
def test_any_weights_are_a_bundles_or_told(folder: Path, tmp_path: Path, examples: int):
    """With a sum that is right all the same."""
    valid = (folder / WEIGHTS).read_bytes()
    head = valid[: 8 + int.from_bytes(valid[:8], "little")]
    header = json.loads(head[8:])

    def with_header(made: Any) -> bytes:
        text = json.dumps(made).encode()
        return len(text).to_bytes(8, "little") + text + valid[len(head) :]

    def check(content: bytes) -> None:
        (folder / WEIGHTS).write_bytes(content)
        resum(folder)
        with told(tmp_path):
            answers(ModelBundle.load(folder))
        with told(tmp_path):
            assert set(tensor_names(folder / WEIGHTS)) == {*load_weights(folder / WEIGHTS)}

    fuzz(examples, check, mutated(head).map(lambda h: h + valid[len(head) :]) | changed(header).map(with_header))


@pytest.mark.parametrize("examples", EXAMPLES)
def test_any_config_is_an_exports_or_told(tmp_path: Path, examples: int):
    folder = tmp_path / "exported"
    folder.mkdir()
    safetensors.write(tiny_bundle(depth=1), folder)
    valid = json.loads((folder / safetensors.CONFIG).read_text())

    def check(content: Any) -> None:
        raw = content if isinstance(content, bytes) else json.dumps(content).encode()
        (folder / safetensors.CONFIG).write_bytes(raw)
        with told(tmp_path):
            answers(safetensors.load(folder))

    fuzz(examples, check, changed(valid) | mutated(json.dumps(valid).encode()))


# ---------------------------------------------------------------------------------------------- checkpoints


@pytest.fixture
def checkpoints(tmp_path: Path) -> Checkpoints:
    """One checkpoint with a state of the right form."""
    folder = tmp_path / "checkpoints" / "step-00000003"
    folder.mkdir(parents=True)
    tiny_bundle(depth=1).save(folder)
    (tmp_path / "checkpoints" / "last").symlink_to(folder.name)
    generators = {"cpu": torch.get_rng_state(), "cuda": []}
    state = {"format": 1, "progress": {"step": 3}, "optimizer": {}, "average_updates": 0, "generators": generators}
    torch.save(state, folder / STATE)
    summed(folder)
    return Checkpoints(tmp_path / "checkpoints")


def summed(folder: Path) -> None:
    sums = {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in sorted(folder.iterdir()) if f.name != SUMS}
    write_json(folder / SUMS, sums)


@pytest.mark.parametrize("examples", EXAMPLES)
def test_any_state_is_a_checkpoints_or_told(checkpoints: Checkpoints, tmp_path: Path, examples: int):
    """With sums that are right all the same; what is in the pickle is changed too."""
    folder = checkpoints.folder / "step-00000003"
    valid = (folder / STATE).read_bytes()
    with zipfile.ZipFile(folder / STATE) as packed:
        members = {info.filename: packed.read(info) for info in packed.infolist()}
    (pickled,) = (name for name in members if name.endswith("data.pkl"))

    def repacked(content: bytes) -> bytes:
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as packed:
            for name, own in {**members, pickled: content}.items():
                packed.writestr(name, own)
        return stream.getvalue()

    def saved(value: Any) -> bytes:
        stream = io.BytesIO()
        torch.save(value, stream)
        return stream.getvalue()

    state = {"format": 1, "progress": {"step": 3}, "optimizer": {}, "average_updates": 0, "generators": {"cpu": 1}}

    def check(content: bytes) -> None:
        (folder / STATE).write_bytes(content)
        summed(folder)
        with told(tmp_path):
            assert checkpoints.load().step is not None

    fuzz(examples, check, mutated(valid) | mutated(members[pickled]).map(repacked) | changed(state).map(saved))


@pytest.mark.parametrize("examples", EXAMPLES)
def test_any_sums_are_a_checkpoints_or_told(checkpoints: Checkpoints, tmp_path: Path, examples: int):
    folder = checkpoints.folder / "step-00000003"
    valid = json.loads((folder / SUMS).read_text())

    def check(content: Any) -> None:
        (folder / SUMS).write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        with told(tmp_path):
            assert checkpoints.load().step == 3

    fuzz(examples, check, changed(valid) | mutated(json.dumps(valid).encode()))


# ---------------------------------------------------------------------------------------------- what was found


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (("format",), "1"), (("format",), None), (("sha256",), []), (("classes",), 5), (("classes",), "abc"),
        (("classes",), [1, 2, 3]), (("architecture",), []), (("architecture", "name"), 5),
        (("architecture", "kwargs"), 5), (("architecture", "kwargs"), {"embed_dim": "x"}), (("preprocess",), {}),
        (("preprocess",), 7), (("preprocess", "image_size"), "x"), (("preprocess", "mean"), [1]), (("info",), 5),
    ],
)  # fmt: skip
def test_parts_that_no_bundle_has_are_told(folder: Path, where: tuple[str, ...], value: Any):
    described = json.loads((folder / DESCRIPTION).read_text())
    *parents, last = where
    part = described
    for name in parents:
        part = part[name]
    part[last] = value
    (folder / DESCRIPTION).write_text(json.dumps(described))
    with pytest.raises(RequestError):
        ModelBundle.load(folder)


@pytest.mark.parametrize("text", ["[" * 100_000, "5", "[]", "null", '"x"'])
def test_json_that_is_no_description_is_told(folder: Path, text: str):
    (folder / DESCRIPTION).write_text(text)
    with pytest.raises(RequestError, match=r"bundle.json: not"):
        ModelBundle.load(folder)


def test_weights_of_another_kind_of_number_are_told(folder: Path):
    tensors = {name: tensor.to(torch.int64) for name, tensor in load_weights(folder / WEIGHTS).items()}
    save_file(tensors, folder / WEIGHTS)
    resum(folder)
    answers(ModelBundle.load(folder))
