"""`snapshots/`: moments of a training for the time line, taken between steps, in a bounded share of its time."""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from vitscope.config import RecordConfig
from vitscope.data.manifest import Manifest
from vitscope.errors import BadImage
from vitscope.events import Event, Notice, Observer, Replanned, RunEnded, RunStarted, StepsDone
from vitscope.inspection import snapshots
from vitscope.inspection.snapshots import Pinned
from vitscope.inspection.tokens import Tokens, tokens_if_any
from vitscope.models.bundle import load_weights
from vitscope.text import count

if TYPE_CHECKING:
    from vitscope.training.checkpoint import Trained

FOLDER = "snapshots"
MOST_BYTES = 128e6  # of all moments of a run
TRIES = 20  # pictures of a class that are tried for one that can be read


class Snapshots:
    """Observer that takes the first moment, the last, and between them as many as the share of time allows.

    It works in the training thread while the weights rest, on a copy of its own (of the moving average where there is
    one), and draws from no generator: training is the same with and without it. What goes wrong is told once and tried
    again at the next moment.
    """

    def __init__(self, trained: Trained, manifest: Manifest, record: RecordConfig, folder: Path, tell: Observer):
        self.trained, self.manifest, self.record, self.folder, self._tell = trained, manifest, record, folder, tell
        self._pace = Pace(record, 1)
        self._steps_per_epoch = 1
        self._last: int | None = None  # step of the newest moment
        self._pictures: PinnedPictures | None = None
        self._module: nn.Module | None = None
        self._initial: Mapping[str, torch.Tensor] | None = None
        self._edges = np.empty((0, 0), np.float32)
        self._unwritten = False  # what is written once
        self._told: set[str] = set()  # warnings
        self._is_sparse = False  # that moments are left out has been told

    def __call__(self, event: Event) -> None:
        match event:
            case Replanned(step=step, total_steps=total):
                self._pace.move(step, total)
            case RunStarted(start_step=start, total_steps=total, steps_per_epoch=steps_per_epoch):
                self._pace, self._steps_per_epoch = Pace(self.record, total), steps_per_epoch
                self._try(start, is_first=True)
            case StepsDone(records=records):
                step = records[-1].step
                if self._pace.is_due(step):
                    self._try(step)
                elif (text := self._pace.left_out()) and not self._is_sparse:
                    self._is_sparse = True
                    self._tell(Notice(text, "info", step))
            case RunEnded(step=step, status="finished") if step != self._last:  # it stopped early
                self._try(step)

    def _try(self, step: int, is_first: bool = False) -> None:
        began = time.monotonic()
        try:
            if is_first:
                self._begin(step)
            if not is_first or self._last is None:  # a resume goes on by the plan
                self._take(step)
        except Exception as error:  # a full disk now may have room later, and a snapshot is never worth a run
            reason = str(error).partition("\n")[0] or "no reason given"
            text = f"A snapshot could not be recorded ({type(error).__name__}: {reason}). Training goes on."
            if text not in self._told:
                self._told.add(text)
                self._tell(Notice(text, "warning", step))
        self._pace.spent(step, time.monotonic() - began)

    def _begin(self, start: int) -> None:
        """Take up what there is of an earlier attempt, and make ready what never changes."""
        snapshots.remove_after(self.folder, start if start else -1)
        self._module = copy.deepcopy(self._source).eval().requires_grad_(False)
        size = self.trained.bundle.preprocess.size
        tokens = tokens_if_any(self._module, size)
        most = self.record.snapshot_images
        if tokens is not None:
            fit = MOST_BYTES / self.record.snapshot_count / max(1, snapshots.bytes_a_picture(self._module, tokens))
            most = max(1, min(most, int(fit)))
        pinned, _ = snapshots.read_pinned(self.folder)
        self._pictures = PinnedPictures.of(self.trained, self.manifest, most, tokens, pinned)
        self._edges = self._take_up(start)
        if start == 0:
            self._initial = {name: weight.clone().cpu() for name, weight in self._module.state_dict().items()}
        elif (self.folder / snapshots.INITIAL).is_file():
            self._initial = load_weights(self.folder / snapshots.INITIAL)
        self._unwritten = start == 0 or not pinned

    def _take_up(self, start: int) -> np.ndarray:
        """Go on after the moments that are there, thinned to the plan; returns the histograms' edges."""
        there = snapshots.steps(self.folder)
        while len(there) > max(2, self._pace.most_until(start)):  # of a parent, planned for fewer steps
            for step in there[1:-1:2]:
                snapshots.moment_file(self.folder, step).unlink(missing_ok=True)
            there = [*there[:-1:2], there[-1]]
        for step in reversed(there):
            if (moment := snapshots.read_moment(self.folder, step)) is not None and "edges" in moment.arrays:
                self._last = step
                self._pace.resumed(start, moment.seconds)
                return moment.arrays["edges"]
        assert self._module is not None
        return snapshots.fixed_edges(self._module)

    def _take(self, step: int) -> None:
        if self._pictures is None or self._module is None:
            return  # what could not begin has been told
        began = time.monotonic()
        if self._unwritten:
            snapshots.write_pinned(self.folder, self._pictures.pinned, self._module)
            if self._initial is not None:
                snapshots.write_initial(self.folder, self._initial)
            self._unwritten = False
            began = time.monotonic()  # by what is done once, the next moment is not to be judged
        self._module.load_state_dict(self._source.state_dict())
        pixels, tokens = self._pictures.pixels, self._pictures.tokens
        arrays = snapshots.take(self._module, pixels, tokens, self._initial, self._edges)
        taken_s = time.monotonic() - began
        snapshots.write(self.folder, step, step / self._steps_per_epoch, taken_s, self._pictures.ids, arrays)
        self._last = step
        self._pace.took(time.monotonic() - began)

    @property
    def _source(self) -> nn.Module:
        """What evaluation uses, never the compiled form."""
        return self.trained.evaluated()


class Pace:
    """Which moments are due: planned evenly over the steps, each taken as soon as the share of time allows it.

    What the first and the last cost, which are always taken, is saved up before any other.
    """

    def __init__(self, record: RecordConfig, total_steps: int):
        self.share, self.total_steps = record.snapshot_share, total_steps
        self.planned = np.unique(np.linspace(0, total_steps, record.snapshot_count).round().astype(int))
        self._started = self._taken_at = time.monotonic()
        self._spent_s = self._cost_s = 0.0
        self._reached = 0  # planned moments up to here are taken or left out
        self._left_out = 0

    def move(self, step: int, total_steps: int) -> None:
        """Spread the moments not reached yet anew: the run, now at `step`, ends after `total_steps`."""
        past = self.planned[self.planned <= step]
        ahead = np.linspace(step, total_steps, max(2, len(self.planned) - len(past) + 1)).round().astype(int)
        self.planned, self.total_steps = np.union1d(past, ahead[1:]), total_steps

    def is_due(self, step: int) -> bool:
        if step >= self.total_steps:
            return True
        reached = self.most_until(step)
        if reached <= self._reached:
            return False
        if self.is_affordable():
            return True
        self._left_out, self._reached = self._left_out + reached - self._reached - 1, reached - 1
        return False

    def is_affordable(self) -> bool:
        """Whether another moment, and the last one after it, stay within the share of the time so far.

        One must also be earned since the one before: so they are spread evenly where there is time for a part of them.
        """
        now = time.monotonic()
        is_earned = self._cost_s <= self.share * (now - self._taken_at)
        return is_earned and self._spent_s + 2 * self._cost_s <= self.share * (now - self._started)

    def left_out(self) -> str:
        """What to tell when a planned moment has been left out; "" as long as none has."""
        if not self._left_out:
            return ""
        return (
            f"A snapshot for the time line takes {self._cost_s:.2g} s: of the {count(len(self.planned), 'moment')} "
            f"planned some are left out, to stay within {100 * self.share:g} % of the time (record.snapshot_share)."
        )

    def most_until(self, step: int) -> int:
        """How many moments the plan has up to `step`."""
        return int(np.searchsorted(self.planned, step, side="right"))

    def took(self, seconds: float) -> None:
        """Tell what one moment took, by which the next is judged."""
        self._cost_s, self._taken_at = seconds, time.monotonic()

    def spent(self, step: int, seconds: float) -> None:
        """Tell what was spent at `step`, with all that belongs to it, whether it went well or not."""
        self._spent_s += seconds
        self._reached = self.most_until(step)

    def resumed(self, step: int, seconds: float) -> None:
        """Tell that moments up to `step` exist, the last of which took `seconds`."""
        self._reached, self._cost_s = self.most_until(step), seconds


class PinnedPictures:
    """The pinned pictures, ready for the model: `pixels` (I, 3, S, S); I is 0 where none can be read."""

    def __init__(self, pinned: list[Pinned], ids: list[str], pixels: torch.Tensor, tokens: Tokens | None):
        self.pinned, self.ids, self.pixels, self.tokens = pinned, ids, pixels, tokens

    @classmethod
    def of(
        cls, trained: Trained, manifest: Manifest, most: int, tokens: Tokens | None, pinned: list[Pinned]
    ) -> PinnedPictures:
        """Those pinned before, or the first of each of the first `most` classes of validation (else test, train)."""
        preprocess = trained.bundle.preprocess
        empty = torch.empty(0, 3, preprocess.size, preprocess.size)
        split = next((name for name in ("val", "test", "train") if len(manifest.of_split(name))), "train")
        split = pinned[0].split if pinned else split
        samples = manifest.of_split(split)
        ids, labels = (samples.table[name].to_pylist() for name in ("sample_id", "label"))
        rows = {sample_id: row for row, sample_id in enumerate(ids)}
        if pinned:
            tried = [[rows[one.sample_id]] if one.sample_id in rows else [] for one in pinned]
        else:
            classes = range(len(manifest.classes))
            tried = [[row for row, label in enumerate(labels) if label == wanted][:TRIES] for wanted in classes]
        found: dict[str, torch.Tensor] = {}
        chosen = []
        for candidates in tried:
            for sample in map(samples.sample, candidates):
                try:
                    found[sample.sample_id] = preprocess(sample.path)
                except BadImage:
                    continue
                chosen.append(Pinned(sample.sample_id, manifest.classes[sample.label], split))
                break
            if len(found) >= most:
                break
        pixels = torch.stack(list(found.values())) if found else empty
        return cls(pinned or chosen, list(found), pixels, tokens)
