"""From random weights: light, medium and strong augmentation after "How to train your ViT?" (arXiv:2106.10270).

The fewer the pictures and the longer the training, the more of it pays: mixup of 0.2, 0.5, 0.8, from medium on with
RandAugment, strong with dropout and stochastic depth of 0.1 too (the paper's light2, medium2, and strong2 with
regularization). It differs: batches of 256 for 4096, RandAugment at one strength, dropout before the head only.
Commands: `vitscope train FOLDER --recipe augreg-light`, `augreg-medium` or `augreg-strong`.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any


def _recipe(strength: str, regularization: float, **augment: Any) -> SimpleNamespace:
    options = {
        "model": {"name": "vit_small_patch16_224", "dropout": regularization, "drop_path": regularization},
        "optim": {"lr": 1e-3, "weight_decay": 0.1},
        "train": {"epochs": 300, "batch_size": 256, "label_smoothing": 0.0},
        "schedule": {"warmup_ratio": 0.1},
        "augment": {"crop_scale": [0.05, 1.0], "flip": 0.5, **augment},
    }
    about = (__doc__ or "").replace("light, medium and strong", strength, 1)
    return SimpleNamespace(__doc__=about, OPTIONS=options)


light = _recipe("light", 0.0, mixup=0.2)
medium = _recipe("medium", 0.0, mixup=0.5, policy="randaugment")
strong = _recipe("strong", 0.1, mixup=0.8, policy="randaugment")
