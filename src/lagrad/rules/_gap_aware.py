"""Gradients divided by how far each coordinate has moved since they were computed."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import torch
from torch import Tensor

from lagrad.core import Gradient, Layout
from lagrad.schedules import Schedule
from lagrad.weights import Constant

from ._base import Elementwise, Rated, SendsParams, Unweighted, mean, require_momentum

_EPSILON = 1e-8


@dataclass
class GapAwareState:
    """velocity: v [P]. mean_square: A [P]. highest: eta_max so far."""

    velocity: Tensor
    mean_square: Tensor
    highest: float = 0.0


@dataclass(frozen=True)
class GapAware(Rated, SendsParams, Unweighted, Elementwise):
    """Heavy ball, with each gradient penalised by coordinate for the parameters' gap.

        A <- Gamma A + (1 - Gamma) v^2,   C = eta_max (sqrt(A / (1 - Gamma^t)) + 1e-8)
        G = 1 + |x - x_i| / C,   v <- gamma v + g / G,   x <- x - eta v,    t = 1, 2, ...

    x_i: what the worker was sent. v^2: of the step before, zero at first; without momentum g^2.
    eta_max: the largest learning rate so far. lr: eta >= 0, a number or a schedule. momentum:
    gamma in [0, 1). decay: Gamma in [0, 1).
    Sent: x. Memory: 2 vectors and the snapshot of each worker.
    Source: Barkai, Hakimi, Schuster 2020, arXiv:1909.10802, after a re-implementation by the same
    laboratory; the form at a server is from memory, unverified.

    >>> GapAware(lr=0.1).needs_snapshots
    True
    """

    lr: float | Schedule = 0.1
    momentum: float = 0.9
    decay: float = 0.999

    def __post_init__(self) -> None:
        self.require_rate()
        require_momentum(self.momentum)
        if not 0 <= self.decay < 1:
            raise ValueError(f"Expected decay in [0, 1), got {self.decay}; use 0.999.")

    @property
    def needs_snapshots(self) -> bool:
        """Yes: what each worker was sent."""
        return True

    def init(self, params: Tensor, layout: Layout) -> GapAwareState:
        """Zero velocity, nothing averaged."""
        del layout
        return GapAwareState(torch.zeros_like(params), torch.zeros_like(params))

    def apply(
        self, params: Tensor, state: GapAwareState, gradients: Sequence[Gradient], *, version: int
    ) -> None:
        """One step of heavy ball with the penalised gradients."""
        lr = self.rate(version)
        state.highest = max(state.highest, lr)
        size = state.velocity
        if self.momentum == 0:
            values, factor = mean(gradients, Constant(), params=params)
            size = values * factor
        state.mean_square.mul_(self.decay).addcmul_(size, size, value=1.0 - self.decay)
        if state.highest:
            usual = state.mean_square.div(1.0 - self.decay ** (version + 1)).sqrt_().add_(_EPSILON)
            usual.mul_(state.highest)
            gradients = [_penalised(gradient, params, usual) for gradient in gradients]
        values, factor = mean(gradients, Constant(), params=params)
        state.velocity.mul_(self.momentum).add_(values, alpha=factor)
        params.add_(state.velocity, alpha=-lr)


def _penalised(gradient: Gradient, params: Tensor, usual: Tensor) -> Gradient:
    assert gradient.snapshot is not None
    penalty = params.sub(gradient.snapshot).abs_().div_(usual).add_(1.0)
    return msgspec.structs.replace(gradient, values=gradient.values / penalty)
