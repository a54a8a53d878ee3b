"""Training, validation and test: which sample is in which.

Validation chooses the best model, test is only reported. What a source gives is kept; what it does not give is held
out of its training images: stratified by class, groups kept whole, ranked by a hash of (seed, sample or group), so
that the order of files, their number elsewhere and the machine do not matter.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter, defaultdict
from dataclasses import replace

from vitscope.data.manifest import Manifest
from vitscope.text import count

_Counts = Counter[int]  # samples by label


def assign(manifest: Manifest, val_fraction: float, test_fraction: float, seed: int) -> tuple[Manifest, str]:
    """The manifest with every usable sample in a split, and a sentence that says what was done.

    No split given: `test_fraction` of the images becomes test, then `val_fraction` of the rest validation. Train and
    test given: validation is held out of train. Train and validation given: there is no test. A class keeps at least
    one training image, and without groups each share is within one image a class of the fraction. Samples with a
    problem stay as they are.
    """
    usable = [problem is None for problem in manifest.table["problem"].to_pylist()]
    splits: list[str] = manifest.table["split"].to_pylist()
    given = {split for split, use in zip(splits, usable, strict=True) if use} - {"", "train"}
    pool = [i for i, split in enumerate(splits) if usable[i] and split in ("", "train")]
    for i in pool:
        splits[i] = "train"
    shares = [] if given else [("test", test_fraction)]
    shares += [] if "val" in given else [("val", val_fraction)]
    if manifest.table["group"].null_count == len(manifest):
        labels = manifest.table["label"].to_pylist()
        rows = _ranked(manifest, pool, seed)
        for split, fraction in shares:
            rows = _hold_out_alone(rows, labels, fraction, split, splits)
    else:
        units = _units(manifest, pool, seed)
        for split, fraction in shares:
            units = _hold_out(units, fraction, split, splits)
    found = Counter(split for split, use in zip(splits, usable, strict=True) if use)
    return manifest.with_column("split", splits), _sentence(given, found, val_fraction, test_fraction, seed)


def _ranked(manifest: Manifest, rows: list[int], seed: int) -> list[int]:
    """Those of `rows`, which are in no group, in the order of their hash."""
    ids = manifest.table["sample_id"].to_pylist()
    return [i for _, _, i in sorted((_rank(seed, "sample", ids[i]), ids[i], i) for i in rows)]


def _hold_out_alone(rows: list[int], labels: list[int], fraction: float, split: str, splits: list[str]) -> list[int]:
    """`_hold_out` for samples that are in no group: the first of each class go, exactly its target."""
    missing = _targets(Counter(labels[i] for i in rows), fraction)
    kept = []
    for i in rows:
        if missing[labels[i]] > 0:
            missing[labels[i]] -= 1
            splits[i] = split
        else:
            kept.append(i)
    return kept


def few(manifest: Manifest, per_class: int, seed: int) -> tuple[Manifest, str]:
    """The manifest with at most `per_class` usable training samples of each class, and a sentence that tells it.

    Those of the lowest hash of (seed, sample); with a larger `per_class` they are among those chosen then.
    """
    ids, labels, splits, problems = (manifest.table[c].to_pylist() for c in ("sample_id", "label", "split", "problem"))
    training = [i for i, split in enumerate(splits) if split == "train" and problems[i] is None]
    seen: _Counts = Counter()
    left_out = set()
    for i in sorted(training, key=lambda i: (_rank(seed, "few", ids[i]), ids[i])):
        seen[labels[i]] += 1
        if seen[labels[i]] > per_class:
            left_out.add(i)
    kept = [i for i in range(len(ids)) if i not in left_out]
    sentence = (
        f"Training uses {count(len(training) - len(left_out), 'image')} of {len(training):,}: at most {per_class} of "
        f"each class, data.split_seed {seed}."
    )
    return replace(manifest, table=manifest.table.take(kept)), sentence


class _Unit:
    """What is held out together or not at all: a group, or one sample that is in none."""

    def __init__(self) -> None:
        self.rows: list[int] = []
        self.labels: _Counts = Counter()


def _units(manifest: Manifest, rows: list[int], seed: int) -> list[_Unit]:
    """The units of `rows`, in the order of their hash."""
    ids, groups, labels = (manifest.table[c].to_pylist() for c in ("sample_id", "group", "label"))
    by_key: dict[tuple[str, str], _Unit] = defaultdict(_Unit)
    for i in rows:
        unit = by_key[("sample", ids[i]) if groups[i] is None else ("group", groups[i])]
        unit.rows.append(i)
        unit.labels[labels[i]] += 1
    return [by_key[key] for key in sorted(by_key, key=lambda key: (_rank(seed, *key), key))]


def _rank(seed: int, kind: str, name: str) -> bytes:
    return hashlib.blake2b(f"{seed}\0{kind}\0{name}".encode(), digest_size=16).digest()


def _hold_out(units: list[_Unit], fraction: float, split: str, splits: list[str]) -> list[_Unit]:
    """Move units to `split` until each class comes as close to its share as it can; returns those that remain.

    A unit is taken when that brings the counts nearer to their targets, summed over the classes, and leaves each of
    its classes a training image.
    """
    remaining: _Counts = Counter()
    for unit in units:
        remaining.update(unit.labels)
    missing = _targets(remaining, fraction)
    kept = []
    for unit in units:
        gain = sum(abs(missing[label]) - abs(missing[label] - n) for label, n in unit.labels.items())
        if gain > 0 and all(remaining[label] > n for label, n in unit.labels.items()):
            missing.subtract(unit.labels)
            remaining.subtract(unit.labels)
            for row in unit.rows:
                splits[row] = split
        else:
            kept.append(unit)
    return kept


def _targets(available: _Counts, fraction: float) -> _Counts:
    """Samples to hold out, by class: its share rounded down or up, so that the sum is the rounded share of all.

    Largest remainders are rounded up first; a class of one sample gives none.
    """
    shares = {label: fraction * n for label, n in available.items()}
    targets = Counter({label: math.floor(share) for label, share in shares.items()})
    candidates = [label for label, n in available.items() if targets[label] + 1 < n and shares[label] > targets[label]]
    candidates.sort(key=lambda label: (targets[label] - shares[label], label))
    for label in candidates[: max(0, round(sum(shares.values())) - targets.total())]:
        targets[label] += 1
    return targets


def _sentence(given: set[str], found: Counter[str], val_fraction: float, test_fraction: float, seed: int) -> str:
    train, val, test = count(found["train"], "image"), f"{found['val']:,}", f"{found['test']:,}"
    how = f"stratified by class, data.split_seed {seed}"
    if given == {"val", "test"}:
        return f"Split as given: {train} for training, {val} for validation, {test} for test."
    if given == {"val"}:
        return f"No test split was given: {train} for training, {val} for validation; there will be no test accuracy."
    if given == {"test"}:
        text = (
            f"No validation split was given: {val} of {found['train'] + found['val']:,} training images "
            f"({_percent(val_fraction)}) are held out for it, {how}; {train} remain for training; test is as given, "
            f"{test}."
        )
    else:
        text = (
            f"No validation and no test split were given: of {count(found.total(), 'image')}, {test} "
            f"({_percent(test_fraction)}) are held out for test and {val} ({_percent(val_fraction)} of the rest) for "
            f"validation, {how}; {train} remain for training."
        )
    if (val_fraction and not found["val"]) or (test_fraction and not found["test"]):
        text += " There are too few images, or too few groups, to hold out more and keep each class in training."
    return text


def _percent(fraction: float) -> str:
    return f"{100 * fraction:g} %"
