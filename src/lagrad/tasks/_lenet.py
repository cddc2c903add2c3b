"""LeNet on MNIST, the network of the note."""

from functools import partial
from math import sqrt

from torch import Tensor, nn
from torch.nn import functional

from ._classify import (
    TEST_IMAGES,
    cross_entropy,
    require_test_images,
    score_on_test_set,
    training_samples,
    unit_images,
)
from ._task import Task


class LeNet(nn.Module):
    """Caffe's LeNet, 431,080 parameters: no nonlinearity after the convolutions but the pools.

        conv 5x5 1->20, max pool 2, conv 5x5 20->50, max pool 2, dense 800->500, ReLU,
        dense 500->10

    Images: uint8, or floating point in [0, 1]; [n, 28, 28] or [n, 1, 28, 28]. Returns logits
    [n, 10]. Weights start uniform in +-sqrt(3 / fan_in), biases at 0, as in Caffe's example.

    >>> sum(p.numel() for p in LeNet().parameters())
    431080
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 20, 5)
        self.conv2 = nn.Conv2d(20, 50, 5)
        self.dense1 = nn.Linear(800, 500)
        self.dense2 = nn.Linear(500, 10)
        for layer in (self.conv1, self.conv2, self.dense1, self.dense2):
            limit = sqrt(3 / layer.weight[0].numel())
            nn.init.uniform_(layer.weight, -limit, limit)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Logits [n, 10] of images [n, 28, 28]."""
        x = unit_images(images, self.conv1.weight.dtype)
        # These strides mean channels last, in which the convolutions run nearly twice as fast;
        # .to(memory_format=...) would leave the strides of a single channel as they are.
        x = x.reshape(-1, 28, 28, 1).permute(0, 3, 1, 2)
        x = functional.max_pool2d(self.conv1(x), 2)
        x = functional.max_pool2d(self.conv2(x), 2)
        x = functional.relu(self.dense1(x.flatten(1)))
        logits: Tensor = self.dense2(x)
        return logits


def lenet_mnist(*, batch_size: int = 256, test_images: int = TEST_IMAGES) -> Task:
    """LeNet on MNIST with cross entropy; scores: test `loss` and `accuracy`.

    test_images: how many are scored; all 10,000 take as long as fifteen gradients of 256 images.

    >>> lenet_mnist().batch_size
    256
    """
    require_test_images(test_images)
    return Task(
        name="lenet-mnist",
        model=LeNet,
        loss=cross_entropy,
        data=training_samples,
        batch_size=batch_size,
        evaluate=partial(score_on_test_set, count=test_images),
    )
