"""Choices by measurement, on made-up machines with made-up times."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Callable

import pytest

from tests.test_machine import A100, AVX2, BF16, MAC, V100
from vitscope.config import TrainConfig
from vitscope.machine import Machine, choose, measured
from vitscope.machine.measured import COMPILE_FROM_S, FROM_S, FROM_STEPS, ROUNDS, Candidate, Tried

LONG = 100_000  # steps
FUSED, UNFUSED = Candidate("fp32", "fused", False), Candidate("fp32", "unfused", False)


def wanted(here: Machine, steps: int = LONG, run_s: float = 1e6, **asked: object) -> list[Candidate]:
    train = TrainConfig(**asked)  # type: ignore[arg-type]
    found = measured.candidates(train, choose(train, here, steps), here.compiler, steps)
    return measured.affordable(found, run_s)


@pytest.mark.parametrize(
    ("here", "run_s", "first", "count"),
    [
        (AVX2, COMPILE_FROM_S - 1, ("fp32", "fused", False), 2),
        (AVX2, COMPILE_FROM_S, ("fp32", "fused", False), 4),
        (dataclasses.replace(AVX2, compiler=None), 1e6, ("fp32", "fused", False), 2),
        (BF16, 1e6, ("bf16", "unfused", False), 8),
        (AVX2, FROM_S - 1, None, 0),
        (BF16, COMPILE_FROM_S - 1, ("bf16", "unfused", False), 4),
        (A100, COMPILE_FROM_S - 1, None, 0),  # compiled by capability, and too short to try that
        (A100, 1e6, ("bf16", "fused", True), 8),
        (V100, 1e6, ("fp32", "fused", True), 4),
        (MAC, 1e6, None, 0),
    ],
)
def test_what_is_tried_where(here: Machine, run_s: float, first: tuple | None, count: int):
    found = wanted(here, run_s=run_s)
    assert len(found) == len(set(found)) == count
    assert (found[0] if found else None) == first
    assert [c.compile for c in found[1:]] == sorted(c.compile for c in found[1:])  # what costs a minute comes last


def test_the_likeliest_to_win_compiled_is_tried_first_and_not_where_there_are_many_sizes():
    assert wanted(BF16)[4] == ("bf16", "unfused", True)
    train = TrainConfig()
    every = measured.candidates(train, choose(train, BF16, LONG), BF16.compiler, LONG)
    assert len(measured.affordable(every, 2 * COMPILE_FROM_S, sizes=1)) == 8
    assert len(measured.affordable(every, 2 * COMPILE_FROM_S, sizes=3)) == 4


@pytest.mark.parametrize("here", [AVX2, V100])
def test_bf16_is_never_tried_without_it(here: Machine):
    assert {c.precision for c in wanted(here)} == {"fp32"}


def test_what_is_asked_for_is_never_measured_away():
    assert {c.attention for c in wanted(A100, attention="fused")} == {"fused"}
    assert {c.precision for c in wanted(A100, precision="bf16")} == {"bf16"}
    assert {c.compile for c in wanted(A100, compile="off")} == {False}
    assert wanted(AVX2, attention="fused", compile="off") == []


def test_short_and_deterministic_runs_are_chosen_for_by_capability():
    assert wanted(AVX2, FROM_STEPS - 1) == wanted(AVX2, deterministic=True) == []
    assert len(wanted(AVX2, FROM_STEPS)) == 4


def timed(speeds: dict[Candidate, float], jitter: Callable[[int], float] = lambda i: 1.0) -> Callable:
    count = itertools.count()
    return lambda candidate: speeds[candidate] * jitter(next(count))


def test_candidates_take_turns_and_the_first_step_is_not_counted():
    order: list[Candidate] = []

    def step(candidate: Candidate) -> float:
        order.append(candidate)
        return 100.0 if order.count(candidate) == 1 else float(order.count(candidate))

    tried = measured.measure([FUSED, UNFUSED], step, 4, budget=1.0)
    assert order == [FUSED, UNFUSED] * (ROUNDS + 1)
    assert tried == Tried(4, {FUSED: 3.0, UNFUSED: 3.0}, {})


@pytest.mark.parametrize(("seconds", "best"), [(0.5, UNFUSED), (0.969, UNFUSED), (0.971, FUSED), (1.5, FUSED)])
def test_the_capabilitys_choice_stays_unless_another_is_clearly_faster(seconds: float, best: Candidate):
    tried = measured.measure([FUSED, UNFUSED], timed({FUSED: 1.0, UNFUSED: seconds}), 16, budget=60)
    assert measured.winner(tried, FUSED) == best
    choices = measured.decide(choose(TrainConfig(), AVX2, LONG), tried, AVX2.compiler)
    assert (choices.attention, choices.compile, choices.compiler) == (best.attention, False, None)
    _, precision, attention, compiled, _ = choices.reasons
    assert precision == "precision fp32: no bf16 instructions on this CPU"  # not tried, so as before
    assert compiled.startswith("compile off: it wins little or nothing")
    rates = f"{16 / min(seconds, 1.0):.3g}" if best is UNFUSED else "16"
    assert attention.startswith(f"attention {best.attention}: measured, {rates} images/s against ")
    assert attention.endswith("which is no clear gain") == (seconds == 0.971)


def test_one_that_fails_is_left_out_with_why():
    compiled = FUSED._replace(compile=True)

    def step(candidate: Candidate) -> float:
        if candidate.compile:
            raise RuntimeError("g++: unrecognized option\nand much more")
        return 1.0

    tried = measured.measure([FUSED, UNFUSED, compiled], step, 16, budget=60)
    choices = measured.decide(choose(TrainConfig(), AVX2, LONG), tried, AVX2.compiler)
    assert choices.compile is False
    assert choices.reasons[3] == "compile off: measured, 16 images/s; on failed: g++: unrecognized option"
    # where what capability chose fails, what works is used
    tried = measured.measure([compiled, FUSED], step, 16, budget=60)
    assert measured.winner(tried, compiled) == FUSED
    assert measured.winner(Tried(16, {}, {FUSED: "no memory"}), FUSED) == FUSED


def test_time_that_is_up_leaves_out_what_was_not_begun():
    now = itertools.count(0, 10)  # each look at the clock is ten seconds later
    tried = measured.measure([FUSED, UNFUSED], lambda c: 1.0, 4, budget=15, clock=lambda: float(next(now)))
    assert list(tried.seconds) == [FUSED]
    assert "no time left" in tried.failed[UNFUSED]


def test_the_budget_and_how_many_images_fit_into_it():
    assert measured.budget_s([FUSED, UNFUSED], 100.0) == pytest.approx(2.0)
    assert measured.budget_s([FUSED, UNFUSED], 1e6) == 20.0
    assert measured.budget_s([FUSED, FUSED._replace(compile=True)], 3600.0) == pytest.approx(180.0)
    assert measured.images_of(2, 0.01, 16, 20.0) == 16
    assert measured.images_of(2, 0.5, 16, 20.0) == 5  # 2 candidates × 4 steps × 5 images × 0.5 s
    assert measured.images_of(2, 3.0, 16, 20.0) == 0


def test_what_is_kept_is_read_back():
    tried = Tried(16, {FUSED: 1.25, UNFUSED._replace(compile=True): 0.5}, {UNFUSED: "no memory"})
    assert measured.from_json(json.loads(json.dumps(measured.to_json(tried)))) == tried
    for broken in (None, {}, {"images": 1, "seconds": [[1]], "failed": []}):
        with pytest.raises((KeyError, TypeError, ValueError)):
            measured.from_json(broken)
