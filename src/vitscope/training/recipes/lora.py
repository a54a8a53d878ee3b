"""From given weights, which stay as they are: small products beside them learn (LoRA, arXiv:2106.09685), and the head.

For weights that a few hundred pictures would only spoil, and for little memory: neither gradients nor moments of the
given matrices are kept. The rate is about ten times that of fine-tuning. Needs `pip install 'vitscope[lora]'`.
Command: `vitscope train FOLDER --recipe lora --model vit_small_patch14_dinov2 --pretrained`.
"""

OPTIONS = {
    "model": {"lora_rank": 8},
    "optim": {"lr": 1e-3, "weight_decay": 0.01},
    "train": {"epochs": 10, "batch_size": 32, "label_smoothing": 0.1},
    "schedule": {"warmup_ratio": 0.1},
    "augment": {"crop_scale": [0.35, 1.0], "flip": 0.5},
}
