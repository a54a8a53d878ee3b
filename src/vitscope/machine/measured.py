"""Choices by measurement: the few sensible ones tried for a moment, side by side, where a run is long enough.

What a step takes is asked of the caller, so that any machine can be made up in a test. Which is the faster one depends
on processor, model and size: unfused attention won 1.19× on one CPU and lost 0.86× on another (see `chosen.py`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product
from statistics import median
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from vitscope.machine.chosen import Choices

if TYPE_CHECKING:
    from vitscope.config import TrainConfig

FROM_STEPS, FROM_S = 500, 60.0  # a shorter run does not repay it, and is chosen for by capability alone
ROUNDS = 3  # timed steps of each candidate, in turn, so that what else the machine does hits all alike
MOST_IMAGES = 16  # a step on a CPU where images are large; on a GPU all that a step has, lest launching be measured
STEP_S = 0.5  # on a CPU more small images are taken, until a step lasts so long: of few, most of the time is overhead
SHARE, MOST_S = 0.02, 20.0  # of the run, and in all: what measuring may cost
COMPILE_FROM_S = 20 * 60.0  # length of a run, for each size, from which compiling, a minute a candidate, is tried
COMPILE_SHARE = 0.05  # of the run: what measuring may cost then
TIME_UP = "there was no time left to try it"
BETTER = 0.03  # share by which another must be faster than the capability's choice: less is noise


class Candidate(NamedTuple):
    """What is tried."""

    precision: Literal["fp32", "bf16"]
    attention: Literal["fused", "unfused"]
    compile: bool


class Tried(NamedTuple):
    """Median seconds of a step of `images` by candidate, and why others have none."""

    images: int
    seconds: dict[Candidate, float]
    failed: dict[Candidate, str]


def own(choices: Choices) -> Candidate:
    """What was chosen by capability."""
    return Candidate(choices.precision, choices.attention, choices.compile)


def candidates(train: TrainConfig, choices: Choices, compiler: str | None, total_steps: int) -> list[Candidate]:
    """The capability's choice first, then the others; it alone where nothing is to be measured.

    What was asked for is never measured away. bf16 is tried only where the hardware computes in it, and compiling only
    where there is a compiler (those of a run shorter than `COMPILE_FROM_S` go unused), the likeliest first.
    """
    first = own(choices)
    is_known = choices.device == "cpu" or choices.device.startswith("cuda")
    if train.deterministic or total_steps < FROM_STEPS or not is_known:
        return [first]
    precisions = ("bf16", "fp32") if train.precision == "auto" and first.precision == "bf16" else (first.precision,)
    attentions = ("fused", "unfused") if train.attention == "auto" else (first.attention,)
    can_compile = train.compile == "auto" and compiler is not None
    compiles = (False, True) if can_compile else (first.compile,)
    every = [Candidate(*one) for one in product(precisions, attentions, compiles)]
    return sorted(every, key=lambda c: (c != first, c.compile, c[:2] != first[:2], c.precision != first.precision))


def affordable(wanted: Sequence[Candidate], run_s: float, sizes: int = 1) -> list[Candidate]:
    """Those worth trying in a run of about so many seconds, whose pictures have so many sizes one after another.

    None where the capability's choice stands.
    """
    if run_s < FROM_S:
        return []
    if run_s < sizes * COMPILE_FROM_S:
        wanted = [] if wanted[0].compile else [candidate for candidate in wanted if not candidate.compile]
    return list(wanted) if len(wanted) > 1 else []


def budget_s(wanted: Sequence[Candidate], run_s: float) -> float:
    """Seconds that measuring may take."""
    return COMPILE_SHARE * run_s if any(c.compile for c in wanted) else min(SHARE * run_s, MOST_S)


def images_of(count: int, image_s: float, most: int, budget: float) -> int:
    """How many images a step may have so that `count` candidates fit into the budget; 0 where none do."""
    return min(most, int(budget / (count * (ROUNDS + 1) * image_s)))


def measure(
    wanted: Sequence[Candidate],
    step: Callable[[Candidate], float],
    images: int,
    budget: float,
    clock: Callable[[], float] = time.perf_counter,
) -> Tried:
    """Time each: one step to warm up (and compile), then `ROUNDS` in turn. One that fails is left out, with why."""
    began = clock()
    failed: dict[Candidate, str] = {}
    timed: dict[Candidate, list[float]] = {candidate: [] for candidate in wanted}
    for round_ in range(ROUNDS + 1):
        for candidate in list(timed):
            if round_ == 0 and clock() - began > budget:
                failed[candidate] = TIME_UP
                del timed[candidate]
                continue
            try:
                seconds = step(candidate)
            except Exception as error:  # whatever a compiler or a kernel does not like
                failed[candidate] = (str(error).strip() or type(error).__name__).splitlines()[0]
                del timed[candidate]
                continue
            if round_ > 0:
                timed[candidate].append(seconds)
    return Tried(images, {candidate: median(each) for candidate, each in timed.items()}, failed)


def winner(tried: Tried, first: Candidate) -> Candidate:
    """The fastest, if it is clearly faster than `first`, else that; `first` too where nothing could be timed."""
    fastest = min(tried.seconds, key=lambda c: tried.seconds[c], default=first)
    if first not in tried.seconds:
        return fastest
    return fastest if tried.seconds[fastest] <= (1 - BETTER) * tried.seconds[first] else first


def decide(choices: Choices, tried: Tried, compiler: str | None) -> Choices:
    """The choices with what was measured in the place of what the capability says, and the numbers as reasons."""
    best = winner(tried, own(choices))
    reasons = list(choices.reasons)
    for place, name in enumerate(Candidate._fields, start=1):
        if reason := _reason(name, best, tried):
            reasons[place] = reason
    return replace(
        choices,
        precision=best.precision,
        attention=best.attention,
        compile=best.compile,
        compiler=compiler if best.compile else None,
        reasons=tuple(reasons),
    )


def _reason(name: str, best: Candidate, tried: Tried) -> str:
    """`attention unfused: measured, 21.3 images/s against 18.0 fused`; "" where no other was tried."""
    others = [c for c in (*tried.seconds, *tried.failed) if getattr(c, name) != getattr(best, name)]
    if not others or best not in tried.seconds:
        return ""
    text = f"{name} {_word(getattr(best, name))}: measured, {_rate(best, tried)} images/s"
    timed = [c for c in others if c in tried.seconds]
    if not timed:
        return f"{text}; {_word(getattr(others[0], name))} failed: {tried.failed[others[0]]}"
    rival = min(timed, key=lambda c: tried.seconds[c])
    text += f" against {_rate(rival, tried)} {_word(getattr(rival, name))}"
    is_faster = tried.seconds[rival] < tried.seconds[best]
    return f"{text}, which is no clear gain" if is_faster else text


def _rate(candidate: Candidate, tried: Tried) -> str:
    return f"{tried.images / tried.seconds[candidate]:.3g}"


def _word(value: str | bool) -> str:
    return value if isinstance(value, str) else "on" if value else "off"


def to_json(tried: Tried) -> dict[str, Any]:
    """As it is kept."""
    seconds = [[*candidate, value] for candidate, value in tried.seconds.items()]
    return {"images": tried.images, "seconds": seconds, "failed": [[*c, why] for c, why in tried.failed.items()]}


def from_json(kept: Any) -> Tried:
    """What `to_json` gave. Raises `KeyError`, `TypeError` or `ValueError` for anything else."""
    images, seconds, failed = (kept[name] for name in ("images", "seconds", "failed"))
    return Tried(int(images), {Candidate(*c): float(v) for *c, v in seconds}, {Candidate(*c): w for *c, w in failed})
