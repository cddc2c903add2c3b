"""A task whose gradient costs next to nothing, so that moving it is what is measured."""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from lagrad.tasks import Samples, Task

#: Most parameters of one tensor: those of a layer of 1024 x 1024.
_LAYER = 1024 * 1024


class _Free(torch.autograd.Function):
    """A loss of 0 whose gradient at x is x / 1000: one multiplication each."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor) -> Tensor:
        """Keep x."""
        ctx.save_for_backward(weight)
        return weight.new_zeros(())

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> Tensor:
        """The whole of it is read, and a new vector written."""
        del outputs
        (weight,) = ctx.saved_tensors
        result: Tensor = weight * 1e-3
        return result


class _Layers(nn.Module):
    """`numel` parameters of 1 in layers, and the gradient that is their thousandth."""

    def __init__(self, numel: int) -> None:
        super().__init__()
        sizes = [min(_LAYER, numel - at) for at in range(0, numel, _LAYER)]
        self.layers = nn.ParameterList([nn.Parameter(torch.ones(size)) for size in sizes])

    def forward(self) -> Tensor:
        """The loss."""
        losses = [_Free.apply(layer) for layer in self.layers]  # type: ignore[no-untyped-call]
        return torch.stack(losses).sum()


def _loss(model: nn.Module, batch: object) -> Tensor:
    del batch
    result: Tensor = model()
    return result


def _samples() -> Samples:
    return Samples((torch.zeros(1024, 1),))


def free_task(numel: int) -> Task:
    """The task of `numel` float32 parameters whose gradient is next to free, without scores."""
    return Task("vector", model=partial(_Layers, numel), loss=_loss, data=_samples, batch_size=1)
