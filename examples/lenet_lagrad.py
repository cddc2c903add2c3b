"""LeNet on MNIST: examples/lenet.py in plain PyTorch, examples/lenet_lagrad.py by many workers."""

import argparse

import torch
from torch.nn import functional
from torch.utils import data

import lagrad
from lagrad import rules
from lagrad.tasks import LeNet, mnist

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=3)
parser.add_argument("--images", type=int, default=60_000)
options = parser.parse_args()

torch.manual_seed(0)
images, labels = mnist(train=True)
train_set = data.TensorDataset(images[: options.images], labels[: options.images])
test_images, test_labels = mnist(train=False)

session = lagrad.join()
model = session.wrap(LeNet())
optimizer = session.optimizer(rules.default_rule(session.workers, lr=0.02 * session.workers))
for epoch in range(options.epochs):
    for x, y in session.batches(train_set, batch_size=256):
        optimizer.zero_grad()
        functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    with torch.no_grad():
        right = sum(
            int((model(x).argmax(1) == y).sum())
            for x, y in zip(test_images.split(1000), test_labels.split(1000), strict=True)
        )
    print(f"epoch {epoch + 1}: test accuracy {right / len(test_labels):.4f}")
