"""What the MNIST tasks share: training data, cross entropy, scores on the test set."""

from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional

from ._data import Samples
from ._mnist import mnist

TEST_IMAGES = 10_000
_AT_ONCE = 1000


def training_samples() -> Samples:
    """The 60,000 training images, uint8 [28, 28] each, with their labels."""
    return Samples(mnist(train=True))


def cross_entropy(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    """Mean cross entropy of `model(images)`, the logits [n, 10], against the labels."""
    images, labels = batch
    return functional.cross_entropy(model(images), labels)


def score_on_test_set(model: nn.Module, *, count: int = TEST_IMAGES) -> dict[str, float]:
    """Mean cross entropy (`loss`) and share of right answers (`accuracy`) on `count` test images.

    They are drawn without order once and are the same for everyone.
    """
    images, labels = _test_images(count)
    loss, right = 0.0, 0
    for some, their_labels in zip(
        torch.split(images, _AT_ONCE), torch.split(labels, _AT_ONCE), strict=True
    ):
        logits = model(some)
        loss += functional.cross_entropy(logits, their_labels, reduction="sum").item()
        right += int(torch.count_nonzero(logits.argmax(dim=1) == their_labels))
    return {"loss": loss / len(labels), "accuracy": right / len(labels)}


def require_test_images(count: int) -> None:
    """Refuse a number of test images that there are not."""
    if not 1 <= count <= TEST_IMAGES:
        raise ValueError(f"Expected 1 to {TEST_IMAGES} test images, got {count}; use 1000 to save.")


@cache
def _test_images(count: int) -> tuple[Tensor, Tensor]:
    images, labels = mnist(train=False)
    if count == TEST_IMAGES:
        return images, labels
    chosen = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))[:count]
    return images[chosen], labels[chosen]


def unit_images(images: Tensor, dtype: torch.dtype) -> Tensor:
    """Images in [0, 1]: uint8 is divided by 255, floating point is taken as it is."""
    if images.dtype == torch.uint8:
        return images.to(dtype).div_(255)
    return images.to(dtype)
