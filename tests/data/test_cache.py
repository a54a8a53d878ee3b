from __future__ import annotations

import errno
import multiprocessing
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.conftest import draw_folder
from vitscope.config import DataConfig
from vitscope.data import cache
from vitscope.data.cache import CachedPictures, CacheKind, kept, make_room, opened, slots_of
from vitscope.data.manifest import Manifest
from vitscope.data.pictures import Reduced
from vitscope.storage.workspace import Workspace
from vitscope.workflows.data import prepare


class Counting:
    """Pictures that count how often they were decoded."""

    def __init__(self, pictures: list[np.ndarray]):
        self.pictures, self.decoded = pictures, 0

    def __call__(self, row: int) -> np.ndarray:
        self.decoded += 1
        return self.pictures[row]

    def complaint(self) -> str | None:
        return None


KIND = CacheKind("of these", 16)


@pytest.fixture
def pictures() -> list[np.ndarray]:
    shapes = [(16, 16), (16, 30), (25, 16), (9, 7), (16, 90), (16, 16)]  # the fifth is too long for its slot
    return [np.random.default_rng(i).integers(0, 256, (*shape, 3), dtype=np.uint8) for i, shape in enumerate(shapes)]


def cached(folder: Path, pictures: list[np.ndarray], slots: Any = None) -> tuple[CachedPictures, Counting]:
    counting = Counting(pictures)
    place = opened(folder, KIND, len(pictures), "test")
    rows = np.arange(len(pictures)) if slots is None else np.array(slots)
    return CachedPictures(counting, place, rows, KIND.stride), counting


def test_each_picture_is_decoded_once_and_comes_back_as_it_was(tmp_path: Path, pictures: list[np.ndarray]):
    first, counting = cached(tmp_path, pictures)
    for _ in range(3):
        for row, picture in enumerate(pictures):
            assert np.array_equal(first(row), picture)
    assert counting.decoded == 5 + 3  # all but the long one once
    again, counting = cached(tmp_path, pictures)  # another run
    assert all(np.array_equal(again(row), picture) for row, picture in enumerate(pictures))
    assert counting.decoded == 1
    assert again.complaint() is None


def test_rows_find_their_slots_whatever_the_split(tmp_path: Path, pictures: list[np.ndarray]):
    cached(tmp_path, pictures)[0](3)
    other, counting = cached(tmp_path, [pictures[5], pictures[3]], slots=[5, 3])
    assert np.array_equal(other(1), pictures[3])
    assert counting.decoded == 0


@pytest.mark.parametrize("damage", ["a bit", "cut off", "only the sum"])
def test_what_is_not_whole_is_decoded_anew(tmp_path: Path, pictures: list[np.ndarray], damage: str):
    first, _ = cached(tmp_path, pictures)
    first(1)
    pixels, slots = first.folder / cache.PIXELS, first.folder / cache.SLOTS
    if damage == "a bit":
        with pixels.open("r+b") as stream:
            stream.seek(KIND.stride + 700)
            stream.write(bytes([255 - pictures[1].reshape(-1)[700]]))
    elif damage == "cut off":  # as if the power had gone before the second half was on the disk
        with pixels.open("r+b") as stream:
            stream.seek(KIND.stride + 700)
            stream.write(bytes(700))
    else:  # a wild shape
        with slots.open("r+b") as stream:
            stream.seek(cache.SLOT.size)
            stream.write(cache.SLOT.pack(12345, 65535, 65535))
    again, counting = cached(tmp_path, pictures)
    assert np.array_equal(again(1), pictures[1])
    assert counting.decoded == 1
    assert np.array_equal(again(1), pictures[1])
    assert counting.decoded == 1


def fill(folder: Path, seed: int, pictures: list[np.ndarray]) -> None:
    reader, _ = cached(folder, pictures)
    for _ in range(20):
        for row in np.random.default_rng(seed).permutation(len(pictures)):
            assert np.array_equal(reader(int(row)), pictures[int(row)])


def test_processes_that_fill_the_same_slots_agree(tmp_path: Path, pictures: list[np.ndarray]):
    context = multiprocessing.get_context("fork")
    others = [context.Process(target=fill, args=(tmp_path, seed, pictures)) for seed in range(4)]
    for process in others:
        process.start()
    for process in others:
        process.join(60)
    assert [process.exitcode for process in others] == [0] * 4
    _, counting = cached(tmp_path, pictures)
    assert counting.decoded == 0


def test_it_can_be_thrown_away_under_a_run(tmp_path: Path, pictures: list[np.ndarray]):
    first, counting = cached(tmp_path, pictures)
    first(0)
    sent = pickle.dumps(first)
    for found in kept(tmp_path):
        cache.discard(found)
    assert kept(tmp_path) == []
    assert np.array_equal(first(0), pictures[0])
    assert counting.decoded == 1  # what is open stays
    other = pickle.loads(sent)  # a worker process started anew finds nothing
    assert np.array_equal(other(0), pictures[0])
    assert "cannot be used" in (other.complaint() or "")
    assert other.complaint() is None  # told once


def test_a_full_disk_ends_the_filling_and_is_told(
    tmp_path: Path, pictures: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
):
    first, counting = cached(tmp_path, pictures)

    def full(*_: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    assert all(np.array_equal(first(row), picture) for row, picture in enumerate(pictures))
    assert "No space left" in (first.complaint() or "")
    assert counting.decoded == len(pictures)


def test_room_is_left_on_the_disk(tmp_path: Path, pictures: list[np.ndarray], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cache, "LEAST_FREE_BYTES", 10**18)
    first, _ = cached(tmp_path, pictures)
    first(0)
    assert "less than 1 GB" in (first.complaint() or "")


def test_empty_slots_take_no_room(tmp_path: Path):
    place = opened(tmp_path, KIND, 100_000, "large")
    assert (place / cache.PIXELS).stat().st_size == 100_000 * KIND.stride
    [found] = kept(tmp_path)
    assert found.bytes < 10_000_000
    assert (found.source, found.side, found.slots) == ("large", 16, 100_000)


def test_the_caches_used_longest_ago_make_room(tmp_path: Path, pictures: list[np.ndarray]):
    places = []
    for i in range(3):
        place = opened(tmp_path, CacheKind(str(i), 16), len(pictures), str(i))
        filled = CachedPictures(Counting(pictures), place, np.arange(len(pictures)), KIND.stride)
        for row in range(len(pictures)):
            filled(row)
        os.utime(place / cache.ABOUT, (1000 + i, 1000 + i))
        places.append(place)
    size = kept(tmp_path)[0].bytes
    make_room(tmp_path, places[0], size, 3 * size)
    assert {found.folder for found in kept(tmp_path)} == set(places)  # the wanted one is counted as what it will be
    make_room(tmp_path, places[0], size, 2 * size)
    assert {found.folder for found in kept(tmp_path)} == {places[0], places[2]}
    make_room(tmp_path, tmp_path / "new", 3 * size, 2 * size)
    assert kept(tmp_path) == []


def test_slots_are_the_same_for_every_split(tmp_path: Path):
    source = draw_folder(tmp_path / "data", {"a": 12, "b": 12}, size=20)

    def slots(seed: int) -> dict[str, int]:
        whole = prepare(DataConfig(source=str(source), split_seed=seed), Workspace(tmp_path / "ws")).manifest
        training: Manifest = whole.of_split("train")
        ids = training.table["sample_id"].to_pylist()
        return dict(zip(ids, slots_of(training, whole).tolist(), strict=True))

    one, other = slots(0), slots(1)
    shared = one.keys() & other.keys()
    assert len(shared) > 5
    assert one != other
    assert all(one[name] == other[name] for name in shared)
    assert len(set(one.values())) == len(one)


def test_reduced_pictures_are_what_is_kept(tmp_path: Path):
    source = draw_folder(tmp_path / "data", {"a": 6, "b": 6}, size=50)
    whole = prepare(DataConfig(source=str(source)), Workspace(tmp_path / "ws")).manifest
    training = whole.of_split("train")
    plain = Reduced(training, 16)
    kind = CacheKind(whole.fingerprint, 16)
    fresh = CachedPictures(plain, opened(tmp_path, kind, len(whole), "x"), slots_of(training, whole), kind.stride)
    for _ in range(2):
        assert all(np.array_equal(fresh(row), plain(row)) for row in range(len(training)))
    assert min(fresh(0).shape[:2]) == 16
    assert min(Image.open(training.sample(0).path).size) > 16
