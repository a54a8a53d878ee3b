from __future__ import annotations

from pathlib import Path

import pytest
import torch

from vitscope.config import AugmentConfig, DataConfig
from vitscope.data.augment import Augment
from vitscope.data.loader import TrainingLoader, TrainingViews, choose_workers, evaluation_loader, workers_for
from vitscope.data.manifest import Manifest
from vitscope.data.pictures import Decoded
from vitscope.errors import WorkFailed
from vitscope.preprocess import Preprocess
from vitscope.storage.workspace import Workspace
from vitscope.workflows.data import prepare


@pytest.fixture
def manifest(pictures: Path, tmp_path: Path) -> Manifest:
    return prepare(DataConfig(source=str(pictures)), Workspace(tmp_path / "ws")).manifest


def views_of(samples: Manifest) -> TrainingViews:
    return TrainingViews(samples, Augment(16, AugmentConfig()), 5, Decoded(samples))


def loader(manifest: Manifest, workers: int = 0, batch_size: int = 6) -> TrainingLoader:
    return TrainingLoader(views_of(manifest.of_split("train")), batch_size, workers)


def test_the_number_of_workers_changes_nothing(manifest: Manifest):
    alone, helped = loader(manifest), loader(manifest, workers=2)
    for epoch in (0, 1):
        for one, other in zip(alone.epoch(epoch), helped.epoch(epoch), strict=True):
            assert torch.equal(one.images, other.images)
            assert torch.equal(one.labels, other.labels)
    helped.close()


def test_an_epoch_may_start_anywhere(manifest: Manifest):
    whole = list(loader(manifest).epoch(3))
    rest = list(loader(manifest).epoch(3, start=2))
    assert len(whole) == 4
    assert [b.images.sum().item() for b in rest] == [b.images.sum().item() for b in whole[2:]]


def test_augmentation_does_not_depend_on_where_the_folder_lies(manifest: Manifest, pictures: Path, tmp_path: Path):
    moved = pictures.rename(tmp_path / "elsewhere")
    moved.mkdir(exist_ok=True)
    (tmp_path / "deep").mkdir()
    again = moved.rename(tmp_path / "deep" / "pictures")
    other = prepare(DataConfig(source=str(again)), Workspace(tmp_path / "ws2")).manifest
    assert manifest.table["sample_id"].to_pylist() == other.table["sample_id"].to_pylist()


def test_loading_draws_nothing_from_torchs_generator(manifest: Manifest):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    list(loader(manifest).epoch(0))
    list(evaluation_loader(manifest.of_split("val"), Preprocess(16), 4, 0))
    assert torch.equal(before, torch.get_rng_state())


def test_evaluation_keeps_the_order_and_leaves_bad_pictures_out(manifest: Manifest):
    test = manifest.of_split("test")
    test.sample(2).path.write_bytes(b"no picture")
    batches = list(evaluation_loader(test, Preprocess(16), 3, 0))
    labels = torch.cat([b.labels for b in batches]).tolist()
    assert labels == [test.sample(i).label for i in range(len(test)) if i != 2]
    told = [p for b in batches for p in b.problems]
    assert len(told) == 1
    assert str(test.sample(2).path) in told[0]
    assert batches[0].images.dtype == torch.float32


@pytest.mark.parametrize("workers", [0, 2])
def test_when_every_picture_is_bad_it_is_told(manifest: Manifest, workers: int):
    for i in range(len(manifest)):
        manifest.sample(i).path.write_bytes(b"bad")
    batches = loader(manifest, workers)
    with pytest.raises(WorkFailed, match=r"not an image \(3 bytes\).*data check") as error:
        next(batches.epoch(0))
    batches.close()
    assert "Traceback" not in str(error.value)


def test_workers_are_chosen_by_the_size_of_files(manifest: Manifest):
    small = manifest.with_column("size_bytes", [500] * len(manifest))
    large = manifest.with_column("size_bytes", [200_000] * len(manifest))
    assert choose_workers(small, 2) == 0
    assert choose_workers(large, 2) == 2
    assert choose_workers(large, 64) == 4


@pytest.mark.parametrize(
    ("view_ms", "image_ms", "cores", "on_cpu", "expected"),
    [
        (0.1, 10, 8, True, 0),  # decoding is nothing beside the model
        (1, 10, 2, True, 1),  # half of a tenth is won
        (0.9, 10, 2, True, 0),  # less than a twentieth
        (50, 10, 1, True, 0),  # a process beside training would only take its core
        (50, 10, 2, True, 1),  # one core is left to training
        (35, 10, 16, True, 4),  # as many as keep up
        (0.6, 10, 2, False, 1),  # a GPU leaves the cores free
        (35, 1, 8, False, 8),  # never more than cores
    ],
)
def test_workers_by_what_a_view_and_an_image_take(
    view_ms: float, image_ms: float, cores: int, on_cpu: bool, expected: int
):
    number, why = workers_for(view_ms / 1000, image_ms / 1000, cores, on_cpu=on_cpu)
    assert number == expected
    assert why.startswith(f"workers {expected}: making a batch takes {view_ms / image_ms:.0%} of a step")


def test_repeated_augmentation_shows_each_picture_in_several_views(manifest: Manifest):
    views = views_of(manifest.of_split("train"))
    loader = TrainingLoader(views, 4, 0, repeats=2)
    batches = list(loader.epoch(1))
    assert len(batches) == loader.steps_per_epoch
    for batch in batches:
        assert batch.repeats == (0, 1, 0, 1)
        assert batch.samples[0::2] == batch.samples[1::2]
        assert not torch.equal(batch.images[0], batch.images[1])
    seen = [sample for batch in batches for sample in batch.samples[::2]]
    assert len(seen) == len(set(seen))
    later = list(loader.epoch(1, start=1))
    assert torch.equal(later[0].images, batches[1].images)
