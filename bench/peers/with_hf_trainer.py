"""Hugging Face's Trainer. As it comes: its image classification example (AdamW 2e-5, linear decay, 5 epochs, batches of
8, crop and flip). At its best: 1e-3 from random weights, cosine, batches of 64, with precision and workers to suit.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from transformers import Trainer, TrainerCallback, TrainingArguments
from work import Clock, Work, evaluation_transform, folder, model, training_transform


class Classifier(nn.Module):
    """timm's model, as the Trainer wants to call it."""

    def __init__(self, net: nn.Module, label_smoothing: float):
        super().__init__()
        self.net, self.loss_of = net, nn.CrossEntropyLoss(label_smoothing=label_smoothing)

    def forward(self, pixel_values: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        logits = self.net(pixel_values)
        return {"loss": self.loss_of(logits, labels), "logits": logits}


class Curve(TrainerCallback):
    def __init__(self, clock: Clock):
        self.clock = clock

    def on_evaluate(self, *_: object, metrics: dict[str, float], **__: object) -> None:
        self.clock.tell(metrics["eval_accuracy"])


def main() -> None:
    work = Work.given()
    clock = Clock(work)
    clock.images = size = work.batch_size or (64 if work.is_best else 8)
    train = folder(work, "train", training_transform(work))
    test = folder(work, "test", evaluation_transform(work))
    best: dict = {}
    if work.is_best:
        best = {
            "learning_rate": 1e-4 if work.weights else 1e-3,
            "weight_decay": 0.05,
            "lr_scheduler_type": "cosine",
            "warmup_steps": 0.1,  # below 1: a share of the run
            "bf16": work.precision == "bf16",
            "use_cpu": not torch.cuda.is_available(),  # else it takes bf16 for a request for a GPU
            "torch_compile": work.is_compiled,
            "dataloader_num_workers": work.workers,
            "dataloader_persistent_workers": work.workers > 0,
        }
    is_evaluated = work.task == "accuracy"
    trainer = Trainer(
        model=Classifier(model(work, len(train.classes)), 0.1 if work.is_best else 0.0),
        args=TrainingArguments(
            **{
                "output_dir": work.scratch,
                "learning_rate": 2e-5,
                "num_train_epochs": work.epochs or (60 if work.is_best else 5),
                "per_device_train_batch_size": size,
                "per_device_eval_batch_size": 64 if work.is_best else 8,
                "dataloader_drop_last": True,
                "remove_unused_columns": False,
                "eval_strategy": "epoch" if is_evaluated else "no",
                "save_strategy": "epoch" if is_evaluated else "no",
                "save_total_limit": 3,
                "logging_steps": 10,
                "report_to": "none",
                "seed": work.seed,
                **best,
            }
        ),
        train_dataset=train,
        eval_dataset=test if is_evaluated else None,
        data_collator=lambda items: {
            "pixel_values": torch.stack([image for image, _ in items]),
            "labels": torch.tensor([label for _, label in items]),
        },
        compute_metrics=lambda found: {"accuracy": float(np.mean(found.predictions.argmax(1) == found.label_ids))},
        callbacks=[Curve(clock)],
    )
    trainer.train()
    clock.finish()


if __name__ == "__main__":
    main()
