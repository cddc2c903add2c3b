"""Softmax regression on MNIST: convex, and strongly convex with a penalty."""

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor, nn

from ._classify import cross_entropy, score_on_test_set, training_samples, unit_images
from ._task import Task


class Softmax(nn.Module):
    """Logits linear in the 784 pixels; 7,850 parameters, all 0 at the start.

    >>> Softmax()(torch.zeros(2, 28, 28, dtype=torch.uint8)).shape
    torch.Size([2, 10])
    """

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(784, 10)
        nn.init.zeros_(self.dense.weight)
        nn.init.zeros_(self.dense.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Logits [n, 10] of images [n, 28, 28]: uint8, or floating point in [0, 1]."""
        logits: Tensor = self.dense(unit_images(images, self.dense.weight.dtype).flatten(1))
        return logits


def softmax_mnist(*, batch_size: int = 256, l2: float = 0.0) -> Task:
    """Softmax regression on MNIST; scores: test `loss` (without the penalty) and `accuracy`.

        loss = mean cross entropy + l2/2 * ‖all parameters‖^2

    l2: float >= 0; the loss is then l2-strongly convex, biases included.
    Raises: ValueError if l2 < 0.

    >>> softmax_mnist(l2=1e-4).name
    'softmax-mnist'
    """
    if not l2 >= 0:
        raise ValueError(f"Expected l2 >= 0, got {l2}; use 0 for no penalty.")
    return Task(
        name="softmax-mnist",
        model=Softmax,
        loss=partial(_penalised_cross_entropy, l2=l2),
        data=training_samples,
        batch_size=batch_size,
        evaluate=score_on_test_set,
        gradients=partial(_gradients, l2=l2),
    )


def _penalised_cross_entropy(
    model: nn.Module, batch: tuple[Tensor, Tensor], *, l2: float
) -> Tensor:
    loss = cross_entropy(model, batch)
    if l2 == 0:
        return loss
    return loss + 0.5 * l2 * torch.stack([p.square().sum() for p in model.parameters()]).sum()


def _gradients(
    points: Mapping[str, Tensor],
    batches: tuple[Tensor, Tensor],
    out: Mapping[str, Tensor],
    *,
    l2: float,
) -> Tensor:
    """Of all parameters, from the logits' own gradients: (softmax - one hot) / batch size."""
    weight, bias = points["dense.weight"], points["dense.bias"]
    images, labels = batches
    inputs = unit_images(images, weight.dtype).flatten(2)
    logits = torch.baddbmm(bias[:, None], inputs, weight.mT)
    logarithms = torch.log_softmax(logits, 2)
    right = labels[:, :, None]
    losses = -logarithms.gather(2, right).mean((1, 2))
    errors = logarithms.exp_()
    errors.scatter_add_(2, right, errors.new_full((1, 1, 1), -1.0).expand(right.shape))
    errors.div_(right.shape[1])
    torch.bmm(errors.mT, inputs, out=out["dense.weight"])
    torch.sum(errors, 1, out=out["dense.bias"])
    if l2:
        for name, part in points.items():
            out[name].add_(part, alpha=l2)
            losses.add_(part.square().flatten(1).sum(1), alpha=0.5 * l2)
    return losses
