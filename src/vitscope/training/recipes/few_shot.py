"""From given weights and about ten pictures of each class: the last third of the layers learns, and is averaged.

Fewer pictures than a model can be fine-tuned on whole, and more to gain than from the head alone. `--per-class 10`
takes so few of a larger data set, to try it.
Command: `vitscope train FOLDER --recipe few-shot --model vit_small_patch14_dinov2 --pretrained --image-size 224`.

Chosen on training pictures of a data set of clothing (10 classes, 10 pictures each to learn from, 150 others to score;
DINOv2 ViT-S/14 at 126 pixels, 15 epochs): 64.7 % at the end, where LoRA of rank 8 came to 54.0 % and logistic
regression on frozen features to 56.0 %. With a rate of 1e-3 it learned nothing.
"""

OPTIONS = {
    "model": {"frozen": 0.7},
    "optim": {"lr": 3e-4, "weight_decay": 0.05, "layer_decay": 0.75},
    "train": {"epochs": 15, "batch_size": 16, "label_smoothing": 0.1, "ema_decay": 0.99},
    "schedule": {"warmup_ratio": 0.1},
    "augment": {"crop_scale": [0.35, 1.0], "flip": 0.5},
}
