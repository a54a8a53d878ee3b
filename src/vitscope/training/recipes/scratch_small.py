"""From random weights, on some hundreds to some ten thousand small pictures.

A narrow ViT over 64 patches from a few convolutions and poolings (`vit_tiny_poolstem`), which it averages, of pictures
that grow from half their size; Muon with a high rate, with which a run of few steps gets much further than with AdamW;
gentle turns, shifts, scales and light on whole batches instead of hard crops, and no flip (a mirrored sign or digit is
often another one; photos gain from `--flip 0.5`, which `auto` sets where the classes are named as things are).
After Compact Transformers (arXiv:2104.05704) and Muon (Keller Jordan, 2024).
Command: `vitscope train FOLDER --recipe scratch-small`; `auto` fits the side and the patches to the pictures.

On sign digits (10 classes, 2,062 pictures of about 100 pixels, a fifth of them test) `--time-budget 10m` came to
100.00 % and 99.51 % test (seeds 0 and 1; 95 % after 2:27) on two cores of an AMD EPYC of the third generation, AVX2
alone, 104 to 130 GFLOP/s; before the stem had shortcuts and Muon its kernels, to 100.00 % and 99.76 % (seeds 0 and 1)
on one of the first, 64 GFLOP/s. On CIFAR-10 `--time-budget 15m` came to 83.3 % test, and to 84.4 % with
`--tta flip` (seed 0; 10 epochs, 96 wide, shifted and mirrored), on two cores of an Intel Xeon with AMX (bf16, 776 to
1,858 GFLOP/s).

Chosen without the test pictures, on one core of an AMD EPYC with AVX-512 bf16 (433 GFLOP/s), seed 0 alone: validation
accuracy after ten minutes on 1,238 sign digits, at a rate of 3e-3 and 128 wide, 97.6 % with strided convolutions, 99.5
% with poolings and batch norm; after five, 99.0 % at 3e-3 and at 8e-3. A sketch of this model on CIFAR-10, five
minutes: 49.7 % at 1e-3, 55.8 % at 3e-3, 57.5 % at 8e-3, there 60.4 % with MLPs of twice the width instead of four
times. The same on one core with bf16, four minutes, with the mirror image: 73.4 % with AdamW for the stem's kernels,
77.0 % with Muon; six minutes: 76.0 % with the turns and light below, 79.5 % with shifts and mirrors alone, which `auto`
takes for 20,000 pictures and more.
"""

OPTIONS = {
    "model": {
        "name": "vit_tiny_poolstem",
        "image_size": 64,
        "drop_path": 0.1,
        "kwargs": {
            "patch_size": 8,
            "embed_dim": 192,
            "depth": 6,
            "num_heads": 3,
            "mlp_ratio": 2.0,
            "global_pool": "avg",
            "class_token": False,
        },
    },
    "optim": {"name": "muon", "lr": 5e-3, "weight_decay": 0.05},
    "train": {"epochs": 30, "batch_size": 64, "label_smoothing": 0.1},
    "schedule": {"warmup_ratio": 0.1, "start_size": 0.5},
    "augment": {
        "crop_scale": [1.0, 1.0],
        "crop_ratio": [1.0, 1.0],
        "flip": 0.0,
        "rotate": 12.0,
        "scale": 0.15,
        "shear": 6.0,
        "translate": 0.1,
        "brightness": 0.3,
        "contrast": 0.2,
    },
}
