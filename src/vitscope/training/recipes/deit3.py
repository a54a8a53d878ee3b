"""From random weights, on some ten thousand pictures and more: "DeiT III: Revenge of the ViT" (arXiv:2204.07118).

3-Augment, mixup of 0.8 or CutMix, repeated augmentation, layer scale, long training. It differs: AdamW for LAMB (so
another rate), cross-entropy for binary, a gentle resized crop for the simple random crop, batches of 256 for 2048, two
views of a picture for three, 300 epochs for up to 800. Its stochastic depth grows with the model: 0.05 for S as here,
0.2 for B, 0.45 for L (`--drop-path`).
Command: `vitscope train FOLDER --recipe deit3`.
"""

OPTIONS = {
    "model": {"name": "deit3_small_patch16_224", "drop_path": 0.05},
    "optim": {"lr": 1e-3, "weight_decay": 0.02},
    "train": {"epochs": 300, "batch_size": 256, "label_smoothing": 0.0},
    "schedule": {"warmup_ratio": 0.02},
    "augment": {
        "crop_scale": [0.67, 1.0],
        "flip": 0.5,
        "policy": "three",
        "mixup": 0.8,
        "cutmix": 1.0,
        "repeats": 2,
    },
}
