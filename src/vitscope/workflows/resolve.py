"""From what was asked to what will be done: every name checked, every `auto` decided, before any work.

`RunConfig` knows types and bounds; the names belong to the tables of other rooms and are looked up here, with the
closest match told. The result is a `Plan`, whose `config` holds no open choice any more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from vitscope import config
from vitscope.config import ModelConfig, RunConfig
from vitscope.data.manifest import Manifest
from vitscope.data.sources import restore
from vitscope.data.sources.kept import LARGE
from vitscope.errors import RequestError
from vitscope.machine import Choices, Machine, probe
from vitscope.models.adapters import check_peft, linear_layers
from vitscope.models.architecture import Architecture, describe
from vitscope.models.bundle import tensor_names
from vitscope.models.create import published_config
from vitscope.models.weights import classifier_prefixes
from vitscope.storage.workspace import Workspace
from vitscope.text import count, some
from vitscope.training.recipes import auto
from vitscope.workflows import consistent, suited
from vitscope.workflows.affordable import afforded
from vitscope.workflows.choices import chosen_for
from vitscope.workflows.data import prepare
from vitscope.workflows.load import locate
from vitscope.workflows.memory import check_activations, fitted
from vitscope.workflows.recipe import facts, is_open, look_at, with_recipe

# What is chosen for a machine, and how it says that it is open.
CHOICES = {"device": "auto", "precision": "auto", "attention": "auto", "compile": "auto", "threads": None}


@dataclass(frozen=True)
class Plan:
    """A run, decided: what is trained on what, how, and what a person should know before it starts."""

    config: RunConfig
    manifest: Manifest
    architecture: Architecture
    machine: Machine
    choices: Choices
    warnings: tuple[str, ...]
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

    @property
    def spare_bytes(self) -> int:
        """Memory of which a part may keep evaluation inputs; none where training was given a limit."""
        return self.machine.memory_bytes if self.config.train.memory is None else 0


class _Subject(NamedTuple):
    """What a run is about, as far as the request and the data tell; what is odd about it, and what was decided."""

    config: RunConfig
    manifest: Manifest
    warnings: list[str]
    notices: list[str]


def resolve(
    requested: Mapping[str, Any],
    workspace: Workspace,
    manifest_file: Path | None = None,
    *,
    may_measure: bool = False,
    may_time: bool = False,
) -> Plan:
    """Decide everything. `manifest_file` is the run's own manifest when it is resumed.

    With `may_measure` a long run's choices for the machine may be measured, which takes some seconds (`measure.py`);
    without, what was measured before is used, and capability decides what was not. With `may_time`, or that, a step
    may be timed to fit a run into its time budget (`affordable.py`).

    Raises `RequestError` for anything in the request, the data or the model that training would stumble over.
    """
    is_new = manifest_file is None
    if is_new:
        c, manifest, warnings, notices = _new(requested, workspace, may_time=may_time or may_measure)
    else:
        c, manifest, warnings, notices = _begun(requested, manifest_file, workspace)
    training, classes = manifest.of_split("train"), len(manifest.classes)
    c, told = suited.with_batch(c, len(training))
    notices += told
    a = describe(c.model, c.data, classes)
    c, told = suited.without_untaken(c, requested, a)
    notices += told
    c, told = suited.without_growing(c, requested, a)
    notices += told
    notices += [*suited.check_parts(c, a, classes), *suited.of_averages(c, a, classes)]
    if c.train.early_stop_epochs and len(manifest.of_split("val")) == 0:
        raise RequestError("train.early_stop_epochs: there is no validation split by which to stop early.")
    if c.model.lora_rank and is_new:
        layers = len(linear_layers(a, classes))
        notices.append(f"LoRA: pairs of rank {c.model.lora_rank} beside {layers} linear layers learn, and the head.")
    machine = probe()
    c, choices, measured = chosen_for(c, a, manifest, machine, workspace, is_new=is_new, may_measure=may_measure)
    c, told = suited.without_random_growing(c, requested)
    notices += told
    known = {
        "name": c.name or manifest.source,
        "data": {"crop_pct": a.preprocess.crop_pct, "interpolation": a.preprocess.interpolation},
        "model": {"image_size": a.preprocess.size},
    }
    c = config.build(c.model_dump(mode="json"), known)
    if c.train.checkpoint_activations:
        check_activations(a, classes)
    if c.train.memory is not None and is_new:  # a resumed run keeps what was chosen
        c, found = fitted(c, a, classes)
        notices += [found, *(text for text in suited.check_parts(c, a, classes) if text not in notices)]
    return Plan(c, manifest, a, machine, choices, (*warnings, *choices.warnings), tuple(notices), measured)


def _new(requested: Mapping[str, Any], workspace: Workspace, *, may_time: bool) -> _Subject:
    """A run that begins: its recipe by its pictures, which are looked for now, and as heavy as can be afforded."""
    c = with_recipe(requested)
    if c.data.source is None:
        raise RequestError(
            "data.source: name the pictures to train on: a folder, a table, an archive, 'torchvision:NAME', "
            "'hf:OWNER/NAME', 'digits', 'shapes', or an imported data set."
        )
    if c.model.lora_rank:
        check_peft()
    consistent.check_given(c.model)
    if c.train.time_budget is not None and "epochs" in requested.get("train", {}):
        raise RequestError("--time-budget fits the number of epochs to the time: leave --epochs out, or the budget.")
    notices = check_init(c.model, workspace)
    manifest, warnings, told = prepare(c.data, workspace)
    notices += told
    lighter: list[RunConfig] = []
    side: int | None = None
    if is_open(requested):
        pictures = look_at(manifest.of_split("train"))
        chosen = auto.choose(facts(requested, pictures))
        notices.append(chosen.reason)
        c = with_recipe(requested, pictures)
        side = pictures.side
        lighter = [with_recipe(requested, pictures, options) for options in chosen.lighter]
    may_freeze = "frozen" not in requested.get("model", {})
    c, told = afforded(c, lighter, manifest, probe(), side=side, may_time=may_time, may_freeze=may_freeze)
    return _Subject(c, manifest, warnings, [*notices, *told])


def _begun(requested: Mapping[str, Any], manifest_file: Path, workspace: Workspace) -> _Subject:
    """A run that goes on, with the pictures that it began with."""
    c = with_recipe(requested)
    if c.model.lora_rank:
        check_peft()
    manifest, warnings = pictures_of(manifest_file, workspace), []
    if len(manifest) < LARGE and (changed := manifest.changed()):  # of more, `verify.py` tells while it trains
        warnings.append(
            f"{count(len(changed), 'picture')} of {len(manifest):,} changed or vanished since the run began "
            f"({some(changed)}): what follows is not what it would have been."
        )
    return _Subject(c, manifest, warnings, [])


def pictures_of(manifest_file: Path, workspace: Workspace) -> Manifest:
    """The pictures of a run that began, those of an archive or a downloaded set made again if they are gone.

    Raises `RequestError` where none is there that the run, begun here or elsewhere, learns from.
    """
    manifest, run_id = Manifest.load(manifest_file), manifest_file.parent.name
    failed = restore(manifest, workspace)
    training = manifest.of_split("train")
    if len(training) and len(absent := training.absent()) == training.looked_at:
        raise RequestError(
            f"Run {run_id}: none of the {len(training):,} pictures that it learns from is where it was when the run "
            f"began ({some(absent)}). Bring them back to that place, or make a link there, and resume; 'vitscope "
            "predict', and 'vitscope evaluate' with --data, work without them." + "".join(f" {why}" for why in failed)
        )
    return manifest


def check_init(c: ModelConfig, workspace: Workspace) -> list[str]:
    """Raise `RequestError` where there are no such first weights; returns what to tell of them."""
    if c.init is None:
        return []
    if not Path(c.init).is_file():
        locate(c.init, workspace)
        return []
    if c.new_head:
        return []
    prefixes = classifier_prefixes(published_config(c.name))
    if not any(name.startswith(prefixes) for name in tensor_names(Path(c.init))):
        return [f"{c.init} has no classifier head; a new one starts at random."]
    return [
        f"The classes that {c.init} was trained for are not known: its head is kept as if they were those of the data "
        "in the same order. --new-head starts with a new one."
    ]


def with_choices_as_asked(resolved: Mapping[str, Any], requested: Mapping[str, Any]) -> dict[str, Any]:
    """`resolved` with what is chosen for a machine open again, as far as it was not asked for."""
    asked = requested.get("train", {})
    return config.merge(resolved, {"train": {name: asked.get(name, is_open) for name, is_open in CHOICES.items()}})


def resolve_resumed(
    resolved: Mapping[str, Any],
    requested: Mapping[str, Any],
    workspace: Workspace,
    manifest: Path,
    was_machine: str,
    *,
    may_measure: bool = False,
) -> Plan:
    """The plan of a resume: as it was decided, or, on another kind of machine, with the choices made anew and told."""
    now = probe().kind
    if was_machine == now:
        return resolve(resolved, workspace, manifest)
    plan = resolve(with_choices_as_asked(resolved, requested), workspace, manifest, may_measure=may_measure)
    told = (
        f"This run began on another kind of machine ({was_machine}); here: {now}. Device, precision and threads are "
        "chosen anew where they were not asked for; it goes on, close to but not bit for bit as there."
    )
    return replace(plan, warnings=(*plan.warnings, told))
