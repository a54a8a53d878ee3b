"""From random weights: "Better plain ViT baselines for ImageNet-1k" (arXiv:2205.01580).

The head reads the mean of the patches, without a class token; RandAugment and mixup of 0.2; neither dropout nor
stochastic depth nor label smoothing. It differs: batches of 256 for 1024 (the rate by the square root of that), learned
position embeddings for fixed sines, RandAugment at another strength.
Command: `vitscope train FOLDER --recipe better-baseline`.
"""

OPTIONS = {
    "model": {"name": "vit_small_patch16_224", "pool": "avg", "kwargs": {"class_token": False}},
    "optim": {"lr": 5e-4, "weight_decay": 0.1},
    "train": {"epochs": 90, "batch_size": 256, "label_smoothing": 0.0},
    "schedule": {"warmup_ratio": 0.1},
    "augment": {"crop_scale": [0.05, 1.0], "flip": 0.5, "policy": "randaugment", "mixup": 0.2},
}
