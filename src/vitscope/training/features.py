"""Where only the head learns and every epoch sees the same pictures, the frozen layers are asked once for each picture.

What they answer, the head's input, then takes the pictures' place in the loop; the head learns as it would have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from vitscope.config import RunConfig
from vitscope.data.batches import BatchAugment
from vitscope.data.loader import Batch
from vitscope.data.sampling import Sampling, draws


def classifier(module: nn.Module) -> nn.Linear | None:
    """The last layer, where it is one linear layer of timm's own naming."""
    found: Any = module.get_classifier() if hasattr(module, "get_classifier") else None  # pyright: ignore
    return found if isinstance(found, nn.Linear) else None


def suffice(module: nn.Module, c: RunConfig) -> bool:
    """Whether features can take the pictures' place: all but the last layer rests, and nothing is random before it."""
    last = classifier(module)
    if last is None:
        return False
    learning = {id(p) for p in module.parameters() if p.requires_grad}
    if learning != {id(p) for p in last.parameters()}:
        return False
    rates = (c.model.drop_path, c.model.dropout, c.model.patch_drop)
    return not any(rates) and sees_the_same(c) and c.train.tta == "none"


def sees_the_same(c: RunConfig) -> bool:
    """Whether a picture looks the same in every epoch and is mixed with no other."""
    a = c.augment
    whole = a.crop_scale == a.crop_ratio == (1.0, 1.0)  # the largest square at the centre
    random = (a.shift, a.flip, a.policy, a.mixup, a.cutmix, BatchAugment(a, c.seed).is_on)
    return whole and not any(random) and a.repeats == 1 and c.schedule.start_size == 1


@torch.no_grad()
def of_batches(
    module: nn.Module, batches: Iterable[Batch], prepare: Callable[[torch.Tensor], torch.Tensor]
) -> list[Batch]:
    """The batches with features (B, D) in place of their images; `prepare` makes images the model's input."""
    last, was_training = classifier(module), module.training
    assert last is not None
    taken: list[torch.Tensor] = []
    hook = last.register_forward_pre_hook(lambda layer, given: taken.append(given[0]))
    module.eval()
    try:
        found = []
        for batch in batches:
            if len(batch.labels):
                module(prepare(batch.images))
                batch = batch._replace(images=taken.pop().float().cpu())
            found.append(batch)
        return found
    finally:
        hook.remove()
        module.train(was_training)


@dataclass(frozen=True)
class FeatureLoader:
    """Stands for `TrainingLoader`: the same samples in the same order, as features (N, D) that are in memory."""

    features: torch.Tensor
    labels: torch.Tensor
    samples: tuple[str, ...]
    batch_size: int
    seed: int
    sampling: Sampling = "uniform"

    @classmethod
    def of(cls, batches: Iterable[Batch], batch_size: int, seed: int, sampling: Sampling = "uniform") -> FeatureLoader:
        """From the batches of all training samples in their order."""
        there = [batch for batch in batches if len(batch.labels)]
        return cls(
            torch.cat([batch.images for batch in there]),
            torch.cat([batch.labels for batch in there]),
            tuple(sample for batch in there for sample in batch.samples),
            batch_size,
            seed,
            sampling,
        )

    @property
    def steps_per_epoch(self) -> int:
        return len(self.labels) // self.batch_size

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """As `TrainingLoader.epoch`."""
        count = self.steps_per_epoch * self.batch_size
        drawn = draws(self.sampling, self.labels.numpy(), count, self.seed, epoch)
        rows, earlier = (torch.from_numpy(each).split(self.batch_size)[start:] for each in drawn)
        for chosen, seen in zip(rows, earlier, strict=True):
            samples = tuple(self.samples[row] for row in chosen.tolist())
            yield Batch(self.features[chosen], self.labels[chosen], (), samples, tuple(seen.tolist()))

    def close(self) -> None:
        """There is no worker to end."""
