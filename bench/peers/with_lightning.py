"""Lightning's Trainer. As it comes: the module of its introduction (Adam 1e-3, no augmentation beyond the resize, no
schedule), all else the Trainer's defaults. At its best: the plain script's recipe, with precision and workers to suit.
"""

from __future__ import annotations

import lightning
import torch
from torch import nn
from torch.utils.data import DataLoader
from work import Clock, Work, evaluation_transform, folder, model, training_transform


class Classifier(lightning.LightningModule):
    def __init__(self, net: nn.Module, clock: Clock):
        super().__init__()
        self.net, self.clock, self.is_best = net, clock, clock.work.is_best
        self.loss_of = nn.CrossEntropyLoss(label_smoothing=0.1 if self.is_best else 0.0)
        self.right: list[torch.Tensor] = []

    def training_step(self, batch: list[torch.Tensor], index: int) -> torch.Tensor:
        loss = self.loss_of(self.net(batch[0]), batch[1])
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch: list[torch.Tensor], index: int) -> None:
        self.right.append((self.net(batch[0]).argmax(1) == batch[1]).float())

    def on_validation_epoch_end(self) -> None:
        if not self.trainer.sanity_checking:
            self.clock.tell(float(torch.cat(self.right).mean()))
        self.right.clear()

    def configure_optimizers(self) -> object:
        if not self.is_best:
            return torch.optim.Adam(self.parameters(), lr=1e-3)
        rate = 1e-4 if self.clock.work.weights else 1e-3
        optimizer = torch.optim.AdamW(self.parameters(), lr=rate, weight_decay=0.05)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, rate, total_steps=int(self.trainer.estimated_stepping_batches), pct_start=0.1
        )
        return [optimizer], [{"scheduler": schedule, "interval": "step"}]


def main() -> None:
    work = Work.given()
    clock = Clock(work)
    lightning.seed_everything(work.seed)
    clock.images = size = work.batch_size or (64 if work.is_best else 32)
    workers = work.workers if work.is_best else 0
    is_plain = not work.is_best and work.task == "accuracy"
    train = folder(work, "train", training_transform(work, is_plain=is_plain))
    test = folder(work, "test", evaluation_transform(work))
    net = model(work, len(train.classes))
    if work.is_best and work.is_compiled:
        net.compile()
    module = Classifier(net, clock)
    options: dict = {"precision": "bf16-mixed"} if work.is_best and work.precision == "bf16" else {}
    if work.epochs:
        options["max_epochs"] = work.epochs
    trainer = lightning.Trainer(default_root_dir=work.scratch or None, **options)
    batches = DataLoader(train, size, shuffle=True, drop_last=True, num_workers=workers, persistent_workers=workers > 0)
    trainer.fit(module, batches, DataLoader(test, 64, num_workers=workers) if work.task == "accuracy" else None)
    clock.finish()


if __name__ == "__main__":
    main()
