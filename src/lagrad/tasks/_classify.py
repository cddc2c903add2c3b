"""What the MNIST tasks share: training data, cross entropy, scores on the test set."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from ._data import Samples
from ._mnist import mnist

_TEST_BATCH = 1000


def training_samples() -> Samples:
    """The 60,000 training images, uint8 [28, 28] each, with their labels."""
    return Samples(mnist(train=True))


def cross_entropy(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    """Mean cross entropy of `model(images)`, the logits [n, 10], against the labels."""
    images, labels = batch
    return functional.cross_entropy(model(images), labels)


def score_on_test_set(model: nn.Module) -> dict[str, float]:
    """Mean cross entropy (`loss`) and share of right answers (`accuracy`) on the test set."""
    images, labels = mnist(train=False)
    loss, right = 0.0, 0
    for some, their_labels in zip(
        torch.split(images, _TEST_BATCH), torch.split(labels, _TEST_BATCH), strict=True
    ):
        logits = model(some)
        loss += functional.cross_entropy(logits, their_labels, reduction="sum").item()
        right += int(torch.count_nonzero(logits.argmax(dim=1) == their_labels))
    return {"loss": loss / len(labels), "accuracy": right / len(labels)}


def unit_images(images: Tensor, dtype: torch.dtype) -> Tensor:
    """Images in [0, 1]: uint8 is divided by 255, floating point is taken as it is."""
    if images.dtype == torch.uint8:
        return images.to(dtype).div_(255)
    return images.to(dtype)
