"""Momentum by arrival: heavy ball and Nesterov."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lagrad.core import Gradient, Layout, Linear, Weight
from lagrad.schedules import Schedule
from lagrad.weights import Constant

from ._base import Elementwise, Rated, SendsParams, Weighted, mean, require_decay, require_momentum


@dataclass
class MomentumState:
    """velocity: m [P]."""

    velocity: Tensor


@dataclass(frozen=True)
class Momentum(Rated, SendsParams, Weighted, Elementwise):
    """Heavy-ball or Nesterov momentum that takes every gradient as if it were new.

        g = mean_i w(tau_i) g_i + lambda x,   m <- beta m + g,
        x <- x - eta m              (heavy ball)
        x <- x - eta (g + beta m)   (nesterov)

    lr: eta >= 0, a number or a schedule on the version. momentum: beta in [0, 1). weight: w, a
    function of staleness. weight_decay: lambda >= 0.
    Sent to workers: x. Memory: 1 vector beyond x. With a constant delay it gives no acceleration
    on quadratics; see `DynamicMomentum`.
    Source: torch.optim.SGD (dampening 0), bit for bit where nothing is late.

    >>> Momentum(lr=0.1, momentum=0.9).nesterov
    False
    """

    lr: float | Schedule = 0.1
    momentum: float = 0.9
    nesterov: bool = False
    weight: Weight = Constant()
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        self.require_rate()
        require_momentum(self.momentum)
        require_decay(self.weight_decay)

    def init(self, params: Tensor, layout: Layout) -> MomentumState:
        """Zero velocity."""
        del layout
        return MomentumState(torch.zeros_like(params))

    def linear(
        self, state: MomentumState, gradients: Sequence[Gradient], *, version: int
    ) -> Linear | None:
        """The step of heavy ball without weight decay."""
        if self.nesterov or self.weight_decay:
            return None
        values, factor = mean(gradients, self.weight)
        return Linear(state.velocity, self.momentum, values, factor, self.rate(version))

    def apply(
        self, params: Tensor, state: MomentumState, gradients: Sequence[Gradient], *, version: int
    ) -> None:
        """One step of torch.optim.SGD with the weighted mean as its gradient."""
        values, factor = mean(gradients, self.weight, params=params, weight_decay=self.weight_decay)
        lr = self.rate(version)
        velocity = state.velocity
        velocity.mul_(self.momentum).add_(values, alpha=factor)
        if not self.nesterov:
            params.add_(velocity, alpha=-lr)
            return
        fresh = values if factor == 1.0 else values * factor
        params.add_(fresh.add(velocity, alpha=self.momentum), alpha=-lr)
