from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import accuracy_score, confusion_matrix, log_loss

from tests.trained import FRUITS, answer, save_run, tiny_bundle
from vitscope.data.manifest import Manifest
from vitscope.errors import RequestError, WorkFailed
from vitscope.models.bundle import ModelBundle
from vitscope.storage.workspace import Workspace
from vitscope.workflows.evaluate import evaluate
from vitscope.workflows.load import load, own_manifest
from vitscope.workflows.run import Run


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def bundle() -> ModelBundle:
    return tiny_bundle()


@pytest.fixture
def run(workspace: Workspace, bundle: ModelBundle, pictures: Path) -> Run:
    return save_run(workspace, bundle, pictures)


def by_hand(bundle: ModelBundle, run: Run, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Labels by the folders' names, probabilities one picture at a time."""
    table = Manifest.load(run.folder / "manifest.parquet").table.to_pylist()
    files = [Path(row["path"]) for row in table if row["split"] == split]
    labels = [bundle.classes.index(file.parent.name) for file in files]
    return np.array(labels), np.stack([answer(bundle, file).numpy() for file in files])


@pytest.mark.parametrize("split", ["test", "val", "train"])
def test_a_run_on_its_own_split(split: str, run: Run, workspace: Workspace, bundle: ModelBundle) -> None:
    found = evaluate("latest", split=split, workspace=workspace)
    labels, probabilities = by_hand(bundle, run, split)
    assert (found.split, found.count, found.skipped) == (split, len(labels), 0)
    assert found.top1 == accuracy_score(labels, probabilities.argmax(axis=1))
    assert (found.confusion == confusion_matrix(labels, probabilities.argmax(axis=1), labels=range(3))).all()
    exact = probabilities.astype(np.float64)
    assert found.loss == pytest.approx(log_loss(labels, exact / exact.sum(1, keepdims=True), labels=range(3)), rel=1e-5)
    assert (run.folder / "charts" / f"confusion-{split}.png").stat().st_size > 5_000


def test_a_loaded_bundle_knows_its_runs_samples(run: Run, workspace: Workspace) -> None:
    assert evaluate(load(run), workspace=workspace).to_dict() == evaluate(run).to_dict()


def test_a_checkpoint_by_its_path_writes_nothing_into_the_run(run: Run) -> None:
    found = evaluate(run.folder / "checkpoints" / "step-00000001")
    assert found.count == 8
    assert not (run.folder / "charts").exists()


def test_progress_ends_at_the_number_of_images(run: Run) -> None:
    told: list[tuple[int, int]] = []
    evaluate(run, progress=lambda done, total: told.append((done, total)))
    assert told == [(i, 8) for i in range(1, 9)]


@pytest.mark.parametrize("ending", [".png", ".svg", ".pdf"])
def test_the_figure_is_written_where_asked(ending: str, run: Run, tmp_path: Path) -> None:
    evaluate(run, figure=tmp_path / f"confusion{ending}")
    begins = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}[ending]
    assert (tmp_path / f"confusion{ending}").read_bytes().startswith(begins)


def test_fault_02_images_that_went_bad_are_left_out_counted_and_told(run: Run, bundle: ModelBundle) -> None:
    table = Manifest.load(run.folder / "manifest.parquet").of_split("test").table.to_pylist()
    truncated, gone = Path(table[0]["path"]), Path(table[5]["path"])
    truncated.write_bytes(truncated.read_bytes()[:200])
    gone.unlink()
    found = evaluate(run)
    assert (found.count, found.skipped) == (6, 2)
    assert [problem.path for problem in found.problems] == [str(truncated), str(gone)]
    assert "damaged" in found.problems[0].reason
    assert found.problems[1].reason == "no such file"
    assert any("2 images of 8 could not be read" in notice for notice in found.notices)
    assert found.confusion.sum() == 6


def test_not_one_readable_image_is_a_failure(run: Run, pictures: Path) -> None:
    shutil.rmtree(pictures)
    with pytest.raises(WorkFailed, match=r"None of the 8 images of the test split can be read.*no such file"):
        evaluate(run)


def test_fault_27_other_data_are_matched_by_class_name(
    run: Run, bundle: ModelBundle, make_pictures: Callable[..., Path]
) -> None:
    """A source whose own order of classes would give other labels."""
    other = make_pictures({"plum": 6, "apple": 4}, name="other")
    found = evaluate(run, data=other)
    assert found.classes == FRUITS
    assert [one.count for one in found.per_class] == [4, 0, 6]
    expected = {
        name: [answer(bundle, f).argmax().item() for f in sorted((other / name).iterdir())]
        for name in ("apple", "plum")
    }
    assert found.per_class[0].correct == expected["apple"].count(0)
    assert found.per_class[2].correct == expected["plum"].count(2)
    assert any("'pear'" in notice for notice in found.notices)
    assert not (run.folder / "charts").exists()  # that chart is of the run's own samples


def test_images_that_were_trained_on_are_told(run: Run, pictures: Path, make_pictures: Callable[..., Path]) -> None:
    trained_on = len(own_manifest(run, run.workspace).of_split("train"))
    every = sum(1 for _ in pictures.rglob("*.png"))
    told = f"{trained_on} images of these {every} were trained on"
    assert any(told in notice for notice in evaluate(run, data=pictures).notices)
    other = make_pictures({"apple": 3, "pear": 3}, name="other")
    assert not any("trained on" in notice for notice in evaluate(run, data=other).notices)


def test_fault_27_a_class_that_the_model_does_not_know_is_told(run: Run, make_pictures: Callable[..., Path]) -> None:
    other = make_pictures({"apple": 2, "Plum": 2}, name="other")
    with pytest.raises(RequestError, match=r"'Plum'.*'plum'"):
        evaluate(run, data=other)


def test_the_split_of_another_source(run: Run, make_pictures: Callable[..., Path]) -> None:
    other = make_pictures({"apple": 2, "plum": 3}, name="other", split="train")
    make_pictures({"apple": 1, "plum": 1}, name="other", split="test")
    assert evaluate(run, data=other).count == 2
    assert evaluate(run, data=other, split="train").count == 5
    with pytest.raises(RequestError, match=r"'test', 'train' and has no val split"):
        evaluate(run, data=other, split="val")


def test_a_split_that_is_missing_names_those_there_are(
    workspace: Workspace, make_pictures: Callable[..., Path]
) -> None:
    source = make_pictures(dict.fromkeys(FRUITS, 8), split="train")
    make_pictures(dict.fromkeys(FRUITS, 2), split="val")
    run = save_run(workspace, tiny_bundle(), source)
    with pytest.raises(RequestError, match=r"'pictures' has no test split. There are: train \(24\), val \(6\)"):
        evaluate(run)
    with pytest.raises(RequestError, match=r"Unknown split 'tests'. Did you mean 'test'"):
        evaluate(run, split="tests")


def test_a_model_of_no_run_needs_data(tmp_path: Path, pictures: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    tiny_bundle().save(folder)
    for ref in (folder, tiny_bundle()):
        with pytest.raises(RequestError, match=r"not known here\. Name some with --data"):
            evaluate(ref)
        assert evaluate(ref, data=pictures).count == 40


def test_a_wrong_figure_is_told_before_any_work(run: Run) -> None:
    with pytest.raises(RequestError, match=r"'\.jpg' is not a format"):
        evaluate(run, figure="confusion.jpg")
    assert not (run.folder / "charts").exists()


def test_fault_27_the_models_order_of_classes_counts_not_the_manifests(workspace: Workspace, pictures: Path) -> None:
    turned = ("plum", "apple", "pear")
    run = save_run(workspace, tiny_bundle(classes=turned), pictures)
    found = evaluate(run, split="train")
    manifest = Manifest.load(run.folder / "manifest.parquet")
    assert manifest.classes == FRUITS
    assert [one.count for one in found.per_class] == [manifest.counts("train")[name] for name in turned]


def test_pictures_of_every_kind_are_seen_as_prediction_sees_them(run: Run, tmp_path: Path) -> None:
    """EXIF, alpha and 16 bits in a source: the report agrees with `predict` picture by picture."""
    from vitscope.workflows.predict import predict

    folder = tmp_path / "odd" / "apple"
    folder.mkdir(parents=True)
    rng, exif = np.random.default_rng(0), Image.Exif()
    exif[274] = 8
    Image.fromarray(rng.integers(0, 256, (40, 60, 4), dtype=np.uint8)).save(folder / "alpha.png")
    Image.fromarray(rng.integers(0, 65536, (40, 60), dtype=np.uint16)).save(folder / "deep.png")
    Image.fromarray(rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)).save(folder / "turned.JPG", exif=exif)
    predicted = [FRUITS.index(one.label) for one in predict(run, folder)]
    assert evaluate(run, data=tmp_path / "odd").confusion[0].tolist() == np.bincount(predicted, minlength=3).tolist()
