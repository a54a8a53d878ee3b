"""From given weights (`--pretrained` or `--init`): fewer epochs, a tenth of the rate, crops that keep the object.

Command: `vitscope train FOLDER --model vit_small_patch14_dinov2 --pretrained`.
"""

OPTIONS = {
    "optim": {"lr": 1e-4, "weight_decay": 0.05},
    "model": {"drop_path": 0.1},
    "train": {"epochs": 10, "batch_size": 32, "label_smoothing": 0.1},
    "schedule": {"warmup_ratio": 0.1},
    "augment": {"crop_scale": [0.35, 1.0], "flip": 0.5},
}
