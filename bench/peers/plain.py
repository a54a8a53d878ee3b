"""Plain PyTorch. As it comes: torchvision's fine-tuning tutorial (SGD 0.001, momentum 0.9, a tenth every 7 of 25
epochs, batches of 4). At its best: AdamW 1e-3, weight decay 0.05, warm-up and cosine, label smoothing, batches of 64.
"""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.utils.data import DataLoader
from work import Clock, Work, evaluation_transform, folder, model, training_transform


def main() -> None:
    work = Work.given()
    clock = Clock(work)
    torch.manual_seed(work.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    epochs = work.epochs or (60 if work.is_best else 25)
    clock.images = size = work.batch_size or (64 if work.is_best else 4)
    workers = work.workers if work.is_best else 0
    train, test = folder(work, "train", training_transform(work)), folder(work, "test", evaluation_transform(work))
    batches = DataLoader(train, size, shuffle=True, drop_last=True, num_workers=workers, persistent_workers=workers > 0)
    net = model(work, len(train.classes)).to(device)
    forward = torch.compile(net) if work.is_best and work.is_compiled else net
    total = epochs * len(batches)
    if work.is_best:
        optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3 if not work.weights else 1e-4, weight_decay=0.05)
        warmup = max(1, total // 10)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda i: min(1.0, (i + 1) / warmup) * (0.5 + 0.5 * math.cos(math.pi * min(1.0, i / total)))
        )
    else:
        optimizer = torch.optim.SGD(net.parameters(), lr=0.001, momentum=0.9)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda i: 0.1 ** (i // len(batches) // 7))
    loss_of = nn.CrossEntropyLoss(label_smoothing=0.1 if work.is_best else 0.0)
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=work.is_best and work.precision == "bf16")
    for _ in range(epochs):
        net.train()
        for images, labels in batches:
            with autocast:
                loss = loss_of(forward(images.to(device)), labels.to(device))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
        if work.task == "accuracy":
            clock.tell(accuracy(net, DataLoader(test, 64, num_workers=workers), device))
    clock.finish()


@torch.inference_mode()
def accuracy(net: nn.Module, batches: DataLoader, device: torch.device) -> float:
    net.eval()
    right = [(net(images.to(device)).argmax(1).cpu() == labels).float() for images, labels in batches]
    return float(torch.cat(right).mean())


if __name__ == "__main__":
    main()
