"""From given weights (`--pretrained` or `--init`): few epochs, a small rate that shrinks towards the embedding.

The rate of each layer is 0.75 of that of the one above it, as BEiT (arXiv:2106.08254) and MAE (arXiv:2111.06377)
fine-tune, with their stochastic depth of 0.1; the crops keep the object.
Command: `vitscope train FOLDER --model vit_small_patch14_dinov2 --pretrained`.
"""

OPTIONS = {
    "optim": {"lr": 3e-4, "weight_decay": 0.05, "layer_decay": 0.75},
    "model": {"drop_path": 0.1},
    "train": {"epochs": 10, "batch_size": 32, "label_smoothing": 0.1},
    "schedule": {"warmup_ratio": 0.1, "start_size": 0.6},
    "augment": {"crop_scale": [0.35, 1.0], "flip": 0.5},
}
