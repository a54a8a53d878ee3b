"""Loss and accuracy of a split, as training reports them after each epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch

from vitscope.data.loader import Batch
from vitscope.events import Metric
from vitscope.models.tta import TTA, logits


class Scores(NamedTuple):
    """Means over the `images` pictures that could be read; `top5` is None where there are five classes or fewer."""

    loss: float
    top1: float
    top5: float | None
    images: int

    def metrics(self, split: str) -> list[Metric]:
        named = {"loss": self.loss, "top1": self.top1, "top5": self.top5}
        return [Metric(split, name, value) for name, value in named.items() if value is not None]


def validate(
    module: torch.nn.Module,
    loader: Iterable[Batch],
    device: torch.device,
    tell: Callable[[str], None],
    stop_requested: Callable[[], bool] = lambda: False,
    tta: TTA = "none",
) -> Scores | None:
    """Evaluate in fp32; None when a stop is requested before the end.

    Draws no random number and leaves the module's mode as it was; `tell` gets a line for each bad picture.
    """
    was_training = module.training
    module.eval()
    loss, top1, top5, count, classes = 0.0, 0, 0, 0, 0
    with torch.inference_mode():
        for batch in loader:
            if stop_requested():
                module.train(was_training)
                return None
            for problem in batch.problems:
                tell(problem)
            if len(batch.labels) == 0:
                continue
            scores = logits(module, batch.images.to(device), tta)
            labels = batch.labels.to(device)
            classes = scores.shape[1]
            ranked = scores.topk(min(5, classes)).indices == labels[:, None]
            loss += torch.nn.functional.cross_entropy(scores, labels, reduction="sum").double().item()
            top1 += int(ranked[:, 0].sum())
            top5 += int(ranked.any(dim=1).sum())
            count += len(labels)
    module.train(was_training)
    if count == 0:
        return Scores(float("nan"), float("nan"), None, 0)
    return Scores(loss / count, top1 / count, top5 / count if classes > 5 else None, count)
