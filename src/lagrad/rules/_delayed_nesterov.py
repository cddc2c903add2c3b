"""Nesterov momentum that is brought up to date once a cycle."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lagrad.core import Gradient, Layout
from lagrad.schedules import Schedule
from lagrad.weights import Constant

from ._base import (
    Elementwise,
    Rated,
    SendsParams,
    Unweighted,
    mean,
    require_momentum,
    require_workers,
)


@dataclass
class DelayedNesterovState:
    """momentum: m [P]. gathered: Delta, the sum of this cycle's gradients [P]."""

    momentum: Tensor
    gathered: Tensor


@dataclass(frozen=True)
class DelayedNesterov(Rated, SendsParams, Unweighted, Elementwise):
    """Plain steps, and one with momentum every N steps: an outer optimizer for local training.

        Delta <- Delta + g
        mostly:           x <- x - eta (c beta m + g/N)
        each N-th step:   m <- beta m + Delta/N,  Delta <- 0
                          x <- x - eta ((1 - cN + c) beta m + g/N)

    workers: N >= 1. lr: eta >= 0, a number or a schedule. momentum: beta in [0, 1). ahead: c in
    [0, 1/N], the share of the momentum spent on each of the plain steps. g: the mean gradient of
    the step, a pseudo-gradient where workers take several steps of their own.
    Sent: x. Memory: 2 vectors. N = 1: Nesterov momentum as torch.optim.SGD has it.
    Source: Liu et al. 2024, arXiv:2401.09135, after the authors' code.

    >>> DelayedNesterov(4, lr=0.7).ahead
    0.0
    """

    workers: int
    lr: float | Schedule = 0.1
    momentum: float = 0.9
    ahead: float = 0.0

    def __post_init__(self) -> None:
        self.require_rate()
        require_momentum(self.momentum)
        require_workers(self.workers)
        if not 0 <= self.ahead <= 1 / self.workers:
            raise ValueError(
                f"Expected ahead in [0, 1/{self.workers}], got {self.ahead}; use 0 for none."
            )

    def init(self, params: Tensor, layout: Layout) -> DelayedNesterovState:
        """At the start of a cycle, without momentum."""
        del layout
        return DelayedNesterovState(torch.zeros_like(params), torch.zeros_like(params))

    def apply(
        self,
        params: Tensor,
        state: DelayedNesterovState,
        gradients: Sequence[Gradient],
        *,
        version: int,
    ) -> None:
        """A plain step, or the one that ends a cycle."""
        lr, cycle = self.rate(version), self.workers
        values, factor = mean(gradients, Constant(), params=params)
        state.gathered.add_(values, alpha=factor)
        spent = self.ahead
        if (version + 1) % cycle == 0:
            state.momentum.mul_(self.momentum).add_(state.gathered, alpha=1.0 / cycle)
            state.gathered.zero_()
            spent = 1.0 - self.ahead * cycle + self.ahead
        params.sub_(values, alpha=lr * factor / cycle)
        params.sub_(state.momentum, alpha=lr * spent * self.momentum)
