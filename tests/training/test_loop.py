"""The loop against independent truths: accumulation, a hand-written loop, watchers that must not matter."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import vitscope
from vitscope.config import build, merge
from vitscope.data.loader import Batch
from vitscope.errors import WorkFailed
from vitscope.events import EpochDone, Event, StepsDone
from vitscope.models.create import describe
from vitscope.storage.workspace import Workspace
from vitscope.training.checkpoint import Checkpoints
from vitscope.training.loop import Training, train_step
from vitscope.workflows.resolve import resolve
from vitscope.workflows.train import assemble


@pytest.fixture
def double() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def assembled(pictures: Path, place: Path, options: dict[str, Any]) -> Training:
    workspace = Workspace(place)
    plan = resolve(merge(options, {"data": {"source": str(pictures)}}), workspace)
    return assemble(plan, workspace, Checkpoints(place / "checkpoints"), None, lambda event: None, lambda: False)


@pytest.mark.usefixtures("double")
def test_accumulation_equals_the_large_batch_in_float64(pictures: Path, tiny: dict, tmp_path: Path):
    weights = []
    for parts in (1, 3, 8):
        t = assembled(
            pictures,
            tmp_path / str(parts),
            merge(
                tiny,
                {
                    "model": {"drop_path": 0.0},
                    "train": {"accumulation": parts},
                    "augment": {"mixup": 0.5, "cutmix": 0.5},
                },
            ),
        )
        t.trained.bundle.module.double()
        for batch in t.loader.epoch(0):
            train_step(t, batch)
        weights.append(t.trained.bundle.module.state_dict())
    for other in weights[1:]:
        for name, value in weights[0].items():
            assert (value - other[name]).abs().max() <= 1e-10, name


def test_a_step_is_what_torch_does_by_hand(pictures: Path, tiny: dict, tmp_path: Path):
    options = merge(
        tiny,
        {
            "optim": {"name": "sgd", "momentum": 0.0, "weight_decay": 0.0, "clip_grad": None, "lr": 0.1},
            "schedule": {"name": "constant", "warmup_ratio": 0.0},
        },
    )
    t = assembled(pictures, tmp_path, options)
    module = t.trained.bundle.module
    batch = next(t.loader.epoch(0))
    before = {k: v.clone() for k, v in module.named_parameters()}
    images = (batch.images.float() / 255 - torch.tensor(t.trained.bundle.preprocess.mean).view(3, 1, 1)) / torch.tensor(
        t.trained.bundle.preprocess.std
    ).view(3, 1, 1)
    generator = torch.get_rng_state()
    loss = torch.nn.functional.cross_entropy(module.train()(images), batch.labels, label_smoothing=0.1)
    gradients = dict(zip(before, torch.autograd.grad(loss, list(module.parameters())), strict=True))
    torch.set_rng_state(generator)  # the same drop path
    measured = train_step(t, batch)
    assert measured.loss.item() == pytest.approx(loss.item(), rel=1e-6)
    assert measured.grad_norm.item() == pytest.approx(
        sum(g.square().sum().item() for g in gradients.values()) ** 0.5, rel=1e-5
    )
    for name, parameter in module.named_parameters():
        assert torch.allclose(parameter, before[name] - 0.1 * gradients[name], atol=1e-7), name


def test_watchers_change_nothing(pictures: Path, tiny: dict, tmp_path: Path):
    """Weights with everything watching, guests that draw random numbers and fail included, equal those with nothing."""

    def meddler(event: Event) -> None:
        torch.rand(3)
        if isinstance(event, EpochDone):
            raise ValueError("a guest's own fault")

    options = merge(tiny, {"model": {"drop_path": 0.3}, "augment": {"mixup": 0.3}})
    alone = vitscope.train(pictures, workspace=tmp_path / "a", **options)
    watched = vitscope.train(
        pictures,
        workspace=tmp_path / "b",
        observers=[meddler, lambda event: torch.randn(1)],
        **merge(options, {"record": {"tensorboard": True, "charts": True}}),
    )
    one, other = (Checkpoints(run.folder / "checkpoints").load() for run in (alone, watched))
    assert one.weights.keys() == other.weights.keys()
    assert all(torch.equal(one.weights[k], other.weights[k]) for k in one.weights)


def test_the_seed_decides_everything(pictures: Path, tiny: dict, tmp_path: Path):
    losses = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run = vitscope.train(pictures, workspace=tmp_path / name, **merge(tiny, {"seed": seed}))
        losses.append(run.metrics().query("split == 'train' and name == 'loss'")["value"].tolist())
    assert losses[0] == losses[1] != losses[2]


def test_learns_what_is_learnable(pictures: Path, tiny: dict, tmp_path: Path):
    run = vitscope.train(
        pictures, workspace=tmp_path, **merge(tiny, {"train": {"epochs": 12}, "augment": {"crop_scale": [0.8, 1.0]}})
    )
    frame = run.metrics()
    assert frame.query("split == 'test' and name == 'top1'")["value"].iloc[-1] >= 0.9
    assert set(zip(frame["split"], frame["name"], strict=True)) >= {
        ("train", "loss"),
        ("train", "epoch_loss"),
        ("train", "top1"),
        ("val", "loss"),
        ("val", "top1"),
        ("test", "loss"),
        ("test", "top1"),
        ("", "lr"),
        ("", "grad_norm"),
        ("", "images_per_s"),
        ("", "memory_gb"),
    }


def test_early_stopping_counts_epochs_without_a_better_validation(pictures: Path, tiny: dict, tmp_path: Path):
    epochs: list[EpochDone] = []
    vitscope.train(
        pictures,
        workspace=tmp_path,
        observers=[lambda e: epochs.append(e) if isinstance(e, EpochDone) else None],
        **merge(tiny, {"train": {"epochs": 30, "early_stop_epochs": 2}, "optim": {"lr": 1e-12}}),
    )
    best = max(i for i, e in enumerate(epochs) if e.is_best)
    assert len(epochs) == best + 1 + 2 < 30


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_last_good_checkpoint(
    pictures: Path, tiny: dict, tmp_path: Path
):
    with pytest.raises(WorkFailed, match=r"loss became (nan|inf).*last good checkpoint is"):
        vitscope.train(
            pictures,
            workspace=tmp_path,
            **merge(
                tiny,
                {
                    "optim": {"name": "sgd", "lr": 100.0, "clip_grad": None},
                    "train": {"epochs": 50},
                    "augment": {"mixup": 0.2},
                },
            ),
        )
    run = vitscope.Run("latest", tmp_path)
    assert run.status == "failed"
    checkpoints = Checkpoints(run.folder / "checkpoints").all()
    for folder in checkpoints:
        weights = vitscope.ModelBundle.load(folder).module.state_dict()
        assert all(torch.isfinite(v).all() for v in weights.values())


def test_fault_02_a_picture_that_turns_bad_in_training_is_replaced_by_the_seed(
    pictures: Path, tiny: dict, tmp_path: Path
):
    told: list[list[str]] = []
    losses = []
    for name in ("a", "b"):
        texts: list[str] = []

        def watch(event: Event, texts: list[str] = texts) -> None:
            texts.append(getattr(event, "text", ""))
            if isinstance(event, StepsDone) and event.records[-1].step == 1:
                for file in sorted(pictures.rglob("*.png")):
                    if file.stem in ("003", "007"):
                        file.write_bytes(file.read_bytes()[:40])  # the same bytes in both runs: bad from then on

        run = vitscope.train(
            pictures, workspace=tmp_path / name, observers=[watch], **merge(tiny, {"train": {"epochs": 3}})
        )
        told.append([t for t in texts if "Another picture was used" in t or "Left out of the evaluation" in t])
        losses.append(run.metrics().query("split == 'train' and name == 'loss'")["value"].tolist())
        assert run.status == "finished"
    assert told[1]
    assert all(".png: a damaged image" in t or "not an image" in t for t in told[1])


def test_fault_35_a_batch_larger_than_the_data_is_told_and_lowered(pictures: Path, tiny: dict, tmp_path: Path):
    texts: list[str] = []
    run = vitscope.train(
        pictures,
        workspace=tmp_path,
        observers=[lambda e: texts.append(getattr(e, "text", ""))],
        **merge(tiny, {"train": {"batch_size": 500}}),
    )
    assert any("larger than the 29 training images: 29 is used" in t for t in texts)
    assert "batch_size: 29" in (run.folder / "config.yaml").read_text()


def test_architecture_follows_the_options():
    c = build({"model": {"name": "deit3_small_patch16_224", "image_size": 64, "kwargs": {"depth": 3}}})
    a = describe(c.model, c.data, 7)
    assert a.kwargs == {"depth": 3, "img_size": 64}
    assert a.preprocess.size == 64


def test_batches_are_full_and_every_sample_has_its_turn(pictures: Path, tiny: dict, tmp_path: Path):
    t = assembled(pictures, tmp_path, tiny)
    batches: list[Batch] = list(t.loader.epoch(0))
    assert [len(b.labels) for b in batches] == [8, 8, 8]
    assert batches[0].images.shape == (8, 3, 32, 32)
    assert batches[0].images.dtype == torch.uint8
