"""A residual network with BatchNorm on MNIST; its statistics travel with the parameters.

python examples/resnet.py
lagrad run --workers 4 --slow 0:4 --target 'accuracy>=0.99' examples/resnet.py
"""

import argparse
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

import lagrad
from lagrad import rules
from lagrad.tasks import mnist

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=2)
parser.add_argument("--images", type=int, default=60_000)
parser.add_argument("--width", type=int, default=64, help="of the first stage; 64: ResNet-18")
parser.add_argument("--batch", type=int, default=128)
options = parser.parse_args()


class Block(nn.Module):
    """Two convolutions beside a short cut."""

    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, width, 3, stride, padding=1, bias=False)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm1, self.norm2 = nn.BatchNorm2d(width), nn.BatchNorm2d(width)
        self.short: nn.Module = nn.Identity()
        if before != width:
            self.short = nn.Sequential(
                nn.Conv2d(before, width, 1, stride, bias=False), nn.BatchNorm2d(width)
            )

    def forward(self, x: Tensor) -> Tensor:
        """[n, before, h, w] to [n, width, h / stride, w / stride]."""
        y = self.norm2(self.conv2(functional.relu(self.norm1(self.conv1(x)))))
        return functional.relu(y + self.short(x))


def resnet(width: int) -> nn.Module:
    """Four stages of two blocks, as ResNet-18 has them."""
    widths = [1, 1, 2, 4, 8]
    blocks: list[nn.Module] = []
    for stage, (before, after) in enumerate(pairwise(width * w for w in widths)):
        blocks += [Block(before, after, 2 if stage else 1), Block(after, after, 1)]
    return nn.Sequential(
        nn.Conv2d(1, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        *blocks,
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8 * width, 10),
    )


def unit(images: Tensor) -> Tensor:
    """[n, 28, 28] of bytes to [n, 1, 28, 28] from 0 to 1."""
    return images[:, None].float() / 255


test_images, test_labels = (part[:1000] for part in mnist(train=False))


def accuracy(net: nn.Module) -> dict[str, float]:
    """On the first thousand test images."""
    return {"accuracy": (net(unit(test_images)).argmax(1) == test_labels).float().mean().item()}


torch.manual_seed(0)
session = lagrad.join()
model = session.wrap(resnet(options.width))
optimizer = session.optimizer(
    rules.Clipped(rules.PacedMomentum(0.05, 0.9, session.workers, weight_decay=5e-4))
)
session.evaluate_every(10.0, accuracy)
images, labels = (part[: options.images] for part in mnist(train=True))
for epoch in range(options.epochs):
    model.train()
    for x, y in session.batches((images, labels), batch_size=options.batch):
        optimizer.zero_grad()
        functional.cross_entropy(model(unit(x)), y).backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        print(f"epoch {epoch + 1}: accuracy {accuracy(model)['accuracy']:.2f}")
