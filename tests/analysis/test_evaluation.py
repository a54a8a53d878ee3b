from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn import metrics

from vitscope.analysis.evaluation import Evaluation, Skipped, Tally, most_confused, wilson

CLASSES = tuple("abcdefgh")


@pytest.fixture
def answers() -> tuple[np.ndarray, np.ndarray]:
    """500 labels (none of class h) and probabilities that lean towards them; class g is never the most probable."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 7, 500)
    logits = rng.normal(size=(500, 8)) + 1.5 * np.eye(8)[labels]
    logits[:, 6] = -5
    exponential = np.exp(logits)
    return labels, (exponential / exponential.sum(axis=1, keepdims=True)).astype(np.float32)


def tallied(labels: np.ndarray, probabilities: np.ndarray, batch: int = 64) -> Evaluation:
    tally = Tally(CLASSES)
    for start in range(0, len(labels), batch):
        tally.add(labels[start : start + batch], probabilities[start : start + batch])
    return tally.evaluation("test")


def test_numbers_are_scikit_learns(answers: tuple[np.ndarray, np.ndarray]) -> None:
    labels, probabilities = answers
    found = tallied(labels, probabilities)
    predicted, names = probabilities.argmax(axis=1), list(range(8))
    assert found.count == 500
    assert found.top1 == metrics.accuracy_score(labels, predicted)
    assert found.top5 == pytest.approx(metrics.top_k_accuracy_score(labels, probabilities, k=5, labels=names))
    exact = probabilities.astype(np.float64)
    exact /= exact.sum(axis=1, keepdims=True)
    assert found.loss == pytest.approx(metrics.log_loss(labels, exact, labels=names), rel=1e-5)
    assert (found.confusion == metrics.confusion_matrix(labels, predicted, labels=names)).all()
    columns = metrics.precision_recall_fscore_support(labels, predicted, labels=names, zero_division=0)  # type: ignore[arg-type]
    for i, (precision, recall, f1, count) in enumerate(zip(*columns, strict=True)):
        one = found.per_class[i]
        assert (one.label, one.count) == (CLASSES[i], count)
        assert (one.precision, one.recall, one.f1) == pytest.approx((precision, recall, f1))
        assert one.correct == ((labels == i) & (predicted == i)).sum()


@pytest.mark.parametrize(("correct", "count"), [(0, 1), (1, 1), (0, 20), (20, 20), (7, 9), (350, 360), (4999, 10_000)])
def test_interval_is_scipys_wilson(correct: int, count: int) -> None:
    expected = binomtest(correct, count).proportion_ci(0.95, method="wilson")
    assert tuple(wilson(correct, count)) == pytest.approx((expected.low, expected.high), abs=1e-12)
    low, high = wilson(correct, count)
    assert 0 <= low <= correct / count <= high <= 1


def test_the_size_of_batches_changes_nothing(answers: tuple[np.ndarray, np.ndarray]) -> None:
    one, other = tallied(*answers, batch=1), tallied(*answers, batch=500)
    assert one.to_dict() | {"loss": 0} == other.to_dict() | {"loss": 0}
    assert one.loss == pytest.approx(other.loss)


def test_top5_means_nothing_with_five_classes() -> None:
    tally = Tally("abcde")
    tally.add(np.array([0]), np.full((1, 5), 0.2, np.float32))
    assert tally.evaluation("test").top5 is None


def test_a_probability_of_zero_is_a_large_loss_but_a_number() -> None:
    tally = Tally("ab")
    tally.add(np.array([1]), np.array([[1, 0]], np.float32))
    assert 80 < tally.evaluation("test").loss < 110


def test_most_confused_are_the_largest_off_the_diagonal() -> None:
    tally = Tally("abc")
    for true, predicted, times in ((0, 0, 9), (0, 1, 3), (2, 0, 5), (1, 1, 2)):
        tally.add(np.full(times, true), np.tile(np.eye(3, dtype=np.float32)[predicted], (times, 1)))
    assert most_confused(tally.evaluation("test")) == [("c", "a", 5), ("a", "b", 3)]


def test_the_dictionary_is_json_with_the_names_of_the_attributes(answers: tuple[np.ndarray, np.ndarray]) -> None:
    tally = Tally(CLASSES)
    tally.add(*answers)
    told = json.loads(
        json.dumps(tally.evaluation("val", [Skipped("x.png", "an empty file (0 bytes)")], ["told"]).to_dict())
    )
    assert list(told) == [
        *("split", "count", "loss", "top1", "top1_interval", "top5", "per_class", "confusion", "classes"),
        *("skipped", "problems", "notices", "tta"),
    ]
    assert told["split"] == "val"
    assert told["skipped"] == 1
    assert told["problems"] == [{"path": "x.png", "reason": "an empty file (0 bytes)"}]
    assert list(told["per_class"][0]) == ["label", "count", "correct", "precision", "recall", "f1"]
    assert np.sum(told["confusion"]) == 500
