"""The loop against independent truths: accumulation, a hand-written loop, watchers that must not matter."""

from __future__ import annotations

import math
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import vitscope
from vitscope.config import build, merge
from vitscope.data.loader import Batch, TrainingViews
from vitscope.errors import Interrupted, WorkFailed
from vitscope.events import Alert, EpochDone, Event, Notice, Replanned, RunStarted, StepsDone
from vitscope.metrics import query
from vitscope.models.architecture import describe
from vitscope.storage.workspace import Workspace
from vitscope.training import loop
from vitscope.training.budget import CLOSING_S, TimeBudget
from vitscope.training.checkpoint import Checkpoints
from vitscope.training.horizon import Horizon
from vitscope.training.loop import Training, replan, train_step
from vitscope.training.progress import Progress
from vitscope.training.resolution import Resolution
from vitscope.workflows import observe
from vitscope.workflows.assemble import assemble
from vitscope.workflows.resolve import resolve


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
@pytest.mark.parametrize("class_weights", ["none", "balanced"])
def test_accumulation_equals_the_large_batch_in_float64(pictures: Path, tiny: dict, tmp_path: Path, class_weights: str):
    weights = []
    for parts in (1, 3, 8):
        t = assembled(
            pictures,
            tmp_path / str(parts),
            merge(
                tiny,
                {
                    "model": {"drop_path": 0.0},
                    "train": {"accumulation": parts, "class_weights": class_weights},
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
            "train": {"precision": "fp32"},
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


def test_weighted_classes_are_torchs_weighted_cross_entropy(pictures: Path, tiny: dict, tmp_path: Path):
    t = assembled(
        pictures,
        tmp_path,
        merge(
            tiny,
            {
                "model": {"drop_path": 0.0},
                "train": {
                    "class_weights": "balanced",
                    "label_smoothing": 0.0,
                    "accumulation": 2,
                    "precision": "fp32",
                },
            },
        ),
    )
    assert t.class_weights is not None
    counts = torch.tensor([12.0, 10.0, 7.0])  # of training: 72 % of 16, 14 and 10
    torch.testing.assert_close(t.class_weights, counts.sum() / (3 * counts))
    batch = next(t.loader.epoch(0))
    images = t.trained.bundle.preprocess.normalize(batch.images)
    logits = t.trained.bundle.module.train()(images)
    expected = torch.nn.functional.cross_entropy(logits, batch.labels, weight=t.class_weights)
    assert train_step(t, batch).loss.item() == pytest.approx(expected.item(), rel=1e-5)


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
        ("", "data_wait"),
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


def test_early_stopping_counts_epochs_that_are_not_evaluated_and_evaluates_the_last(
    pictures: Path, tiny: dict, tmp_path: Path
):
    epochs: list[EpochDone] = []
    vitscope.train(
        pictures,
        workspace=tmp_path,
        observers=[lambda e: epochs.append(e) if isinstance(e, EpochDone) else None],
        **merge(tiny, {"train": {"epochs": 30, "early_stop_epochs": 5, "evaluate_every": 4}, "optim": {"lr": 1e-12}}),
    )
    is_evaluated = [any(m.split == "val" for m in e.metrics) for e in epochs]
    assert [e.is_best for e in epochs] == [True, *[False] * 5]
    assert is_evaluated == [True, False, False, True, False, True]


def test_pictures_that_grow_are_whole_before_training_stops_early(pictures: Path, tiny: dict, tmp_path: Path):
    epochs: list[EpochDone] = []
    told: list[str] = []

    def watch(event: Event) -> None:
        if isinstance(event, EpochDone):
            epochs.append(event)
        if isinstance(event, Notice):
            told.append(event.text)

    stopping = {"train": {"epochs": 12, "early_stop_epochs": 1}, "optim": {"lr": 1e-12}}
    growing = {"schedule": {"start_size": 0.5}}
    vitscope.train(pictures, workspace=tmp_path, observers=[watch], **merge(merge(tiny, stopping), growing))
    assert len(epochs) == 9 + 1  # whole from three quarters of the run on, and one whole epoch is seen
    assert any("Training pictures grow" in text for text in told)


def test_a_time_budget_holds_over_an_interruption(
    pictures: Path, tiny: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Loop, budget and checkpoints together, on a clock that each look moves by 50 ms; the pictures grow too."""
    budget_s, now = 20, [0.0]

    def look() -> float:
        now[0] += 0.05
        return now[0]

    def turned(**parts: Any) -> TimeBudget:
        now[0] = parts["since"]
        return TimeBudget(**parts, clock=look)

    monkeypatch.setattr("vitscope.workflows.assemble.TimeBudget", turned)
    seen: list[Event] = []

    def told(kind: type[Event]) -> list[Any]:
        return [event for event in seen if isinstance(event, kind)]

    def stop(event: Event) -> None:
        seen.append(event)
        if isinstance(event, EpochDone) and event.epoch == 20:
            signal.raise_signal(signal.SIGINT)

    options = merge(tiny, {"schedule": {"start_size": 0.5}, "train": {"time_budget": f"{budget_s}s"}})
    del options["train"]["epochs"]
    with pytest.raises(Interrupted):
        vitscope.train(pictures, workspace=tmp_path, observers=[stop], **options)
    before, stopped_at = told(Replanned)[-1], told(EpochDone)[-1].step
    seen.clear()
    run = vitscope.resume("latest", workspace=tmp_path, observers=[seen.append])
    (begun,), plans, last = told(RunStarted), told(Replanned), told(EpochDone)[-1]
    assert stopped_at <= begun.start_step <= stopped_at + 1
    assert begun.total_steps == before.total_steps  # the very plan, until the next
    used = [before.used_s, *(plan.used_s for plan in plans)]
    assert used == sorted(used)
    assert 0.9 * (budget_s - CLOSING_S) < used[-1] < budget_s - CLOSING_S / 2  # what closing takes is left
    assert (run.status, last.step) == ("finished", plans[-1].total_steps)
    assert ("val", "top1") in {(m.split, m.name) for m in last.metrics}


def test_alerts_are_recorded_logged_and_change_nothing(
    pictures: Path, tiny: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A loader that takes longer than the model is told once, and not again by the attempt that goes on.

    By a clock on which a view takes 4 ms and all else 2 ms from one look to the next.
    """
    seen: list[Alert] = []
    options = merge(tiny, {"train": {"epochs": 45}, "model": {"drop_path": 0.2}})
    now = [0.0]

    def passes(seconds: float) -> float:
        now[0] += seconds
        return now[0]

    with monkeypatch.context() as slow:
        real = TrainingViews.__getitem__
        slow.setattr("vitscope.training.meter.time", SimpleNamespace(perf_counter=lambda: passes(0.002)))
        slow.setattr(TrainingViews, "__getitem__", lambda views, key: (passes(0.004), real(views, key))[1])

        def stop(event: Event) -> None:
            if isinstance(event, Alert):
                seen.append(event)
            if isinstance(event, StepsDone) and event.records[-1].step == 120:
                signal.raise_signal(signal.SIGINT)

        with pytest.raises(Interrupted):
            vitscope.train(pictures, workspace=tmp_path / "slow", observers=[stop], **options)
        run = vitscope.resume("latest", workspace=tmp_path / "slow", observers=[stop])
    assert [(a.kind, a.step) for a in seen if a.kind == "starving-loader"] == [("starving-loader", 110)]
    events = query.events(run.workspace.database, run.id)
    assert [(e.step, e.data) for e in events if e.kind == "alert"] == [(a.step, {"kind": a.kind}) for a in seen]
    assert "alert at step 110, starving-loader: " in (run.folder / "train.log").read_text()
    waits = run.metrics().query("name == 'data_wait'")["value"]
    assert waits.median() > 0.4
    assert waits.between(0, 1).all()

    monkeypatch.setattr(observe, "detectors", lambda *given: [])
    alone = vitscope.train(pictures, workspace=tmp_path / "alone", **options)
    one, other = (Checkpoints(r.folder / "checkpoints").load().weights for r in (run, alone))
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("broken", ["loss", "gradient"])
def test_fault_39_what_is_no_number_stops_the_run_and_is_never_saved(
    pictures: Path, tiny: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
):
    """From the fifth step on the loss, or the gradient of a finite loss, is infinite."""
    real, steps = loop.soft_cross_entropy_sum, []

    def bad(logits: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        steps.append(1)
        value = real(logits, wanted)
        if len(steps) < 5:
            return value
        zero = logits.sum() * 0.0
        return value + (zero + math.inf if broken == "loss" else torch.sqrt(zero))  # the root's slope at 0 is infinite

    monkeypatch.setattr(loop, "soft_cross_entropy_sum", bad)
    options = merge(tiny, {"train": {"epochs": 5}, "checkpoint": {"every_steps": 1, "keep": 9}})
    told: list[Event] = []
    with pytest.raises(WorkFailed, match=r"step 5 .*last good checkpoint is step-00000004"):
        vitscope.train(pictures, workspace=tmp_path, observers=[told.append], **options)
    run = vitscope.Run("latest", tmp_path)
    (alert,) = [event for event in told if isinstance(event, Alert)]
    assert (alert.step, alert.kind) == (5, "not-finite")
    assert run.status == "failed"
    folders = Checkpoints(run.folder / "checkpoints").all()
    assert [f.name for f in folders][-1] == "step-00000004"
    for folder in folders:
        assert all(torch.isfinite(v).all() for v in vitscope.ModelBundle.load(folder).module.state_dict().values())


@pytest.mark.parametrize("average", [0.0, 0.9])
def test_fault_39_by_option_the_step_is_left_out_and_told(
    pictures: Path, tiny: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, average: float
):
    """The loss of the fifth step is no number."""
    real, steps = loop.soft_cross_entropy_sum, []

    def bad(logits: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        steps.append(1)
        return real(logits, wanted) * (math.nan if len(steps) == 5 else 1.0)

    monkeypatch.setattr(loop, "soft_cross_entropy_sum", bad)
    options = merge(
        tiny,
        {"train": {"epochs": 3, "if_not_finite": "skip", "ema_decay": average}},
        {"checkpoint": {"every_steps": 1, "keep": 9}},
    )
    told: list[str] = []
    run = vitscope.train(
        pictures, workspace=tmp_path, observers=[lambda e: told.append(getattr(e, "text", ""))], **options
    )
    assert run.status == "finished"
    (text,) = [text for text in told if "is left out" in text]
    assert text.startswith("The loss became nan and its gradient's norm nan in step 5 (epoch 2, learning rate ")
    checkpoints = Checkpoints(run.folder / "checkpoints")
    before, left_out, after = (checkpoints.load(f"step-{step:08d}") for step in (4, 5, 6))
    assert_same(before.weights, left_out.weights)
    assert_same(before.average or {}, left_out.average or {})
    assert not all(torch.equal(after.weights[name], value) for name, value in left_out.weights.items())
    assert all(torch.isfinite(value).all() for value in checkpoints.load().weights.values())
    losses = run.metrics().query("split == 'train' and name == 'epoch_loss'")["value"]
    assert losses.map(math.isfinite).all()


def assert_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_fault_39_when_every_step_is_left_out_the_run_stops(
    pictures: Path, tiny: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(loop, "soft_cross_entropy_sum", lambda logits, wanted: logits.sum() * math.nan)
    options = merge(tiny, {"train": {"epochs": 30, "if_not_finite": "skip"}})
    with pytest.raises(WorkFailed, match=r"in step 20 .*, and so in the 19 steps before\. Try a lower --lr"):
        vitscope.train(pictures, workspace=tmp_path, **options)


def test_fault_02_a_picture_that_turns_bad_in_training_is_replaced_by_the_seed(
    pictures: Path, tiny: dict, tmp_path: Path
):
    good = {file: file.read_bytes() for file in sorted(pictures.rglob("*.png"))}
    told: list[list[str]] = []
    losses: list[list[float]] = []
    for name in ("a", "b"):
        for file, content in good.items():
            file.write_bytes(content)
        texts: list[str] = []

        def watch(event: Event, texts: list[str] = texts) -> None:
            texts.append(getattr(event, "text", ""))
            if isinstance(event, StepsDone) and event.records[-1].step == 1:
                for file, content in list(good.items())[::2]:
                    file.write_bytes(content[:40])

        run = vitscope.train(
            pictures, workspace=tmp_path / name, observers=[watch], **merge(tiny, {"train": {"epochs": 3}})
        )
        assert run.status == "finished"
        told.append([t.split(": ")[-1] for t in texts if "Another picture was used" in t])
        losses.append(run.metrics().query("split == 'train' and name == 'loss'")["value"].tolist())
    assert told[0] == told[1]
    assert told[0]
    assert losses[0] == losses[1]


def test_fault_02_a_picture_that_turns_bad_is_left_out_of_the_epochs_evaluation_counted_and_told(
    pictures: Path, tiny: dict, tmp_path: Path
):
    told: list[Notice] = []
    scores: list[float] = []
    workspace = Workspace(tmp_path / "ws")
    options = merge(tiny, {"data": {"test_fraction": 0.3}})
    held_out = resolve(merge(options, {"data": {"source": str(pictures)}}), workspace).manifest.of_split("test")
    bad = held_out.sample(2).path

    def watch(event: Event) -> None:
        if isinstance(event, StepsDone) and event.records[-1].step == 1:
            bad.write_bytes(bad.read_bytes()[:60])
        if isinstance(event, Notice):
            told.append(event)
        if isinstance(event, EpochDone):
            scores.extend(m.value for m in event.metrics if (m.split, m.name) == ("test", "top1"))

    run = vitscope.train(pictures, workspace=workspace, observers=[watch], **options)
    assert run.status == "finished"
    left_out = [notice for notice in told if "Left out of the evaluation" in notice.text]
    assert [notice.text.partition(":")[0] for notice in left_out] == [str(bad)] * len(left_out)
    assert left_out
    assert all(notice.level == "warning" for notice in left_out)
    assert len(scores) == 2
    for score in scores:  # of the others alone
        assert score * (len(held_out) - 1) == pytest.approx(round(score * (len(held_out) - 1)))


def test_two_precisions_in_one_process(pictures: Path, tiny: dict, tmp_path: Path):
    for precision in ("fp32", "bf16"):
        options = merge(tiny, {"train": {"epochs": 1, "precision": precision}})
        assert vitscope.train(pictures, workspace=tmp_path, **options).status == "finished"


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


@pytest.mark.parametrize(("total", "told"), [(4, ["40%"]), (10, []), (25, [])])
def test_a_budget_of_less_than_an_epoch_is_told_once(total: int, told: list[str]):
    events: list[Event] = []
    progress = Progress()
    progress.step = 3
    horizon = Horizon(progress, 500)
    budget = SimpleNamespace(
        stepped=lambda side: None,
        is_due=lambda: True,
        replan=lambda: horizon.move(total),
        used_s=lambda: 1.0,
        seconds=30.0,
    )
    training: Any = SimpleNamespace(
        trained=SimpleNamespace(progress=progress),
        budget=budget,
        horizon=horizon,
        resolution=Resolution(32, 8),
        loader=SimpleNamespace(steps_per_epoch=10),
        emit=events.append,
    )
    cadence: Any = SimpleNamespace(total_steps=0)
    assert replan(training, cadence)
    assert replan(training, cadence)
    assert [re.search(r"\d+%", e.text).group() for e in events if isinstance(e, Notice)] == told  # type: ignore[union-attr]
    assert cadence.total_steps == total
