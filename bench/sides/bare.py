"""The bare step: forward, backward and AdamW on one batch on the device, as ViTScope computes (`sides.settled`).

No data, no schedule, no recording, no augmentation: the speed that a trainer could have at most. Prints FLOPs too.
"""

from __future__ import annotations

import torch
from peers.work import MARK, Clock, Work, model
from torch.utils.flop_counter import FlopCounterMode

from vitscope.config import build, parse_assignments
from vitscope.machine import choose, probe
from vitscope.workflows.forward import compiled, set_attention

CLASSES = 10


def main() -> None:
    work = Work.given()
    clock = Clock(work)
    asked = {name: value for name, value in parse_assignments(work.options).items() if name == "train"}
    choices = choose(build(asked).train, probe(), total_steps=100_000)
    torch.manual_seed(work.seed)
    torch.set_num_threads(choices.threads)
    device, size = torch.device(choices.device), work.batch_size or 32
    clock.images = size
    net = model(work, CLASSES).to(device).train()
    set_attention(net, choices.attention)
    images = torch.randn(size, 3, work.image_size, work.image_size, device=device)
    labels = torch.randint(CLASSES, (size,), device=device)
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=choices.precision == "bf16")
    with FlopCounterMode(display=False) as counter:
        torch.nn.functional.cross_entropy(net(images[:2]), labels[:2]).backward()
    print(f'{MARK}{{"flops_an_image": {counter.get_total_flops() / 2}}}')
    forward = compiled(net, choices.compiler) if choices.compile else net
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=0.05, fused=True)
    while True:  # the clock ends it
        with autocast:
            loss = torch.nn.functional.cross_entropy(forward(images), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()


if __name__ == "__main__":
    main()
