"""From given weights and about ten pictures of each class.

Command: `vitscope train FOLDER --recipe few-shot --model vit_small_patch14_dinov2 --pretrained --image-size 224`.
"""

OPTIONS = {
    "model": {"frozen": 0.85},
    "optim": {"lr": 3e-4, "weight_decay": 0.05, "layer_decay": 0.75},
    "train": {"epochs": 40, "batch_size": 16, "label_smoothing": 0.1, "ema_decay": 0.99},
    "schedule": {"warmup_ratio": 0.1},
    "augment": {"crop_scale": [0.35, 1.0], "flip": 0.5},
}
