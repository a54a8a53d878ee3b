from __future__ import annotations

import json
from pathlib import Path

import pytest

from vitscope.errors import RequestError
from vitscope.exporting import proof
from vitscope.storage.artifacts import sha256


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    file = tmp_path / "model.onnx"
    file.write_bytes(b"graph")
    (tmp_path / "model.onnx.data").write_bytes(b"weights")
    sums = {name: sha256(tmp_path / name) for name in ("model.onnx", "model.onnx.data")}
    proof.write(file, {"passed": True, "sha256": sums})
    return file


def test_the_bytes_it_speaks_of_are_checked(exported: Path) -> None:
    assert proof.beside(exported).name == "model.onnx.parity.json"
    proof.check(exported)
    exported.with_name("model.onnx.data").write_bytes(b"weighty")
    with pytest.raises(RequestError, match=r"model\.onnx\.data: damaged or altered"):
        proof.check(exported)
    exported.with_name("model.onnx.data").unlink()
    with pytest.raises(RequestError, match=r"model\.onnx\.data: damaged or altered"):
        proof.check(exported)


def test_a_file_without_a_proof_has_nothing_to_be_held_against(exported: Path) -> None:
    proof.beside(exported).unlink()
    proof.check(exported)
    assert proof.sums(exported) == {}


@pytest.mark.parametrize("content", ["{", "[]", "{}", json.dumps({"sha256": 3})])
def test_a_proof_that_is_none_is_told(content: str, exported: Path) -> None:
    proof.beside(exported).write_text(content)
    with pytest.raises(RequestError, match="not readable as a proof"):
        proof.check(exported)


def test_names_in_a_proof_do_not_lead_elsewhere(exported: Path, tmp_path: Path) -> None:
    (tmp_path.parent / "elsewhere").write_bytes(b"x")
    proof.write(exported, {"sha256": {"../elsewhere": sha256(tmp_path.parent / "elsewhere")}})
    with pytest.raises(RequestError, match="damaged or altered"):
        proof.check(exported)
