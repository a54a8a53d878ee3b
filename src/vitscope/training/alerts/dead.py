"""Layers that no gradient reaches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from statistics import median

import torch

from vitscope.events import Alert, EpochDone, Event
from vitscope.text import some
from vitscope.training.alerts.onset import Onset

MEANS = ("exp_avg", "momentum")  # the running mean of the gradient, as AdamW and Muon name it
NOTHING = 1e-6  # of the median layer's: layers of a healthy model lie within a factor of a thousand
APART = 150  # steps between two looks: a mean that keeps 0.9 a step forgets six orders of magnitude in 131


class DeadLayers:
    """Tells when a layer's gradient is nothing beside the others' at two looks, `APART` steps from each other.

    It looks after an epoch, at what the optimizer keeps anyway, so it costs nothing in a step. SGD and
    schedule-free show nothing: what they keep is no mean of gradients. Frozen layers have no optimizer's state.
    """

    KIND = "dead-layers"

    def __init__(self, layers: Callable[[], Mapping[str, float]], onset: Onset):
        self._layers, self._onset = layers, onset
        self._looked_at = 0
        self._dead_before: set[str] = set()

    def __call__(self, event: Event) -> Alert | None:
        if not isinstance(event, EpochDone) or event.step - self._looked_at < APART:
            return None
        self._looked_at = event.step
        found = self._layers()
        usual = median(found.values()) if found else 0.0
        dead = {name for name, size in found.items() if size <= NOTHING * usual} if usual > 0 else set()
        still, self._dead_before = dead & self._dead_before, dead
        if not self._onset.begins(bool(still), is_over=not dead):
            return None
        names = some(name for name in found if name in still)
        what = f"{len(still)} of {len(found)} layers learn nothing: no gradient reaches {names}."
        do = (
            "Whatever they compute no longer matters to the result, often after too high a rate. Begin anew with lower "
            "--lr or a longer warm-up, and --precision fp32 where it is bf16; layers meant to stay belong to --frozen."
        )
        return Alert(event.step, self.KIND, f"{what} {do}")


def gradients(module: torch.nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, float]:
    """Layer → root mean square of the optimizer's mean gradient of its weight; of matrices and convolutions.

    (Biases and norms may have none for good reasons: a key's bias never changes what attention sees.)
    """
    sizes: dict[str, torch.Tensor] = {}
    for name, weight in module.named_parameters():
        state = optimizer.state.get(weight, {})
        mean = next((state[key] for key in MEANS if key in state), None)
        if weight.ndim >= 2 and name.endswith("weight") and isinstance(mean, torch.Tensor):
            sizes[name.removesuffix(".weight")] = mean.detach().float().square().mean().sqrt()
    values = torch.stack(list(sizes.values())).tolist() if sizes else []  # read from the device at once
    return dict(zip(sizes, values, strict=True))
