"""From what was asked to what will be done: every name checked, every `auto` decided, before any work.

`RunConfig` knows types and bounds; the names belong to the tables of other rooms and are looked up here, with the
closest match told. The result is a `Plan`, whose `config` holds no open choice any more.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from vitscope import config
from vitscope.config import ModelConfig, RunConfig
from vitscope.data.augment import Augment
from vitscope.data.loader import TrainingViews, choose_workers, workers_for
from vitscope.data.manifest import Manifest
from vitscope.data.pictures import Decoded
from vitscope.data.policies import POLICIES
from vitscope.data.sizes import some_sizes
from vitscope.data.sources.kept import LARGE
from vitscope.errors import RequestError, unknown
from vitscope.machine import Choices, Machine, choose, probe
from vitscope.models.adapters import check_peft, linear_layers
from vitscope.models.architecture import Architecture, describe
from vitscope.models.create import check_name
from vitscope.storage.workspace import Workspace
from vitscope.text import count, seconds_of, some
from vitscope.training.optim import OPTIMIZERS
from vitscope.training.recipes import RECIPES, auto
from vitscope.training.schedule import SCHEDULES
from vitscope.workflows import levers
from vitscope.workflows.data import prepare
from vitscope.workflows.load import locate
from vitscope.workflows.measure import Subject, settle, view_s
from vitscope.workflows.memory import check_activations, fitted
from vitscope.workflows.picture_cache import decide
from vitscope.workflows.suited import check_parts, without_untaken


@dataclass(frozen=True)
class Plan:
    """A run, decided: what is trained on what, how, and what a person should know before it starts."""

    config: RunConfig
    manifest: Manifest
    architecture: Architecture
    machine: Machine
    choices: Choices
    notices: tuple[str, ...]
    measured: tuple[str, ...] = ()  # choices that were measured, with the numbers

    @property
    def classes(self) -> tuple[str, ...]:
        return self.manifest.classes

    @property
    def steps_per_epoch(self) -> int:
        return len(self.manifest.of_split("train")) // self.config.train.batch_size

    @property
    def total_steps(self) -> int:
        return self.steps_per_epoch * self.config.train.epochs


LEAST_BUDGET_S = 20  # the start of the program alone takes seconds

# The tables that own a name: option → its choices. Forms and the reference page take their choices from here too.
NAMES: dict[str, Mapping[str, Any]] = {
    "recipe": RECIPES,
    "optim.name": OPTIMIZERS,
    "schedule.name": SCHEDULES,
    "augment.policy": POLICIES,
}
_NOUNS = {"optim.name": "optimizer", "schedule.name": "schedule", "augment.policy": "policy"}


def with_recipe(requested: Mapping[str, Any], pictures: Pictures | None = None) -> RunConfig:
    """Defaults < recipe < `requested`. Raises `RequestError` for a wrong option or an unknown name."""
    asked = config.build(requested)
    check_names(asked)
    if asked.recipe not in (None, "auto"):
        return levers.settled(config.build(RECIPES[asked.recipe].OPTIONS, requested), requested)
    chosen = auto.choose(facts(requested, pictures))
    built = config.build(RECIPES[chosen.recipe].OPTIONS, chosen.options, requested, {"recipe": chosen.recipe})
    return levers.settled(built, requested)


class Pictures(NamedTuple):
    """The training pictures as far as they are known before any is decoded; `side` as in `auto.Facts`."""

    images: int
    side: int


def facts(requested: Mapping[str, Any], pictures: Pictures | None) -> auto.Facts:
    """What `auto` chooses from."""
    asked = config.build(requested)
    has_weights = asked.model.pretrained or asked.model.init is not None
    has_model = bool({"name", "kwargs"} & requested.get("model", {}).keys())
    return auto.Facts(*(pictures or Pictures(0, 0)), has_weights, has_model)


def look_at(training: Manifest) -> Pictures:
    """The number of pictures and the median of their shorter sides, of a few spread over them."""
    sides = [min(size) for size in some_sizes(training)]
    return Pictures(len(training), int(statistics.median(sides)) if sides else 0)


def check_names(c: RunConfig) -> None:
    """Raise `RequestError` with the closest match for a name that no table holds, and for options that contradict."""
    for option, table in NAMES.items():
        group, _, name = option.rpartition(".")
        value = getattr(getattr(c, group) if group else c, name)
        if value is not None and value not in table:
            raise unknown(_NOUNS.get(option, option), value, table)
    check_name(c.model.name)
    if c.model.pretrained and c.model.init is not None:
        raise RequestError("--pretrained and --init both give the first weights: choose one.")
    if c.model.new_head and c.model.init is None:
        raise RequestError("model.new_head replaces the head of weights given by --init; there are none.")
    for path, (low, high) in {
        "augment.crop_scale": c.augment.crop_scale,
        "augment.crop_ratio": c.augment.crop_ratio,
    }.items():
        if not 0 < low <= high or (path.endswith("scale") and high > 1):
            raise RequestError(
                f"{path}: [{low:g}, {high:g}] is no range from a smaller to a larger number"
                f"{', at most 1' if path.endswith('scale') else ''}."
            )
    if not all(0 <= b < 1 for b in c.optim.betas):
        raise RequestError(f"optim.betas: {list(c.optim.betas)}: each must be at least 0 and below 1.")
    if c.train.time_budget is not None and seconds_of(c.train.time_budget) < LEAST_BUDGET_S:
        raise RequestError(
            f"train.time_budget: {c.train.time_budget} is too short to train anything: at least {LEAST_BUDGET_S} s."
        )
    if c.train.accumulation > c.train.batch_size:
        raise RequestError(
            f"train.accumulation: {c.train.accumulation} parts of a batch of {c.train.batch_size}: one would be empty."
        )
    levers.check(c)


def resolve(
    requested: Mapping[str, Any],
    workspace: Workspace,
    manifest_file: Path | None = None,
    *,
    may_measure: bool = False,
) -> Plan:
    """Decide everything. `manifest_file` is the run's own manifest when it is resumed.

    With `may_measure` a long run's choices for the machine may be measured, which takes some seconds (`measure.py`);
    without, what was measured before is used, and capability decides what was not.

    Raises `RequestError` for anything in the request, the data or the model that training would stumble over.
    """
    c = with_recipe(requested)
    if c.data.source is None:
        raise RequestError(
            "data.source: name the pictures to train on: a folder, 'digits', 'shapes', or an imported data set."
        )
    if c.model.lora_rank:
        check_peft()
    if manifest_file is None:  # a run that has begun goes on
        levers.check_given(c.model)
    if manifest_file is not None:
        manifest, notices = Manifest.load(manifest_file), []
        if len(manifest) < LARGE and (changed := manifest.changed()):  # of more, `verify.py` tells while it trains
            notices.append(
                f"{count(len(changed), 'picture')} of {len(manifest):,} changed or vanished since the run began "
                f"({some(changed)}): what follows is not what it would have been."
            )
    else:
        notices = check_init(c.model, workspace)
        manifest, told = prepare(c.data, workspace)
        notices += told
        if c.recipe != (asked := requested.get("recipe")) and asked in (None, "auto"):
            pictures = look_at(manifest.of_split("train"))
            notices.append(auto.choose(facts(requested, pictures)).reason)
            c = with_recipe(requested, pictures)
        if c.train.time_budget is not None and "epochs" in requested.get("train", {}):
            raise RequestError(
                "--time-budget fits the number of epochs to the time: leave --epochs out, or the budget."
            )
    architecture = describe(c.model, c.data, len(manifest.classes))
    c, told = without_untaken(c, requested, architecture)
    notices += told
    if c.schedule.start_size < 1 and not architecture.takes_any_size:
        raise RequestError(
            f"schedule.start_size: {architecture.name} takes pictures of one size only. Leave --start-size out."
        )
    if c.model.lora_rank and manifest_file is None:
        layers = linear_layers(architecture, len(manifest.classes))
        notices.append(
            f"LoRA: pairs of rank {c.model.lora_rank} beside {len(layers)} linear layers learn, and the head."
        )

    if c.train.early_stop_epochs and len(manifest.of_split("val")) == 0:
        raise RequestError("train.early_stop_epochs: there is no validation split by which to stop early.")
    training = manifest.of_split("train")
    batch_size = min(c.train.batch_size, len(training))
    if batch_size < c.train.batch_size:
        notices.append(
            f"The batch of {c.train.batch_size} is larger than the {len(training)} training images: "
            f"{batch_size} is used."
        )
    if c.train.accumulation > batch_size:
        raise RequestError(
            f"train.accumulation: {c.train.accumulation} parts of a batch of {batch_size} images: one would be empty."
        )

    if batch_size % c.augment.repeats:
        raise RequestError(
            f"augment.repeats: a batch of {batch_size} images does not hold {c.augment.repeats} views of each."
        )
    notices += check_parts(c, architecture, len(manifest.classes), batch_size)
    machine = probe()
    total_steps = len(training) // batch_size * c.train.epochs
    part = -(-batch_size // c.train.accumulation)
    subject = Subject(c, architecture, len(manifest.classes), total_steps, batch_size, part)
    choices, image_s, told = settle(subject, machine, choose(c.train, machine, total_steps), workspace, may_measure)
    cached = c.data.cache == "on"
    if manifest_file is None:
        cached, reason = decide(c, training, architecture.preprocess.size, workspace)
        choices = replace(choices, reasons=(*choices.reasons, reason))
    workers = c.data.workers
    if workers is None and may_measure and image_s is not None:
        augment = Augment(architecture.preprocess.size, c.augment, architecture.preprocess.interpolation)
        took_s = view_s(TrainingViews(training, augment, c.seed, Decoded(training)), is_cached=cached)
        workers, why = workers_for(took_s, image_s, machine.cores, on_cpu=choices.device == "cpu")
        told = (*told, why)
    elif workers is None:
        workers = choose_workers(training, machine.cores)
    decided = {
        "name": c.name or manifest.source,
        "data": {
            "workers": workers,
            "cache": "on" if cached else "off",
            "crop_pct": architecture.preprocess.crop_pct,
            "interpolation": architecture.preprocess.interpolation,
        },
        "model": {"image_size": architecture.preprocess.size},
        "train": {
            "batch_size": batch_size,
            "device": choices.device,
            "precision": choices.precision,
            "attention": choices.attention,
            "compile": "on" if choices.compile else "off",
            "threads": choices.threads,
        },
    }
    final = config.build(c.model_dump(mode="json"), decided)
    if final.train.checkpoint_activations:
        check_activations(architecture, len(manifest.classes))
    if final.train.memory is not None and manifest_file is None:  # a resumed run keeps what was chosen
        final, found = fitted(final, architecture, len(manifest.classes))
        notices.append(found)
    return Plan(final, manifest, architecture, machine, choices, (*notices, *choices.warnings), told)


def check_init(c: ModelConfig, workspace: Workspace) -> list[str]:
    """Raise `RequestError` where there are no such first weights; returns what to tell of them."""
    if c.init is None:
        return []
    if not Path(c.init).is_file():
        locate(c.init, workspace)
        return []
    if c.new_head:
        return []
    return [
        f"The classes that {c.init} was trained for are not known: its head is kept as if they were those of the data "
        "in the same order. --new-head starts with a new one."
    ]


def resolve_resumed(
    resolved: Mapping[str, Any], workspace: Workspace, manifest: Path, was_machine: str, *, may_measure: bool = False
) -> Plan:
    """The plan of a resume: as it was decided, or, on another kind of machine, with the choices made anew and told."""
    now = probe().kind
    if was_machine == now:
        return resolve(resolved, workspace, manifest)
    anew = {"device": "auto", "precision": "auto", "attention": "auto", "compile": "auto", "threads": None}
    plan = resolve(config.merge(resolved, {"train": anew}), workspace, manifest, may_measure=may_measure)
    told = (
        f"This run began on another kind of machine ({was_machine}); here: {now}. Device, precision and threads are "
        "chosen anew; it goes on, close to but not bit for bit as there."
    )
    return replace(plan, notices=(*plan.notices, told))
