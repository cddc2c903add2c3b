"""A task whose gradient costs next to nothing, so that moving it is what is measured."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lagrad.tasks import Samples, Task


class _Free(torch.autograd.Function):
    """A loss of 0 whose gradient is a given vector: no arithmetic."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, gradient: Tensor) -> Tensor:
        """Keep the gradient."""
        ctx.gradient = gradient
        return weight.new_zeros(())

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor, None]:
        """Give it."""
        del outputs
        return ctx.gradient, None


class _Vector(nn.Module):
    """One parameter of `numel` zeros, and the gradient of 1e-3 that it always has."""

    def __init__(self, numel: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(numel))
        self.register_buffer("gradient", torch.full((numel,), 1e-3), persistent=False)

    def forward(self) -> Tensor:
        """0, with that gradient."""
        result: Tensor = _Free.apply(self.weight, self.gradient)  # type: ignore[no-untyped-call]
        return result


def _loss(model: nn.Module, batch: object) -> Tensor:
    del batch
    result: Tensor = model()
    return result


def _samples() -> Samples:
    return Samples((torch.zeros(1024, 1),))


@dataclass(frozen=True)
class _Make:
    numel: int

    def __call__(self) -> nn.Module:
        """The model."""
        return _Vector(self.numel)


def free_task(numel: int) -> Task:
    """The task of one float32 vector whose gradient is free, without scores."""
    return Task("vector", model=_Make(numel), loss=_loss, data=_samples, batch_size=1)
