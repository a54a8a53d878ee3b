"""From random weights, on a few thousand pictures and more.

After "How to train your ViT?" (arXiv:2106.10270): long training, light augmentation, stochastic depth.
Command: `vitscope train FOLDER`.
"""

OPTIONS = {
    "optim": {"lr": 1e-3, "weight_decay": 0.05},
    "model": {"drop_path": 0.1},
    "train": {"epochs": 60, "batch_size": 64, "label_smoothing": 0.1},
    "schedule": {"warmup_ratio": 0.1},
    "augment": {"crop_scale": [0.35, 1.0], "flip": 0.5},
}
