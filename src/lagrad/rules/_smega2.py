"""One momentum for all workers, aged once a cycle, with a look-ahead over the cycle."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lagrad.core import Gradient, Layout
from lagrad.schedules import Schedule
from lagrad.weights import Constant

from ._base import (
    Elementwise,
    NeedsGradientsAlone,
    Rated,
    Unweighted,
    mean,
    require_momentum,
    require_workers,
)


@dataclass
class SMEGA2State:
    """momentum: v [P]. gathered: b, the sum of this cycle's gradients [P]. count: s of them."""

    momentum: Tensor
    gathered: Tensor
    count: int = 0


@dataclass(frozen=True)
class SMEGA2(Rated, NeedsGradientsAlone, Unweighted, Elementwise):
    """Momentum of one buffer that takes in the mean gradient of each cycle of N steps.

        s <- (s + 1) mod N,  b <- b + g,  x <- x - eta (g + gamma v)
        where s = 0:  v <- gamma v + b/N,  b <- 0
        sent: x - eta gamma (s/N) b - eta gamma (N + s (gamma - 1)) v

    workers: N >= 1. lr: eta >= 0, a number or a schedule. momentum: gamma in [0, 1). g: the mean
    gradient of the step. Memory: 2 vectors.
    Source: Cohen, Hakimi, Schuster 2022 (ICPP), after the authors' code; the "advanced" look-ahead.

    >>> rule = SMEGA2(2, lr=0.1, momentum=0.5)
    >>> x = torch.zeros(1)
    >>> state = rule.init(x, Layout(("x",), ((1,),), torch.float32))
    >>> g = Gradient(worker=0, tau=0, samples=1, values=torch.tensor([-10.0]))
    >>> rule.apply(x, state, [g], version=0)
    >>> x.item(), rule.point(x, state, version=1, expected_tau=0.0).item()
    (1.0, 1.25)
    """

    workers: int
    lr: float | Schedule = 0.1
    momentum: float = 0.9

    def __post_init__(self) -> None:
        self.require_rate()
        require_momentum(self.momentum)
        require_workers(self.workers)

    def init(self, params: Tensor, layout: Layout) -> SMEGA2State:
        """At the start of a cycle, without momentum."""
        del layout
        return SMEGA2State(torch.zeros_like(params), torch.zeros_like(params))

    def apply(
        self, params: Tensor, state: SMEGA2State, gradients: Sequence[Gradient], *, version: int
    ) -> None:
        """One step of a cycle."""
        lr = self.rate(version)
        values, factor = mean(gradients, Constant(), params=params)
        state.gathered.add_(values, alpha=factor)
        params.sub_(values, alpha=lr * factor).sub_(state.momentum, alpha=lr * self.momentum)
        state.count = (state.count + 1) % self.workers
        if state.count == 0:
            state.momentum.mul_(self.momentum).add_(state.gathered, alpha=1.0 / self.workers)
            state.gathered.zero_()

    def point(
        self, params: Tensor, state: SMEGA2State, *, version: int, expected_tau: float
    ) -> Tensor:
        """Where the momentum will have carried the parameters after N more steps."""
        del expected_tau
        ahead = self.rate(version) * self.momentum
        steps = self.workers + state.count * (self.momentum - 1.0)
        return params.sub(state.gathered, alpha=ahead * state.count / self.workers).sub_(
            state.momentum, alpha=ahead * steps
        )
