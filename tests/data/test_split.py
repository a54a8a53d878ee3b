"""The split rule, against counts by hand and properties that any right rule has."""

from __future__ import annotations

import random
from collections import Counter, defaultdict

from hypothesis import given, settings
from hypothesis import strategies as st

from vitscope.data.manifest import Manifest, Record
from vitscope.data.split import assign, few


def manifest_of(rows: list[tuple[str, str, str | None]], classes: tuple[str, ...] | None = None) -> Manifest:
    """A manifest of (class, split, group) rows; the files do not exist."""
    records = [
        Record(f"/{name}/{i}.png", f"{name}/{i}.png", name, split, 1, 0, group)
        for i, (name, split, group) in enumerate(rows)
    ]
    return Manifest.from_records(records, classes or sorted({name for name, _, _ in rows}), "made")


def plain(sizes: dict[str, int], split: str = "") -> list[tuple[str, str, str | None]]:
    return [(name, split, None) for name, size in sizes.items() for _ in range(size)]


def members(manifest: Manifest) -> dict[str, set[str]]:
    found = defaultdict(set)
    for identity, split in zip(
        manifest.table["sample_id"].to_pylist(), manifest.table["split"].to_pylist(), strict=True
    ):
        found[split].add(identity)
    return dict(found)


def sizes(manifest: Manifest, split: str) -> list[int]:
    return list(manifest.counts(split).values())


def test_none_given_holds_out_test_then_validation_of_the_rest() -> None:
    result, notice = assign(manifest_of(plain({"a": 100, "b": 50})), 0.1, 0.2, 0)
    assert sizes(result, "test") == [20, 10]
    assert sizes(result, "val") == [8, 4]
    assert sizes(result, "train") == [72, 36]
    assert notice == (
        "No validation and no test split were given: of 150 images, 30 (20 %) are held out for test and 12 (10 % of "
        "the rest) for validation, stratified by class, data.split_seed 0; 108 images remain for training."
    )


def test_a_train_folder_alone_counts_as_none_given() -> None:
    result, _ = assign(manifest_of(plain({"a": 50}, "train")), 0.1, 0.2, 0)
    assert (sizes(result, "test"), sizes(result, "val"), sizes(result, "train")) == ([10], [4], [36])


def test_train_and_test_given_takes_validation_from_train() -> None:
    given_test = manifest_of(plain({"a": 40, "b": 20}, "train") + plain({"a": 7, "b": 5}, "test"))
    result, notice = assign(given_test, 0.1, 0.2, 0)
    assert sizes(result, "val") == [4, 2] and sizes(result, "train") == [36, 18]
    assert members(result)["test"] == members(given_test)["test"]
    assert "6 of 60 training images (10 %)" in notice and "test is as given, 12." in notice


def test_train_and_validation_given_has_no_test_and_says_so() -> None:
    given_val = manifest_of(plain({"a": 40, "b": 20}, "train") + plain({"a": 7, "b": 5}, "val"))
    result, notice = assign(given_val, 0.1, 0.2, 0)
    assert members(result) == members(given_val)
    assert (
        notice == "No test split was given: 60 images for training, 12 for validation; there will be no test accuracy."
    )


def test_all_given_stays() -> None:
    everything = manifest_of(plain({"a": 9}, "train") + plain({"a": 2}, "val") + plain({"a": 3}, "test"))
    result, notice = assign(everything, 0.5, 0.5, 0)
    assert members(result) == members(everything)
    assert notice == "Split as given: 9 images for training, 2 for validation, 3 for test."


def test_validation_from_elsewhere_beside_an_unsplit_source_keeps_all_of_it_for_training() -> None:
    result, _ = assign(manifest_of(plain({"a": 10}) + plain({"a": 3}, "val")), 0.1, 0.2, 0)
    assert sizes(result, "train") == [10] and sizes(result, "val") == [3] and sizes(result, "test") == [0]


def test_fractions_of_zero_hold_nothing_out() -> None:
    result, _ = assign(manifest_of(plain({"a": 10, "b": 10})), 0.0, 0.0, 0)
    assert sizes(result, "train") == [10, 10]


def test_too_few_to_hold_out_is_told() -> None:
    result, notice = assign(manifest_of(plain({"a": 1, "b": 1})), 0.1, 0.2, 0)
    assert sizes(result, "train") == [1, 1] and "too few images" in notice


def test_samples_with_a_problem_are_no_part_of_it() -> None:
    manifest = manifest_of(plain({"a": 20}))
    bad = manifest.with_column("problem", ["a damaged image"] * 10 + [None] * 10)
    result, notice = assign(bad, 0.0, 0.2, 0)
    assert "of 10 images, 2 (20 %)" in notice
    assert result.table["split"].to_pylist()[:10] == [""] * 10


class_sizes = st.lists(st.integers(1, 60), min_size=1, max_size=12)
fractions = st.floats(0, 0.95)


@settings(max_examples=150, deadline=None)
@given(class_sizes, fractions, fractions, st.integers(0, 2**31))
def test_shares_are_within_one_sample_a_class_and_no_class_loses_all_training(
    numbers: list[int], val_fraction: float, test_fraction: float, seed: int
) -> None:
    manifest = manifest_of(plain({f"c{i:02d}": n for i, n in enumerate(numbers)}))
    result, _ = assign(manifest, val_fraction, test_fraction, seed)
    for n, train, val, test in zip(numbers, *(sizes(result, s) for s in ("train", "val", "test")), strict=True):
        assert train >= 1 and train + val + test == n
        assert abs(test - min(test_fraction * n, n - 1)) < 1 + 1e-9
        assert abs(val - min(val_fraction * (n - test), n - test - 1)) < 1 + 1e-9
    if all(n >= 2 for n in numbers):
        share = test_fraction * sum(numbers)
        assert sum(sizes(result, "test")) >= share - 0.5 - sum(n * test_fraction > n - 1 for n in numbers)
        assert sum(sizes(result, "test")) <= share + 0.5


def test_many_tiny_classes_still_give_their_share() -> None:
    result, _ = assign(manifest_of(plain({f"c{i:03d}": 2 for i in range(100)})), 0.0, 0.2, 0)
    assert sum(sizes(result, "test")) == 40  # rounding each class alone would give none


def test_the_order_of_files_and_other_files_do_not_matter() -> None:
    rows = [("a", f"a/{i}.png") for i in range(60)] + [("b", f"b/{i}.png") for i in range(40)]
    records = [Record(f"/x/{locator}", locator, name, "", 1, 0) for name, locator in rows]
    expected = members(assign(Manifest.from_records(records, ["a", "b"], "made"), 0.1, 0.2, 5)[0])
    manifest = Manifest.from_records(records, ["a", "b"], "made")
    order = list(range(len(manifest)))
    for seed in range(3):
        random.Random(seed).shuffle(order)
        shuffled = Manifest(manifest.table.take(order), manifest.classes, manifest.source)
        assert members(assign(shuffled, 0.1, 0.2, 5)[0]) == expected
    moved = [r._replace(path=f"/elsewhere/{r.locator}", mtime_ns=7) for r in records]
    assert members(assign(Manifest.from_records(moved, ["a", "b"], "made"), 0.1, 0.2, 5)[0]) == expected
    larger = [*records, *(Record(f"/c/{i}", f"c/{i}.png", "c", "", 1, 0) for i in range(50))]
    others = members(assign(Manifest.from_records(larger, ["a", "b", "c"], "made"), 0.1, 0.2, 5)[0])
    assert others["test"] >= expected["test"]


def test_another_seed_gives_another_split_and_the_same_one_the_same() -> None:
    manifest = manifest_of(plain({"a": 100, "b": 100}))
    first, again, other = (members(assign(manifest, 0.1, 0.2, seed)[0]) for seed in (0, 0, 1))
    assert first == again
    assert 0 < len(first["test"] & other["test"]) < len(first["test"])


# ---------------------------------------------------------------------------------------------- groups


def groups_by_split(manifest: Manifest) -> dict[str, set[str]]:
    found = defaultdict(set)
    for group, split in zip(manifest.table["group"].to_pylist(), manifest.table["split"].to_pylist(), strict=True):
        found[group].add(split)
    return dict(found)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 25)), min_size=8, max_size=150),
    st.integers(0, 2**31),
)
def test_fault_28_a_group_is_never_divided(drawn: list[tuple[int, int]], seed: int) -> None:
    manifest = manifest_of([(f"c{label}", "", f"patient {group}") for label, group in drawn])
    result, _ = assign(manifest, 0.2, 0.3, seed)
    assert all(len(splits) == 1 for splits in groups_by_split(result).values())
    assert all(n >= 1 for n in sizes(result, "train"))


def test_fault_28_groups_come_close_to_the_share() -> None:
    rows = [(f"c{group % 4}", "", f"video {group}") for group in range(200) for _ in range(1 + group % 7)]
    result, _ = assign(manifest_of(rows), 0.1, 0.2, 0)
    of_class = Counter(name for name, _, _ in rows)
    for name, test in result.counts("test").items():
        assert abs(test - 0.2 * of_class[name]) <= 7  # a group's size


def test_fault_28_a_class_within_one_group_stays_in_training() -> None:
    rows = [("rare", "", "p0")] * 5 + [("common", "", f"p{i}") for i in range(1, 40)]
    result, _ = assign(manifest_of(rows), 0.2, 0.4, 0)
    assert result.counts("train")["rare"] == 5
    assert result.counts("test")["common"] == 16  # 40 % of 39


def test_fault_28_samples_without_a_group_are_on_their_own() -> None:
    rows = [("a", "", "video")] * 10 + [("a", "", None)] * 90
    result, _ = assign(manifest_of(rows), 0.1, 0.2, 0)
    assert sizes(result, "test") == [20]
    assert len(groups_by_split(result)["video"]) == 1


def test_one_large_group_is_told() -> None:
    _, notice = assign(manifest_of([("a", "", "p"), ("b", "", "p")] * 50), 0.1, 0.2, 0)
    assert "too few groups" in notice


def test_a_few_of_each_class_are_trained_on_and_nothing_else_changes() -> None:
    whole, _ = assign(manifest_of(plain({"a": 100, "b": 50, "c": 8})), 0.1, 0.2, 0)
    result, notice = few(whole, 10, 0)
    assert sizes(result, "train") == [10, 10, 5]
    assert [members(result)[split] for split in ("val", "test")] == [members(whole)[split] for split in ("val", "test")]
    assert members(result)["train"] < members(whole)["train"]
    assert notice == "Training uses 25 images of 113: at most 10 of each class, data.split_seed 0."


def test_the_few_are_drawn_by_the_seed_and_fewer_are_among_them() -> None:
    whole, _ = assign(manifest_of(plain({"a": 100, "b": 50})), 0.1, 0.2, 0)
    ten, five, other = (members(few(whole, n, seed)[0])["train"] for n, seed in ((10, 0), (5, 0), (10, 1)))
    assert five < ten
    assert len(ten & other) < 10  # of 20; chance would leave about 3
